"""Trained classifiers for others: as a Hugging Face folder, or as a folder of ours without the optimiser's slots.

A folder appears whole or not at all, and never in place of another. Leaves to others: the tensors' names and reading
them back (`hugging_face`), what a folder of ours holds (`model_folder`).

Source: transformers 4.57.6, what `save_pretrained` of BertForSequenceClassification and of BertTokenizerFast writes.
"""

import contextlib
import json
import logging
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import tokenizers

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import files
from bert import hugging_face
from bert import model_folder
from bert import tokenization

_log = logging.getLogger(__name__)

WEIGHTS_FILE = "model.safetensors"
POOLED_MODULE = "modeling_pooled_bert"
"""What transformers runs, told to trust it, where its own classifier cannot pool as ours does."""

_POOLED_CLASSES = {
    "AutoConfig": "PooledBertConfig",
    "AutoModelForSequenceClassification": "PooledBertForSequenceClassification",
}
_TEMPLATE = pathlib.Path(__file__).parent / "templates" / f"{POOLED_MODULE}.py.txt"
_SEGMENTS = "bert/embeddings/token_type_embeddings"
_ACTIVATIONS = {"gelu_tanh": "gelu_pytorch_tanh"}  # ours -> transformers', where they differ
_TRUNCATION_SIDES = {"head": "right", "tail": "left"}  # what is kept -> where transformers cuts
_SPECIAL_TOKENS = {
    "unk_token": tokenization.UNK,
    "sep_token": tokenization.SEP,
    "pad_token": tokenization.PAD,
    "cls_token": tokenization.CLS,
    "mask_token": tokenization.MASK,
}


def write_hugging_face(model_dir: files.Path, output_dir: files.Path) -> None:
    """Write a trained classifier as a folder that transformers opens and that gives the same logits there.

    Mean and maximum pooling, which transformers' own class lacks, bring that class along: such a folder opens with
    `trust_remote_code=True`. Texts longer than the model reads are cut by the tokenizer with `truncation=True`; it can
    keep their head or their tail, not both.

    Args:
      output_dir: new, or empty.

    Raises:
      FileExistsError: `output_dir` holds something.
      FileNotFoundError: `model_dir` holds no trained classifier.
      ValueError: the classifier pools with a head of the user's own.
    """
    parts = model_folder.load(model_dir)
    config, record = parts.config, parts.record
    is_pooled = record.pooling != "default"
    if record.pooling not in classifier.HEADS:
        raise ValueError(
            f"pooling must be one of {', '.join(classifier.HEADS)} for transformers, got {record.pooling!r}; a head of "
            "your own runs here only"
        )
    if record.truncation not in _TRUNCATION_SIDES:
        _log.warning(
            "%s reads %r of a long text; transformers will read its head",
            model_dir,
            record.truncation,
        )
    variables = _variables(parts)
    if not config.type_vocab_size:  # transformers always adds a segment: two that add nothing
        config = config.model_copy(update={"type_vocab_size": 2})
        variables[_SEGMENTS] = np.zeros([2, config.hidden_size], np.float32)
    vocabulary = parts.tokenizer().vocab
    with new_folder(output_dir) as folder:
        write_weights(folder / WEIGHTS_FILE, hugging_face.to_tensors(variables))
        files.copy(parts.vocab_file, folder / config_lib.VOCAB_FILE)
        _write_json(folder / hugging_face.CONFIG_FILE, config_values(config, record))
        _write_json(folder / "tokenizer_config.json", tokenizer_values(record, vocabulary))
        files.write_text(
            folder / "tokenizer.json", fast_tokenizer(record, vocabulary).to_str(pretty=True)
        )
        if is_pooled:
            files.copy(_TEMPLATE, folder / f"{POOLED_MODULE}.py")


def strip_optimizer(model_dir: files.Path, output_dir: files.Path) -> None:
    """Write a trained folder again without the optimiser's slots: a third of the size, the same predictions.

    Args:
      output_dir: new, or empty.

    Raises:
      FileExistsError: `output_dir` holds something.
      FileNotFoundError: `model_dir` is not the folder of a finished training.
    """
    parts = model_folder.load(model_dir)
    if parts.init_checkpoint is None or config_lib.ClassifierConfig.load(model_dir) is None:
        raise FileNotFoundError(
            f"{model_dir} must be the output_dir of a finished training, but holds no {config_lib.CLASSIFIER_FILE}; "
            "models from elsewhere have no optimiser to leave out"
        )
    with new_folder(output_dir) as folder:
        model_folder.save_for_inference(parts, parts.init_checkpoint, folder)


def write_weights(path: files.Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write tensors as the safetensors file that transformers reads."""
    with files.draft(path) as draft:
        # not save_file: nobody but its owner could read what that makes
        draft.write_bytes(safetensors.numpy.save(dict(tensors), metadata={"format": "pt"}))


def config_values(
    config: config_lib.BertConfig, record: config_lib.ClassifierConfig
) -> dict[str, Any]:
    """Return what config.json says of a classifier."""
    values = {name: getattr(config, name) for name in type(config).model_fields}
    values["hidden_act"] = _ACTIVATIONS.get(config.hidden_act.lower(), config.hidden_act.lower())
    values |= {
        "classifier_dropout": 0.1,  # the release's, whatever the config says
        "dtype": "float32",
        "id2label": {str(index): label for index, label in enumerate(record.labels)},
        "label2id": {label: index for index, label in enumerate(record.labels)},
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "problem_type": "single_label_classification",
        hugging_face.OWN_FIELDS: record.model_dump(
            include={"pooling", "max_seq_length", "truncation"}
        ),
    }
    if record.pooling == "default":
        return values | {
            "model_type": "bert",
            "architectures": ["BertForSequenceClassification"],
        }
    # without model_type: else transformers, unless told to trust the code, quietly takes its own
    # class for the type "bert", with a pooler that nobody trained
    return values | {
        "architectures": [_POOLED_CLASSES["AutoModelForSequenceClassification"]],
        "auto_map": {auto: f"{POOLED_MODULE}.{name}" for auto, name in _POOLED_CLASSES.items()},
    }


def tokenizer_values(
    record: config_lib.ClassifierConfig, vocabulary: Mapping[str, int]
) -> dict[str, Any]:
    """Return what tokenizer_config.json says of a classifier."""
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": record.do_lower_case,
        "strip_accents": record.strip_accents,
        "tokenize_chinese_chars": record.tokenize_chinese_chars,
        "model_max_length": record.max_seq_length,
        "truncation_side": _TRUNCATION_SIDES.get(record.truncation, "right"),
        "split_special_tokens": True,  # "[SEP]" in a text is text
        "clean_up_tokenization_spaces": True,
        **{name: token if token in vocabulary else None for name, token in _SPECIAL_TOKENS.items()},
    }


def fast_tokenizer(
    record: config_lib.ClassifierConfig, vocabulary: Mapping[str, int]
) -> tokenizers.Tokenizer:
    """Return the Rust tokenizer that comes nearest to ours.

    They differ in a few characters that its normaliser sees otherwise; `tokenization` names them.
    """
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(
            dict(vocabulary),
            unk_token=tokenization.UNK,
            max_input_chars_per_word=record.max_input_chars_per_word,
        )
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(
        lowercase=record.do_lower_case,
        strip_accents=record.strip_accents,
        handle_chinese_chars=record.tokenize_chinese_chars,
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    cls, sep = tokenization.CLS, tokenization.SEP
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(token, vocabulary[token]) for token in (cls, sep)],
    )
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.add_special_tokens([t for t in _SPECIAL_TOKENS.values() if t in vocabulary])
    return tokenizer


def _variables(parts: model_folder.Parts) -> dict[str, npt.NDArray[np.float32]]:
    """Return the variables that the classifier uses, and report others of its checkpoint."""
    wanted = classifier.variable_shapes(parts.config, len(parts.labels), parts.record.pooling)
    report = checkpoints.compare(str(parts.init_checkpoint), wanted, wanted)
    if report.ignored:
        _log.info("not exported, for the model does not use them: %s", ", ".join(report.ignored))
    return checkpoints.load_variables(report.checkpoint, wanted)


def _write_json(path: pathlib.Path, values: Mapping[str, Any]) -> None:
    files.write_text(path, json.dumps(values, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


@contextlib.contextmanager
def new_folder(target: files.Path) -> Iterator[pathlib.Path]:
    """Give a folder to fill; it becomes `target` when the block ends well and is removed when it raises."""
    final = pathlib.Path(os.path.abspath(target))
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise FileExistsError(
            f"{target} must be a new or an empty folder, but is a file or holds something; choose another or remove it"
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as draft:
        folder = pathlib.Path(draft) / final.name
        folder.mkdir()
        yield folder
        os.replace(folder, final)
