"""Places in the forward pass where an explanation reads or stops a gradient, collected while the graph is built.

With taps the same numbers are computed in a form whose factors have names: LayerNorm as (x - mean) * inv_std, an
activation as x * gate, a product of two functions of the input as the sum of two halves. A propagation rule is then a
choice of tensors for `tf.gradients(..., stop_gradients=...)`; the network is written once. Leaves to others: the rules
(`explain.relevance`).

Sources: Ali et al. 2022 (CP-LRP: attention and inv_std are constants); Achtibat et al. 2024 (AttnLRP: products share
relevance equally); Arras et al. 2025 (rules as changed gradients).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Dense(NamedTuple):
    """One use of a dense layer: y f[..., o] = x f[..., i] @ kernel f[i, o] + bias f[o]."""

    x: tf.Tensor
    kernel: tf.Tensor
    bias: tf.Tensor
    y: tf.Tensor


class Part(NamedTuple):
    """The taps of one encoder layer, or of the head, as `Taps` has them."""

    dense: list[Dense]
    biased: list[tuple[tf.Tensor, tf.Tensor]]


@dataclasses.dataclass
class Taps:
    """What the forward pass has put down so far, in its order.

    Attributes:
      inv_std: one over the standard deviation, of every LayerNorm, f[b, t, 1].
      gates: output over input of every activation, and of the pooler's tanh.
      halves: one half of every product of two functions of the input: attention scores, and contexts.
      dense: every dense layer: query, key, value, attention output, intermediate, output of each encoder layer; then
        the head's, the classifier last.
      biased: other sums that end in a constant: (sum f[b, t, d] or f[b, d], constant f[d], f[t, d] or f[b, t, d]);
        the two LayerNorms of each encoder layer, then the head's own.
      scores: attention scores before the softmax and the mask, f[b, h, q, k] a layer.
    """

    inv_std: list[tf.Tensor] = dataclasses.field(default_factory=list)
    gates: list[tf.Tensor] = dataclasses.field(default_factory=list)
    halves: list[tf.Tensor] = dataclasses.field(default_factory=list)
    dense: list[Dense] = dataclasses.field(default_factory=list)
    biased: list[tuple[tf.Tensor, tf.Tensor]] = dataclasses.field(default_factory=list)
    scores: list[tf.Tensor] = dataclasses.field(default_factory=list)

    def parts(self, layers: int) -> list[Part]:
        """Return the taps of each encoder layer, first layer first, and then the head's."""
        whole = [
            Part(self.dense[6 * layer : 6 * layer + 6], self.biased[2 * layer : 2 * layer + 2])
            for layer in range(layers)
        ]
        return [*whole, Part(self.dense[6 * layers :], self.biased[2 * layers :])]

    def halve(self, product: tf.Tensor) -> tf.Tensor:
        """Return the product, to the bit, as the sum of two halves of which one can be stopped."""
        half = tf.identity(product)
        self.halves.append(half)
        return 0.5 * product + 0.5 * half

    def gated(self, x: tf.Tensor, gate: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Return x times its gate."""
        self.gates.append(gate(x))
        return x * self.gates[-1]


def gelu_gate(x: tf.Tensor) -> tf.Tensor:
    """Return the normal distribution function, GELU's output over its input."""
    return 0.5 * tf.math.erfc(-x / math.sqrt(2.0))


def gelu_tanh_gate(x: tf.Tensor) -> tf.Tensor:
    """Return the tanh approximation of `gelu_gate`."""
    return 0.5 * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def relu_gate(x: tf.Tensor) -> tf.Tensor:
    """Return 1 where x is positive, else 0."""
    return tf.cast(x > 0, x.dtype)


def tanh_gate(x: tf.Tensor) -> tf.Tensor:
    """Return tanh(x) / x, which is 1 at 0."""
    is_small = tf.abs(x) < 1e-3  # below it the series' next term, 2/15 x**4, is beyond float64
    safe = tf.where(is_small, tf.ones_like(x), x)
    return tf.where(is_small, 1.0 - x**2 / 3.0, tf.tanh(safe) / safe)
