"""A fine-tuned model, by its folder, that also says why.

`load_explainer` gives records from a warm graph, `load_predictor` the logits of rows of ids, `load_inspector` the
embeddings of texts and what every head does, `load_bert_model` an Estimator whose predictions carry attention and
attributions. Leaves to others: what is asked and answered (`explainer`), the methods (`methods`).
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import alterations
from bert import checkpoints
from bert import checksums
from bert import classifier
from bert import config as config_lib
from bert import datasets
from bert import features as features_lib
from bert import frozen
from bert import model_folder
from bert import tokenization
from explain import attention
from explain import attribution
from explain import explainer as explainer_lib
from explain import explanation
from explain import inspector as inspector_lib
from explain import methods as methods_lib
from explain import predictor as predictor_lib
from explain import removal
from explain import words as words_lib


def attention_extra(attn_processor_fn: attention.AttentionProcessor) -> classifier.PredictExtra:
    """Bind a processor to the PREDICT graph.

    A tensor comes back as `attention`; a dict as `attention_<key>`, one each; a list of one-key dicts is stacked to
    `attention` f[b, l, h, q, k].

    Raises:
      TypeError: `attn_processor_fn` is not callable.
    """
    attention.require_processor(attn_processor_fn)

    def extra(
        outputs: classifier.BertOutputs, features: features_lib.Features
    ) -> dict[str, tf.Tensor]:
        del features
        return attention.processed(attn_processor_fn, outputs)

    return extra


def attribution_extra(
    methods: Sequence[methods_lib.Bound], special: features_lib.SpecialIds
) -> classifier.PredictExtra:
    """Bind methods to the PREDICT graph: the logit of the predicted class, or of the features' `target`, explained.

    Predictions then hold `attribution_<method>` f[t], `<check>_<method>` and, on request, `layer_attribution_<method>`
    f[l + 1, t].
    """

    def explain(
        outputs: classifier.BertOutputs, features: features_lib.Features
    ) -> dict[str, tf.Tensor]:
        targeted = attribution.with_targets(features, outputs.logits)
        question = methods_lib.Question(outputs, targeted, "logit", special)
        found = {}
        for bound in methods:
            answer = bound.answer(question)
            found[f"attribution_{bound.name}"] = answer.token_scores
            found |= {f"{check}_{bound.name}": value for check, value in answer.checks.items()}
            if answer.layer_scores is not None:
                found[f"layer_attribution_{bound.name}"] = answer.layer_scores
        return found

    return explain


def explain_texts(
    model_dir: str | os.PathLike[str],
    texts: Sequence[str | tuple[str, str]],
    attn_processor_fn: attention.AttentionProcessor = attention.average_last_layer_by_head,
) -> list[explanation.Explanation]:
    """Return what the model of a trained folder answers to a few texts or pairs, and the words it attended to.

    Nothing is written. `highlight.report(explain_texts(folder, [text]), title)` is the page of one text.

    Args:
      attn_processor_fn: must give one score a token.

    Raises:
      TypeError: `texts` is a single string.
      FileNotFoundError: the folder holds no trained classifier.
    """

    def attended(question: methods_lib.Question) -> tf.Tensor:
        return attention.processed_alone(attn_processor_fn, question.outputs)

    attended.__name__ = getattr(attn_processor_fn, "__name__", "attention")
    method = methods_lib.Method(attended, signed=False, knows_target=False)
    return load_explainer(model_dir, [method])(texts)


def explain_prediction(
    example: datasets.InputExample,
    encoding: features_lib.Encoding,
    prediction: Mapping[str, npt.NDArray[np.float32]],
    config: config_lib.ClassifierConfig,
    method: str,
) -> explanation.Explanation:
    """Join an example and what `predict` yielded for it into the record that pictures are made from.

    Args:
      config: of the model that predicted.

    Raises:
      ValueError: the prediction does not carry one attention score a token.
    """
    if "attention" not in prediction:
        raise ValueError(
            f"a page needs one score a token under 'attention', but {method} gives {', '.join(sorted(prediction))}; "
            "use a processor that returns one tensor, such as average_last_layer_by_head"
        )
    return explanation.from_prediction(
        example,
        encoding,
        prediction["attention"],
        prediction["probabilities"],
        labels=config.labels,
        method=method,
        settings={"pooling": config.pooling},
    )


def load_explainer(
    model_dir: str | os.PathLike[str],
    methods: Sequence[methods_lib.MethodLike] = ("integrated_gradients",),
    *,
    attn_processor_fn: attention.AttentionProcessor | None = None,
    precision: frozen.Precision = "float32",
    engine: frozen.Engine = "tensorflow",
    method_options: methods_lib.Options | None = None,
    word_scores: words_lib.Combine = "sum",
    long_text: explainer_lib.LongText = "cut",
    strict: bool = False,
    alter: alterations.Alter | None = None,
) -> explainer_lib.Explainer:
    """Return a warm explainer: `explainer([text, ...])` says what the model answers and which words drove it.

    Its graph is built at the first question and reused ever after.

    Args:
      model_dir: an output_dir, an exported model, or a fine-tuned Hugging Face classifier by its folder or id.
      methods: names of `methods.METHODS`, functions of your own of a `methods.Question`, or such a function as
        package.module:function.
      attn_processor_fn: its tensor comes back as the records' `attention`.
      precision: "bfloat16" computes the encoder in half precision, for speed; "float64" the whole graph in double
        precision, to check the methods themselves.
      engine: "xla" compiles the graphs, for GPUs; "openvino" runs those of probabilities and attention on OpenVINO, an
        optional requirement.
      method_options: by method, its options by their names, as `{"integrated_gradients": {"baseline": "mask"}}`.
      word_scores: how the scores of a word's pieces are joined; only "sum" keeps what is complete complete.
      long_text: "cut" explains what the model reads of a text, and the record says what was cut; "window" explains
        overlapping windows that together hold every token, for the mean of their scores.
      strict: raise where a check misses its tolerance, which else only the record says.
      alter: what is done to the weights first, as `alterations.randomised` does for sanity checks.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
      TypeError: `attn_processor_fn` is not callable, or `methods` a single string.
      ValueError: an unknown method, option or setting.
    """
    if attn_processor_fn is not None:
        attention.require_processor(attn_processor_fn)
    settings = explainer_lib.Settings(
        methods_lib.bind(methods, method_options),
        attn_processor_fn,
        precision,
        engine,
        word_scores,
        long_text,
        strict,
        alter,
    )
    return explainer_lib.Explainer(model_folder.load(model_dir), settings, str(model_dir))


def load_predictor(
    model_dir: str | os.PathLike[str],
    *,
    precision: frozen.Precision = "float32",
    engine: frozen.Engine = "tensorflow",
    alter: alterations.Alter | None = None,
) -> predictor_lib.Predictor:
    """Return a classifier of rows of ids, from which words may be missing; arguments as those of `load_explainer`.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
      ValueError: an unknown setting.
    """
    return predictor_lib.Predictor(model_folder.load(model_dir), precision, engine, alter)


def load_inspector(model_dir: str | os.PathLike[str]) -> inspector_lib.Inspector:
    """Return a classifier to look inside of: the embeddings of any layer, the attention and relevance of every head.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
    """
    return inspector_lib.Inspector(model_folder.load(model_dir))


def head_ablation(
    model_dir: str | os.PathLike[str],
    rows: Sequence[removal.Ids],
    targets: Sequence[int],
    *,
    precision: frozen.Precision = "float32",
) -> npt.NDArray[np.float32]:
    """Return how far each row's target logit falls without each head, float32[n, l, h]: a prediction of all a head.

    Source: Michel et al. 2019, Are Sixteen Heads Really Better than One?, section 3.2 (there: of the accuracy).
    """
    parts = model_folder.load(model_dir)
    layers, heads = parts.config.num_hidden_layers, parts.config.num_attention_heads
    places = np.arange(len(rows)), np.array(targets, np.int64)

    def scores(alter: alterations.Alter | None = None) -> npt.NDArray[np.float32]:
        picked: npt.NDArray[np.float32] = predictor_lib.Predictor(
            parts, precision, alter=alter
        ).logits(rows)[places]
        return picked

    whole = scores()
    falls = [
        whole - scores(alterations.without_heads([(layer, head)]))
        for layer in range(layers)
        for head in range(heads)
    ]
    found: npt.NDArray[np.float32] = np.stack(falls, axis=1)
    return found.reshape(len(rows), layers, heads)


def load_bert_model(
    output_dir: str | os.PathLike[str],
    bert_config_file: str | os.PathLike[str] | None = None,
    init_checkpoint: str | os.PathLike[str] | None = None,
    num_labels: int | None = None,
    attn_processor_fn: attention.AttentionProcessor | None = None,
    *,
    pooling: config_lib.Pooling | None = None,
    predict_batch_size: int = 8,
    methods: Sequence[methods_lib.MethodLike] = (),
    method_options: methods_lib.Options | None = None,
) -> tf.estimator.Estimator:
    """Return an Estimator whose `predict` yields `probabilities`, `pred_class` and, with a processor, `attention`.

    Args:
      output_dir: folder of a fine-tuned model, or a fine-tuned Hugging Face classifier by its folder or id; with
        `init_checkpoint`, any folder for the Estimator's own files.
      bert_config_file: architecture; unset takes `bert_config.json` from the folder of the checkpoint.
      init_checkpoint: fine-tuned TF1 checkpoint; unset takes the newest in `output_dir`.
      num_labels: classes; unset takes the folder's record of its labels, else 2.
      attn_processor_fn: reduces the layers' attention inside the graph; see `explain.attention`.
      pooling: unset takes the folder's record, else "default".
      predict_batch_size: goes to input functions as `params["batch_size"]`.
      methods: attributions that predictions carry, as `attribution_<method>` f[t]: of the predicted class's logit, or
        of the class that the features name under `target`.
      method_options: by method, its options by their names.

    Raises:
      TypeError: `attn_processor_fn` is not callable.
      FileNotFoundError: no checkpoint, or no config beside it.
      ValueError: `output_dir` holds another checkpoint than `init_checkpoint`, or a file beside the checkpoint has
        changed since the training wrote it.

    Source: hsm207/bert_attn_viz, explain/model.py.
    """
    from bert import estimator  # keeps `import explain.model` free of Estimator

    extras: tuple[classifier.PredictExtra, ...]
    extras = () if attn_processor_fn is None else (attention_extra(attn_processor_fn),)
    bound = methods_lib.bind(methods, method_options)
    checkpoint = _checkpoint(output_dir, init_checkpoint)
    folder = pathlib.Path(checkpoint).parent
    checksums.require_unchanged(folder)
    if bound:
        vocab = tokenization.load_vocab(folder / config_lib.VOCAB_FILE)
        extras += (attribution_extra(bound, features_lib.SpecialIds.of(vocab)),)
    record = config_lib.ClassifierConfig.load(folder)
    model = estimator.Model(
        config=config_lib.BertConfig.from_json_file(
            bert_config_file or folder / config_lib.CONFIG_FILE
        ),
        num_labels=num_labels or (len(record.labels) if record else 2),
        pooling=pooling or (record.pooling if record else "default"),
        init_checkpoint=checkpoint,
        with_taps=any(method.method.needs_taps for method in bound),
    )
    return estimator.build_estimator(
        output_dir if init_checkpoint else folder,
        model,
        extras=extras,
        predict_batch_size=predict_batch_size,
    )


def _checkpoint(
    output_dir: str | os.PathLike[str], init_checkpoint: str | os.PathLike[str] | None
) -> str:
    if init_checkpoint is None:
        newest = checkpoints.newest(model_folder.best_folder(output_dir))
        return str(newest or model_folder.load(output_dir).init_checkpoint)
    newest = checkpoints.newest(output_dir)
    if (
        newest is not None
        and pathlib.Path(newest).resolve() != pathlib.Path(init_checkpoint).resolve()
    ):
        raise ValueError(
            f"output_dir must hold no other checkpoint than init_checkpoint, because an Estimator prefers its own; got "
            f"{newest} and {init_checkpoint}; leave one of the two out"
        )
    return str(init_checkpoint)
