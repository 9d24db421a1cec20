"""Weights changed on purpose: layers drawn anew, heads cut out, words moved; to see what explanations owe to them.

Leaves to others: reading the weights and running the model (`frozen`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import config as config_lib

Values: TypeAlias = Mapping[str, npt.NDArray[Any]]
Alter: TypeAlias = Callable[[Values, config_lib.BertConfig], Values]


def randomised(layers: int, seed: int, *, embeddings: bool = False) -> Alter:
    """Return what draws the classifier, the pooler and so many of the topmost layers anew, as before a training.

    Args:
      embeddings: draw these anew, too.

    Source: Adebayo et al. 2018, Sanity Checks for Saliency Maps, cascading randomisation.

    Raises (when it is used):
      ValueError: the model has fewer layers.
    """

    def alter(values: Values, config: config_lib.BertConfig) -> Values:
        count = config.num_hidden_layers
        if not 0 <= layers <= count:
            raise ValueError(
                f"layers to randomise must be from 0 to {count}, the model's; got {layers}"
            )
        kept = [f"bert/encoder/layer_{index}/" for index in range(count - layers)]
        kept += [] if embeddings else ["bert/embeddings/"]
        drawn = {
            name: _initial(name, value, config.initializer_range, [seed, index])
            for index, (name, value) in enumerate(values.items())
            if not name.startswith(tuple(kept))
        }
        return {**values, **drawn}

    return alter


def without_heads(heads: Collection[tuple[int, int]]) -> Alter:
    """Return what makes heads, (layer, head) each from 0, add nothing to what their layer puts out.

    Source: Michel et al. 2019, Are Sixteen Heads Really Better than One?, section 2.3.

    Raises (when it is used):
      ValueError: the model has no such head.
    """

    def alter(values: Values, config: config_lib.BertConfig) -> Values:
        changed = dict(values)
        size = config.size_per_head
        for layer, head in heads:
            name = f"bert/encoder/layer_{layer}/attention/output/dense/kernel"
            if name not in changed or not 0 <= head < config.num_attention_heads:
                raise ValueError(
                    f"a head must be (layer, head) below ({config.num_hidden_layers}, "
                    f"{config.num_attention_heads}), got {(layer, head)}"
                )
            changed[name] = changed[name].copy()
            changed[name][head * size : (head + 1) * size] = 0.0
        return changed

    return alter


def nearby(radius: float, seed: int) -> Alter:
    """Return what moves each word's embedding in a direction of its own, by `radius` times their mean length.

    Source: Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, definition 3 (inputs nearby).
    """

    def alter(values: Values, config: config_lib.BertConfig) -> Values:
        del config
        name = "bert/embeddings/word_embeddings"
        table = values[name]
        ways = np.random.default_rng(seed).normal(size=table.shape)
        ways *= (
            radius
            * np.mean(np.linalg.norm(table, axis=1))
            / np.linalg.norm(ways, axis=1, keepdims=True)
        )
        return {**values, name: (table + ways).astype(table.dtype)}

    return alter


def _initial(
    name: str, value: npt.NDArray[Any], spread: float, seed: list[int]
) -> npt.NDArray[Any]:
    if name.endswith(("gamma", "beta", "bias")):
        return np.full_like(value, name.endswith("gamma"))
    drawn = tf.random.stateless_truncated_normal(value.shape, seed, stddev=spread)
    array: npt.NDArray[Any] = drawn.numpy().astype(value.dtype)
    return array
