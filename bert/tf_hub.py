"""TensorFlow Hub's BERTs: a handle in, the release's variables out, from TF1 hub modules and TF2 SavedModels alike.

To load a SavedModel is to run the graph that its author put there, and so to trust the author. Nothing is loaded here:
the weights come out of the checkpoint, where TF2 keeps the names of its variables in an object graph, and the graph
itself is only looked at, for its GELU and its letter case. Leaves to others: writing what was read (`checkpoints`).

Sources: `BERT_NAME_REPLACEMENTS` (version 1) and `BERT_V2_NAME_REPLACEMENTS` (since) of tensorflow/models'
tf1_checkpoint_converter_lib.py for TF2's names, which tensorflow/hub#565 lists for version 1 as loaded; the same
repository's export_tfhub_lib.py for `vocab_file` and `do_lower_case` beside them; google-research/bert's
run_classifier_with_tfhub.py for the signature `tokenization_info` of TF1's modules.
"""

import http.client
import logging
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf import message  # type: ignore[import-untyped, unused-ignore]
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf import trackable_object_graph_pb2

from bert import config as config_lib
from bert import pretrained
from bert import tokenization
from bert import weights

_log = logging.getLogger(__name__)

_RENAMES = (  # the end of a name on TensorFlow Hub -> the release's under bert/
    (r"word_embeddings/embeddings", r"embeddings/word_embeddings"),
    (r"position_embedding/embeddings", r"embeddings/position_embeddings"),
    (r"embedding_postprocessor/position_embeddings", r"embeddings/position_embeddings"),
    (r"type_embeddings/embeddings", r"embeddings/token_type_embeddings"),
    (r"embedding_postprocessor/type_embeddings", r"embeddings/token_type_embeddings"),
    (r"(?:embeddings|embedding_postprocessor)/layer_norm/(\w+)", r"embeddings/LayerNorm/\1"),
    (r"LAYER/self_attention/(query|key|value)/(\w+)", r"encoder/\1/attention/self/\2/\3"),
    (r"LAYER/self_attention_output/(\w+)", r"encoder/\1/attention/output/dense/\2"),
    (r"LAYER/self_attention/attention_output/(\w+)", r"encoder/\1/attention/output/dense/\2"),
    (r"LAYER/self_attention_layer_norm/(\w+)", r"encoder/\1/attention/output/LayerNorm/\2"),
    (r"LAYER/(intermediate|output)/(\w+)", r"encoder/\1/\2/dense/\3"),
    (r"LAYER/output_layer_norm/(\w+)", r"encoder/\1/output/LayerNorm/\2"),
    (r"pooler_transform/(\w+)", r"pooler/dense/\1"),
    (r"bert/((?:embeddings|encoder|pooler)/.+)", r"\1"),  # TF1's are the release's own
)
_LAYER = r"(?:encoder|transformer)/(layer_\d+)"
_PATTERNS = tuple(
    (re.compile("(?:.*/)?" + hub.replace("LAYER", _LAYER)), "bert/" + release)
    for hub, release in _RENAMES
)
_PART_OF_AN_ENCODER = re.compile(r"(?:^|/)(?:layer_\d+|embedding\w*)/")
_HEADS = re.compile(r"(?i)[_-]A-(\d+)")
_CASING = re.compile(r"(?i)(?P<lower>uncased|chinese)|cased")

_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # in TF2's checkpoints only
_DO_LOWER_CASE = "do_lower_case/.ATTRIBUTES/VARIABLE_VALUE"
_SIZE_PER_HEAD = 64  # in every published BERT, from width 128 with 2 heads to width 1024 with 16
_DAMAGE = (message.DecodeError, tf.errors.OpError, IndexError)  # the last: tensors cut short
_TANH_GELU = 0.044715  # the factor of the cube in the tanh approximation


class _SavedModel(NamedTuple):
    """An open folder: its graphs (TF1 has one for training beside the one for inference) and its checkpoint."""

    folder: pathlib.Path
    graphs: list[Any]
    checkpoint: Any


def resolve(handle: str) -> str:
    """Return the local folder of a handle, downloaded to `$TFHUB_CACHE_DIR` the first time.

    Args:
      handle: address of a model, which is asked for as tfhub.dev delivers it (a .tar.gz), or a local folder.

    Raises:
      pretrained.PretrainedError: it could not be had.
    """
    import tensorflow_hub  # here, because it warns about pkg_resources and reading a folder needs it not

    try:
        return str(tensorflow_hub.resolve(os.path.expanduser(handle)))
    except (OSError, ValueError, http.client.HTTPException, tf.errors.OpError) as error:
        raise pretrained.PretrainedError(
            f"{handle!r} must be the address of a TensorFlow Hub model or a folder that holds one, got "
            f"{type(error).__name__}: {error}; check it, or download the model by hand and give its unpacked folder"
        ) from error


def read(folder: str | os.PathLike[str]) -> config_lib.SourceModel:
    """Read the BERT of a TF1 hub module or of a TF2 SavedModel; it is never a trained classifier.

    Sizes come from the variables. The number of heads is one of them in TF2 only: in TF1 it is read from a name like
    `..._A-12` (of the folder, of the one above it, or the handle that TensorFlow Hub's cache notes beside it), or else
    each head is 64 wide.

    Raises:
      FileNotFoundError: the folder holds no SavedModel, or no vocabulary.
      ValueError: the SavedModel is damaged, or holds no BERT of the release's architecture.
    """
    path = pathlib.Path(folder)
    try:
        saved = _open(path)
        names = _names_by_key(saved.checkpoint)
        keys = _keys_by_release_name(path, names)
        config = _config(saved, keys)
        variables = _variables(saved, keys, config)
        do_lower_case = _do_lower_case(saved)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} must be a whole SavedModel, got {error}; remove it and fetch it again"
        ) from error
    used = {keys[name] for name in variables}
    _report_left_out(path, [name for key, name in names.items() if key not in used])
    record = config_lib.ClassifierConfig(
        do_lower_case=do_lower_case,
        max_input_chars_per_word=200,
        max_seq_length=min(128, config.max_position_embeddings),
    )
    return config_lib.SourceModel(config, record, _vocabulary(path), variables)


def release_name(name: str) -> str | None:
    """Return the release's name of a variable on TensorFlow Hub; None for what is no part of an encoder.

    >>> release_name("bert_model/encoder/layer_0/self_attention_output/kernel")
    'bert/encoder/layer_0/attention/output/dense/kernel'
    >>> release_name("transformer/layer_0/self_attention/attention_output/kernel")
    'bert/encoder/layer_0/attention/output/dense/kernel'
    """
    for pattern, release in _PATTERNS:
        if match := pattern.fullmatch(name):
            return match.expand(release)
    return None


def merge_heads(name: str, value: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return a variable in the release's shape, where heads stand side by side; TF2 gives them a dimension.

    Args:
      name: the release's name.
      value: kernels [d, h, e], biases [h, e] and output kernels [h, e, d] of TF2's attention; others stay.
    """
    if re.search("/attention/self/.*/kernel$", name):
        value = value.reshape(len(value), -1)
    elif "/attention/self/" in name:
        value = value.reshape(-1)
    elif name.endswith("/attention/output/dense/kernel"):
        value = value.reshape(-1, value.shape[-1])
    return np.ascontiguousarray(value, np.float32)


def _open(folder: pathlib.Path) -> _SavedModel:
    graph, checkpoint = folder / "saved_model.pb", folder / "variables" / "variables"
    for file in (graph, pathlib.Path(f"{checkpoint}.index")):
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder} must be a SavedModel, but there is no {file}; give the folder of an unpacked model"
            )
    saved_model = saved_model_pb2.SavedModel.FromString(graph.read_bytes())
    return _SavedModel(
        folder, list(saved_model.meta_graphs), tf.train.load_checkpoint(str(checkpoint))
    )


def _names_by_key(checkpoint: Any) -> dict[str, str]:
    """Return the variables of a checkpoint: the key of each one, which in TF1 is its name -> its name."""
    keys = checkpoint.get_variable_to_shape_map()
    names = {}
    if _OBJECT_GRAPH in keys:
        graph = trackable_object_graph_pb2.TrackableObjectGraph()
        graph.ParseFromString(checkpoint.get_tensor(_OBJECT_GRAPH))
        names = {part.checkpoint_key: part.full_name for o in graph.nodes for part in o.attributes}
    no_weights = (_OBJECT_GRAPH, _DO_LOWER_CASE)
    return {key: names.get(key, key) for key in sorted(keys) if key not in no_weights}


def _keys_by_release_name(folder: pathlib.Path, names: Mapping[str, str]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for key, name in names.items():
        release = release_name(name)
        if release in keys:
            raise ValueError(
                f"{folder} must hold one BERT, got {release} from {keys[release]!r} and {key!r}; give a SavedModel of "
                "one encoder"
            )
        if release is not None:
            keys[release] = key
    return keys


def _config(saved: _SavedModel, keys: Mapping[str, str]) -> config_lib.BertConfig:
    tables = [f"bert/embeddings/{kind}_embeddings" for kind in ("word", "position", "token_type")]
    layer = "bert/encoder/layer_0"
    query, wide = f"{layer}/attention/self/query/kernel", f"{layer}/intermediate/dense/kernel"
    _check_all_there(saved.folder, keys, [*tables, query, wide])
    shapes = saved.checkpoint.get_variable_to_shape_map()
    (vocab_size, hidden_size), (positions, _), (types, _) = (shapes[keys[name]] for name in tables)
    layers = [int(match[1]) for name in keys if (match := re.search(r"/layer_(\d+)/", name))]
    return config_lib.BertConfig(
        vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=max(layers) + 1,
        num_attention_heads=_heads(saved.folder, shapes[keys[query]]),
        intermediate_size=shapes[keys[wide]][-1],
        hidden_act=_activation(saved),
        max_position_embeddings=positions,
        type_vocab_size=types,
    )


def _check_all_there(folder: pathlib.Path, found: Mapping[str, str], wanted: Iterable[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError(
            f"{folder} must hold a BERT, but has nothing for {', '.join(missing[:5])}{more}; give a BERT of TensorFlow "
            "Hub, such as google/bert_uncased_L-12_H-768_A-12 or tensorflow/bert_en_uncased_L-12_H-768_A-12"
        )


def _heads(folder: pathlib.Path, query_kernel: list[int]) -> int:
    if len(query_kernel) == 3:  # [d, h, e]
        return query_kernel[1]
    if match := _HEADS.search(_published_name(folder)):
        return int(match[1])
    hidden_size = query_kernel[0]
    if hidden_size % _SIZE_PER_HEAD:
        raise ValueError(
            f"{folder} must tell its number of attention heads by its name, as in ..._A-12, because its width "
            f"{hidden_size} is no multiple of {_SIZE_PER_HEAD}; rename the folder"
        )
    heads = hidden_size // _SIZE_PER_HEAD
    _log.info("%s: no name tells the heads; taking %d, each %d wide", folder, heads, _SIZE_PER_HEAD)
    return heads


def _published_name(folder: pathlib.Path) -> str:
    """Return the handle noted beside a folder of TensorFlow Hub's cache, or else the last two parts of its path.

    The cache names its folders by a hash; a copy made by hand may end in the version, as in `.../bert_..._A-12/1`.
    """
    absolute = folder.absolute()
    note = absolute.with_name(f"{absolute.name}.descriptor.txt")
    if note.is_file():
        return note.read_text(encoding="utf-8").partition("\n")[0]
    return f"{absolute.name} {absolute.parent.name}"  # the first match wins: the folder's own name


def _activation(saved: _SavedModel) -> str:
    """Return the `hidden_act` that the graph computes; the exact GELU has an Erf, the approximation a number."""
    nodes = list(_nodes(saved.graphs))
    if any(node.op == "Erf" for node in nodes):
        return "gelu"
    if any(_scalar(node) == np.float32(_TANH_GELU) for node in nodes):
        return "gelu_tanh"
    raise ValueError(
        f"{saved.folder} must hold a BERT with a GELU, but its graph has neither an Erf nor the tanh approximation's "
        f"{_TANH_GELU}; give another model"
    )


def _nodes(graphs: Iterable[Any]) -> Iterator[Any]:
    for graph in graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def _scalar(node: Any) -> Any:
    """Return the value of a node that is a constant without dimensions; None for any other."""
    if node.op != "Const" or node.attr["value"].tensor.tensor_shape.dim:
        return None
    return tf.make_ndarray(node.attr["value"].tensor).item()


def _do_lower_case(saved: _SavedModel) -> bool:
    if saved.checkpoint.has_tensor(_DO_LOWER_CASE):
        return bool(saved.checkpoint.get_tensor(_DO_LOWER_CASE))
    for graph in saved.graphs:
        told = graph.signature_def["tokenization_info"].outputs["do_lower_case"].name
        for node in graph.graph_def.node:
            if f"{node.name}:0" == told and (value := _scalar(node)) is not None:
                return bool(value)
    if match := _CASING.search(_published_name(saved.folder)):
        return match["lower"] is not None
    _log.info("%s: nothing tells the letter case; taking lower", saved.folder)
    return True


def _variables(
    saved: _SavedModel, keys: Mapping[str, str], config: config_lib.BertConfig
) -> dict[str, npt.NDArray[np.float32]]:
    wanted = weights.encoder_shapes(config) | weights.pooler_shapes(config)
    _check_all_there(saved.folder, keys, wanted)
    variables = {}
    for name, shape in wanted.items():
        variables[name] = merge_heads(name, saved.checkpoint.get_tensor(keys[name]))
        if variables[name].shape != shape:
            raise ValueError(
                f"{saved.folder} must hold {name} with shape {list(shape)}, got {list(variables[name].shape)}; give a "
                "BERT of the release's architecture"
            )
    return variables


def _report_left_out(folder: pathlib.Path, names: list[str]) -> None:
    """Log what is not the encoder's; refuse what is, for without it the encoder would compute something else."""
    strange = [name for name in names if _PART_OF_AN_ENCODER.search(name)]
    if strange:
        raise ValueError(
            f"{folder} must hold a BERT of the release's architecture, which has no {', '.join(strange[:5])}; give "
            "another model"
        )
    if names:
        _log.info("%s: %d variables left out: %s", folder, len(names), ", ".join(names))


def _vocabulary(folder: pathlib.Path) -> str:
    file = folder / "assets" / config_lib.VOCAB_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} must hold its vocabulary, but there is no {file}; put the model's own vocab.txt there"
        )
    tokenization.load_vocab(file)  # says what is wrong with it, where something is
    return file.read_bytes().decode("utf-8")
