"""The release's variables: their names, shapes and initial values.

Kernels are [in, out], as the published checkpoints hold them. Leaves to others: what they compute (`modeling`), the
classifier's own (`classifier`), files (`checkpoints`).
"""

import re
import zlib
from typing import Any

import tensorflow as tf

from bert import config as config_lib
from bert import shapes


def encoder_shapes(
    config: config_lib.BertConfig, scope: str = "bert"
) -> dict[str, tuple[int, ...]]:
    """Return the encoder's variables, name to shape, in the release's order; kernels are [in, out].

    Raises:
      ValueError: the heads do not divide the width.
    """
    d, f = config.num_attention_heads * config.size_per_head, config.intermediate_size
    tables = {
        "word_embeddings": config.vocab_size,
        "token_type_embeddings": config.type_vocab_size,  # 0: a model that tells no segments apart
        "position_embeddings": config.max_position_embeddings,
    }
    shapes_by_name: dict[str, tuple[int, ...]] = {
        f"{scope}/embeddings/{name}": (rows, d) for name, rows in tables.items() if rows
    }
    shapes_by_name |= _layer_norm_shapes(f"{scope}/embeddings", d)
    for index in range(config.num_hidden_layers):
        layer = f"{scope}/encoder/layer_{index}"
        for projection in ("query", "key", "value"):
            shapes_by_name |= _dense_shapes(f"{layer}/attention/self/{projection}", d, d)
        shapes_by_name |= _dense_shapes(f"{layer}/attention/output/dense", d, d)
        shapes_by_name |= _layer_norm_shapes(f"{layer}/attention/output", d)
        shapes_by_name |= _dense_shapes(f"{layer}/intermediate/dense", d, f)
        shapes_by_name |= _dense_shapes(f"{layer}/output/dense", f, d)
        shapes_by_name |= _layer_norm_shapes(f"{layer}/output", d)
    return shapes_by_name


def pooler_shapes(config: config_lib.BertConfig, scope: str = "bert") -> dict[str, tuple[int, ...]]:
    """Return the variables of the [CLS] pooler, name to shape."""
    return _dense_shapes(f"{scope}/pooler/dense", config.hidden_size, config.hidden_size)


def _dense_shapes(name: str, width_in: int, width_out: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/kernel": (width_in, width_out), f"{name}/bias": (width_out,)}


def _layer_norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}/LayerNorm/beta": (width,), f"{name}/LayerNorm/gamma": (width,)}


def create(
    shapes_by_name: dict[str, tuple[int, ...]], initializer_range: float, *, trainable: bool = True
) -> dict[str, tf.Tensor]:
    """Create (or find, under variable reuse) a TF1 graph's variables with the release's initial values.

    Weights are truncated normal with standard deviation `initializer_range`, biases and beta 0, gamma 1.
    """
    return {
        name: tf.compat.v1.get_variable(
            name,
            shape,
            initializer=_initializer(name, initializer_range),
            trainable=trainable,
        )
        for name, shape in shapes_by_name.items()
    }


def in_precision(variables: shapes.Variables, dtype: str) -> shapes.Variables:
    """Return the variables with the kernels and biases of the encoder's layers cast; gradients reach the originals.

    Source: Micikevicius et al. 2018, Mixed Precision Training, section 3.1; bfloat16 needs no loss scaling.
    """
    return {
        name: tf.cast(value, dtype) if re.search("/encoder/.*(kernel|bias)$", name) else value
        for name, value in variables.items()
    }


def _initializer(name: str, initializer_range: float) -> Any:
    if name.endswith("gamma"):
        return tf.compat.v1.ones_initializer()
    if name.endswith(("beta", "bias")):
        return tf.compat.v1.zeros_initializer()
    # a seed by name, beside the graph's: what else the graph holds, replicas or hooks, changes no first value
    seed = zlib.crc32(name.encode())
    return tf.compat.v1.truncated_normal_initializer(stddev=initializer_range, seed=seed)
