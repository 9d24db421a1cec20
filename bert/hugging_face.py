"""Hugging Face's folders of BERTs: their tensors under the release's names and back, and what stands beside them.

`read` takes what transformers' `save_pretrained` has written over the years, and runs nothing of it. Leaves to others:
finding folders (`pretrained`), making checkpoints of them (`conversion`), the variables' shapes (`checkpoints`).

Sources: transformers' BertForSequenceClassification for the names, its BertTokenizerFast for the defaults, its
convert_bert_original_tf_checkpoint_to_pytorch for `gamma` and `beta`, which the first folders kept.
"""

import logging
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic

from bert import config as config_lib
from bert import tensor_files
from bert import tokenization

_log = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
OWN_FIELDS = "bert_attention_explain"
"""Key of config.json for the fields of `ClassifierConfig` that transformers has no names for."""

_TOKENIZER = "tokenizer.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"
_ADDED_TOKENS = "added_tokens.json"
_LAYER, _RELEASE_LAYER = "bert.encoder.layer.{}", "bert/encoder/layer_{}"
_RELEASE_NAMES = {  # Hugging Face's name -> the release's; {} is the number of a layer
    "bert.embeddings.word_embeddings.weight": "bert/embeddings/word_embeddings",
    "bert.embeddings.token_type_embeddings.weight": "bert/embeddings/token_type_embeddings",
    "bert.embeddings.position_embeddings.weight": "bert/embeddings/position_embeddings",
    "bert.embeddings.LayerNorm.weight": "bert/embeddings/LayerNorm/gamma",
    "bert.embeddings.LayerNorm.bias": "bert/embeddings/LayerNorm/beta",
    f"{_LAYER}.attention.self.query.weight": f"{_RELEASE_LAYER}/attention/self/query/kernel",
    f"{_LAYER}.attention.self.query.bias": f"{_RELEASE_LAYER}/attention/self/query/bias",
    f"{_LAYER}.attention.self.key.weight": f"{_RELEASE_LAYER}/attention/self/key/kernel",
    f"{_LAYER}.attention.self.key.bias": f"{_RELEASE_LAYER}/attention/self/key/bias",
    f"{_LAYER}.attention.self.value.weight": f"{_RELEASE_LAYER}/attention/self/value/kernel",
    f"{_LAYER}.attention.self.value.bias": f"{_RELEASE_LAYER}/attention/self/value/bias",
    f"{_LAYER}.attention.output.dense.weight": f"{_RELEASE_LAYER}/attention/output/dense/kernel",
    f"{_LAYER}.attention.output.dense.bias": f"{_RELEASE_LAYER}/attention/output/dense/bias",
    f"{_LAYER}.attention.output.LayerNorm.weight": f"{_RELEASE_LAYER}/attention/output/LayerNorm/gamma",
    f"{_LAYER}.attention.output.LayerNorm.bias": f"{_RELEASE_LAYER}/attention/output/LayerNorm/beta",
    f"{_LAYER}.intermediate.dense.weight": f"{_RELEASE_LAYER}/intermediate/dense/kernel",
    f"{_LAYER}.intermediate.dense.bias": f"{_RELEASE_LAYER}/intermediate/dense/bias",
    f"{_LAYER}.output.dense.weight": f"{_RELEASE_LAYER}/output/dense/kernel",
    f"{_LAYER}.output.dense.bias": f"{_RELEASE_LAYER}/output/dense/bias",
    f"{_LAYER}.output.LayerNorm.weight": f"{_RELEASE_LAYER}/output/LayerNorm/gamma",
    f"{_LAYER}.output.LayerNorm.bias": f"{_RELEASE_LAYER}/output/LayerNorm/beta",
    "bert.pooler.dense.weight": "bert/pooler/dense/kernel",
    "bert.pooler.dense.bias": "bert/pooler/dense/bias",
    "classifier.weight": "output_weights",
    "classifier.bias": "output_bias",
}
_HUGGING_FACE_NAMES = {ours: theirs for theirs, ours in _RELEASE_NAMES.items()}
_POOLER = {"bert/pooler/dense/kernel", "bert/pooler/dense/bias"}
_HEAD = {"output_weights", "output_bias"}
_LAYER_NUMBER = re.compile(r"(?<=layer[._])\d+")
_INDEX_BUFFER = re.compile(r"embeddings\.(?:position|token_type)_ids$")  # 0, 1, 2 and 0, 0, 0, ...
_OTHER_HEAD = re.compile(r"(?:module\.)?(?:cls|classifier|lm_head|qa_outputs)\.")

_EXPECTED = {  # what config.json may say of a BERT that encodes as the release's does
    "model_type": "bert",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
_TOKENIZER_PARTS = {
    "model": "WordPiece",
    "normalizer": "BertNormalizer",
    "pre_tokenizer": "BertPreTokenizer",
}
_NORMALIZER_FIELDS = {  # tokenizer_config.json's name, which is ours -> tokenizer.json's
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def release_name(name: str) -> str | None:
    """Return the release's name of a tensor of a BERT classifier, however old its name; None of any other tensor.

    >>> release_name("encoder.layer.0.attention.self.query.weight")
    'bert/encoder/layer_0/attention/self/query/kernel'
    >>> release_name("module.bert.embeddings.LayerNorm.gamma")
    'bert/embeddings/LayerNorm/gamma'
    """
    today = name.removeprefix("module.")  # torch's DataParallel puts it before every name
    today = today.replace("LayerNorm.gamma", "LayerNorm.weight")
    today = today.replace("LayerNorm.beta", "LayerNorm.bias")
    if not today.startswith(("bert.", "classifier.")):
        today = f"bert.{today}"  # saved without a head
    return _translate(today, _RELEASE_NAMES)


def hugging_face_name(name: str) -> str:
    """Return transformers' name of a variable of the release's classifier.

    Raises:
      ValueError: the release's classifier has no such variable.

    >>> hugging_face_name("bert/encoder/layer_0/attention/self/query/kernel")
    'bert.encoder.layer.0.attention.self.query.weight'
    """
    if theirs := _translate(name, _HUGGING_FACE_NAMES):
        return theirs
    raise ValueError(
        f"variables must be those of the release's classifier, got {name!r}; transformers has no name for it"
    )


def _translate(name: str, table: Mapping[str, str]) -> str | None:
    number = _LAYER_NUMBER.search(name)
    translated = table.get(_LAYER_NUMBER.sub("{}", name, count=1))
    return translated and translated.format(number and number[0])


def from_tensors(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[np.float32]]:
    """Rename tensors to the release's names, turn kernels from [out, in] to [in, out].

    Raises:
      ValueError: a tensor is none of a BERT classifier's, or stands there twice, or holds no floats.
    """
    variables: dict[str, npt.NDArray[np.float32]] = {}
    for name, value in tensors.items():
        target = release_name(name)
        if target is None:
            raise ValueError(f"tensors must be those of a BERT classifier, got {name!r}")
        if target in variables:
            raise ValueError(f"tensors must hold {target} once, got {name!r} as a second one")
        if not np.issubdtype(value.dtype, np.floating):
            raise ValueError(
                f"{name} must hold floats, got {value.dtype}; give the model as it was before it was quantized"
            )
        variables[target] = _turned(target, value.astype(np.float32, copy=False))
    return variables


def to_tensors(
    variables: Mapping[str, npt.NDArray[np.float32]],
) -> dict[str, npt.NDArray[np.float32]]:
    """Undo `from_tensors`, under the names that transformers' BertForSequenceClassification has.

    Raises:
      ValueError: a variable is none of the release's classifier.
    """
    return {hugging_face_name(name): _turned(name, value) for name, value in variables.items()}


def _turned(name: str, value: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(value.T if name.endswith("/kernel") else value)


def read(folder: str | os.PathLike[str]) -> config_lib.SourceModel:
    """Read a folder that `save_pretrained` wrote: config, tokenizer and weights of a classifier or of an encoder alone.

    Without a trained classifier there are no labels; without a pooler either, the record says `global_average_pool`,
    for the mean of the tokens tells more than a pooler that nobody trained.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: it is no BERT, or no classifier into two or more classes, or files are damaged or at odds.
    """
    path = pathlib.Path(folder)
    values = config_lib.read_json(path / CONFIG_FILE)
    config = _bert_config(path / CONFIG_FILE, values)
    variables = _variables(path, values, config)
    is_trained = not _HEAD.isdisjoint(variables)
    has_pooling = is_trained or not _POOLER.isdisjoint(variables)
    fields: dict[str, Any] = {"pooling": "default" if has_pooling else "global_average_pool"}
    fields |= values.get(OWN_FIELDS, {})
    unused = [] if is_trained else [*_HEAD]
    unused += [] if fields["pooling"] == "default" else [*_POOLER]
    _check_complete(path, variables, _names(config).difference(unused))
    if is_trained:
        fields["labels"] = _labels(path / CONFIG_FILE, values, len(variables["output_bias"]))
    record = _record(path, values, config, fields)
    return config_lib.SourceModel(config, record, _vocabulary(path), variables)


def source_files(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Return the files of a folder that `read` reads.

    Raises:
      FileNotFoundError: there are no weights, or not all of them.
      ValueError: the index of the weights is damaged.
    """
    path = pathlib.Path(folder)
    beside = (CONFIG_FILE, _TOKENIZER_CONFIG, _TOKENIZER, _ADDED_TOKENS, config_lib.VOCAB_FILE)
    return [path / name for name in beside if (path / name).is_file()] + tensor_files.paths(path)


def _bert_config(source: pathlib.Path, values: Mapping[str, Any]) -> config_lib.BertConfig:
    for name, expected in _EXPECTED.items():
        if (got := values.get(name, expected)) != expected:
            raise ValueError(
                f"{source}: {name} must be {expected!r}, got {got!r}; only BERTs that encode as google-research/bert "
                "does can be read"
            )
    fields = {"type_vocab_size": 2} | dict(values)  # transformers' default; the release's is 16
    known = config_lib.BertConfig.model_fields
    return config_lib.BertConfig(**{name: fields[name] for name in known if name in fields})


def _names(config: config_lib.BertConfig) -> set[str]:
    """Return the release's names of every variable that a classifier of this size can have."""
    return {name.format(i) for i in range(config.num_hidden_layers) for name in _HUGGING_FACE_NAMES}


def _variables(
    folder: pathlib.Path, values: Mapping[str, Any], config: config_lib.BertConfig
) -> dict[str, npt.NDArray[np.float32]]:
    """Return what the weights hold of a classifier of sequences, and report what else they hold."""
    tensors = tensor_files.read(folder)
    tasks = values.get("architectures") or ["BertForSequenceClassification"]  # old folders say none
    is_ours = any(task.endswith("ForSequenceClassification") for task in tasks)
    known = _names(config).difference([] if is_ours else _HEAD)
    kept = {name: value for name, value in tensors.items() if release_name(name) in known}
    left = [name for name in tensors if name not in kept and not _INDEX_BUFFER.search(name)]
    heads = [name for name in left if _OTHER_HEAD.match(name)]
    unknown = [name for name in left if name not in heads]
    if heads:
        _log.info("%s: left out the heads of other tasks: %s", folder, _listed(heads))
    if unknown:
        _log.warning("%s: left out tensors that this BERT has not: %s", folder, _listed(unknown))
    return from_tensors(kept)


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(sorted(names)[:5]) + more


def _check_complete(folder: pathlib.Path, found: Collection[str], wanted: Iterable[str]) -> None:
    missing = [hugging_face_name(name) for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"{folder} must hold every tensor of its model, but these are missing: {_listed(missing)}; save the model "
            "again, or correct config.json"
        )


def _labels(source: pathlib.Path, values: Mapping[str, Any], rows: int) -> tuple[str, ...]:
    """Return the classes' names in the order of the classifier's rows; transformers omits those of two unnamed ones."""
    problem = values.get("problem_type") or "single_label_classification"
    if problem != "single_label_classification" or rows < 2:
        raise ValueError(
            f"{source} must be of a classifier that picks one of two or more labels, got problem_type {problem!r} with "
            f"{rows} label(s); give another model"
        )
    by_id = values.get("id2label") or {str(row): f"LABEL_{row}" for row in range(rows)}
    labels = tuple(str(by_id[str(row)]) for row in range(rows) if str(row) in by_id)
    if not len(set(labels)) == len(by_id) == rows:
        raise ValueError(
            f"{source}: id2label must name the classes 0 to {rows - 1}, one for each row of classifier.weight and each "
            f"another, got {by_id!r}"
        )
    return labels


def _record(
    folder: pathlib.Path,
    values: Mapping[str, Any],
    config: config_lib.BertConfig,
    fields: dict[str, Any],
) -> config_lib.ClassifierConfig:
    """Return the record of the tokenizer's settings and of `fields`, which come first."""
    settings = _json_if_there(folder / _TOKENIZER_CONFIG)
    positions = config.max_position_embeddings
    length = config_lib.ClassifierConfig.model_fields["max_seq_length"].default
    if "labels" in fields and settings.get("model_max_length", positions + 1) <= positions:
        length = settings["model_max_length"]  # 1e30 stands for none
    known = _tokenizer_fields(folder, values, settings)
    known["max_seq_length"] = min(length, positions)
    try:
        return config_lib.ClassifierConfig(**(known | fields))
    except pydantic.ValidationError as error:
        raise ValueError(config_lib.explain_problems(error, str(folder))) from None


def _tokenizer_fields(
    folder: pathlib.Path, values: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what tokenizer_config.json says, or else tokenizer.json, else what transformers assumes."""
    kind = settings.get("tokenizer_class") or values.get("tokenizer_class") or "BertTokenizer"
    whole = _json_if_there(folder / _TOKENIZER)
    if not whole and kind not in ("BertTokenizer", "BertTokenizerFast"):
        raise ValueError(
            f"{folder}: tokenizer_class must be 'BertTokenizer', got {kind!r}, which splits texts in another way; give "
            "a model with BERT's own tokenizer"
        )
    parts = {name: whole.get(name) or {} for name in _TOKENIZER_PARTS}
    for name, expected in _TOKENIZER_PARTS.items():
        if (got := parts[name].get("type", expected)) != expected:
            raise ValueError(
                f"{folder / _TOKENIZER}: {name} must be a {expected}, got {got!r}; give a model with BERT's tokenizer"
            )
    known = {"max_input_chars_per_word": parts["model"].get("max_input_chars_per_word", 100)}
    for name, theirs in _NORMALIZER_FIELDS.items():
        value = settings.get(name, parts["normalizer"].get(theirs))
        if value is not None:
            known[name] = value
    return known


def _vocabulary(folder: pathlib.Path) -> str:
    settings, whole = (_json_if_there(folder / name) for name in (_TOKENIZER_CONFIG, _TOKENIZER))
    path = folder / config_lib.VOCAB_FILE
    if path.is_file():
        known: Mapping[str, int] = tokenization.load_vocab(path)
        text = path.read_bytes().decode("utf-8")
    elif known := whole.get("model", {}).get("vocab"):
        text = _lines(folder / _TOKENIZER, known)
    else:
        raise FileNotFoundError(
            f"{folder} must hold {path.name}, or a vocabulary in {_TOKENIZER}; fetch the model again"
        )
    added = {*_json_if_there(folder / _ADDED_TOKENS)}
    added |= {token["content"] for token in whole.get("added_tokens", [])}
    added |= {token["content"] for token in settings.get("added_tokens_decoder", {}).values()}
    if beyond := added.difference(known):
        _log.warning(
            "%s: tokens added to the vocabulary are read as text: %s", folder, _listed(beyond)
        )
    return text


def _lines(source: pathlib.Path, vocabulary: Mapping[str, int]) -> str:
    """Return the text of the vocab.txt in which each token stands on the line of its id."""
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    if [vocabulary[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError(
            f"{source}: ids of the vocabulary must be 0 to {len(tokens) - 1}, each once; give a vocab.txt"
        )
    if broken := [token for token in tokens if "\n" in token]:
        raise ValueError(f"{source}: a token must fit on a line of a vocab.txt, got {broken[0]!r}")
    return "".join(f"{token}\n" for token in tokens)


def _json_if_there(path: pathlib.Path) -> dict[str, Any]:
    return config_lib.read_json(path) if path.is_file() else {}
