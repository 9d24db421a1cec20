"""The parts that networks are made of: activations, dropout, dense layers, LayerNorm, table look-ups.

Each computes in the precision of what it is given. Leaves to others: how a BERT puts them together (`encoder`).
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

import tensorflow as tf

from bert import shapes
from bert import taps as taps_lib


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit with the exact erf, as the published weights were trained with.

    Source: Hendrycks and Gimpel 2016; google-research/bert until 2019-02-07.
    """
    return tf.nn.gelu(x, approximate=False)


def gelu_tanh(x: tf.Tensor) -> tf.Tensor:
    """Tanh approximation of the GELU, at most 5e-4 from the exact one; google-research/bert's newest code."""
    return tf.nn.gelu(x, approximate=True)


_ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor] | None] = {
    "gelu": gelu,
    "gelu_python": gelu,  # Hugging Face's name
    "gelu_tanh": gelu_tanh,
    "gelu_new": gelu_tanh,  # Hugging Face's name
    "gelu_pytorch_tanh": gelu_tanh,  # Hugging Face's newer name
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
    "linear": None,
}


_GATES: dict[Callable[[tf.Tensor], tf.Tensor], Callable[[tf.Tensor], tf.Tensor]] = {
    gelu: taps_lib.gelu_gate,
    gelu_tanh: taps_lib.gelu_tanh_gate,
    tf.nn.relu: taps_lib.relu_gate,
    tf.tanh: taps_lib.tanh_gate,
}


def activate(
    activation: Callable[[tf.Tensor], tf.Tensor], x: tf.Tensor, taps: taps_lib.Taps | None = None
) -> tf.Tensor:
    """Apply an activation; with taps, as x times a gate."""
    return taps.gated(x, _GATES[activation]) if taps else activation(x)


def get_activation(activation_string: str) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Return the activation that `hidden_act` names; None for "linear".

    Raises:
      ValueError: the name is unknown.
    """
    if activation_string.lower() not in _ACTIVATIONS:
        legal = ", ".join(_ACTIVATIONS)
        raise ValueError(f"hidden_act must be one of {legal}; got {activation_string!r}")
    return _ACTIVATIONS[activation_string.lower()]


def keep_all(values: tf.Tensor, rate: float, name: str) -> tf.Tensor:
    """Dropout of inference: nothing is dropped."""
    del rate, name
    return values


def stateless_dropout(seed: int, step: shapes.Step) -> shapes.Dropout:
    """Return a dropout whose mask is a function of (seed, training step, place): a resumed run repeats itself.

    Rates are rounded to a multiple of 2**-16, and what is kept is scaled by the rounded one, so its mean is exact.
    """

    def drop(values: tf.Tensor, rate: float, name: str) -> tf.Tensor:
        if rate == 0.0:
            return values
        place = sum(ord(letter) * 31**index for index, letter in enumerate(name)) % (2**31 - 1)
        key = tf.stack([tf.constant(seed ^ place, tf.int64), tf.cast(step, tf.int64)])
        # 16 random bits a value, of words of 32: half the work of a float each
        size, dropped = tf.size(values), round(rate * 2**16)
        words = tf.random.stateless_uniform([(size + 1) // 2], key, None, None, tf.uint32)
        bits = tf.reshape(tf.bitcast(words, tf.int16), [-1])[:size]
        is_kept = tf.reshape(bits >= dropped - 2**15, tf.shape(values))
        return tf.where(is_kept, values * (2**16 / (2**16 - dropped)), tf.zeros([], values.dtype))

    return drop


def dense(
    variables: shapes.Variables, name: str, x: tf.Tensor, taps: taps_lib.Taps | None = None
) -> tf.Tensor:
    """Apply kernel and bias to the last dimension; one flat matmul, which oneDNN fuses with the bias.

    Given flat rows f[n, d], it also fuses what follows: an activation, or a residual.
    """
    kernel, bias = variables[f"{name}/kernel"], variables[f"{name}/bias"]
    flat = tf.reshape(x, [-1, kernel.shape[0]]) if x.shape.rank != 2 else x
    y = tf.nn.bias_add(tf.matmul(flat, kernel), bias)
    if flat is not x:
        y = tf.reshape(y, tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], axis=0))
    if taps:
        taps.dense.append(taps_lib.Dense(x, kernel, bias, y))
    return y


_is_for_threads = contextvars.ContextVar("is_for_threads", default=False)


@contextlib.contextmanager
def for_threads() -> Iterator[None]:
    """Build, within, graphs that several threads may run at once, as a server does.

    TensorFlow's oneDNN kernels for batch norms keep the number of rows from one moment to the next: two threads in one
    would write past its memory. Without them LayerNorm takes several kernels.
    """
    token = _is_for_threads.set(True)
    try:
        yield
    finally:
        _is_for_threads.reset(token)


def layer_norm(
    variables: shapes.Variables,
    name: str,
    x: tf.Tensor,
    epsilon: float,
    taps: taps_lib.Taps | None = None,
) -> tf.Tensor:
    """Normalise the last dimension with the gamma and beta of one place in the network."""
    place = f"{name}/LayerNorm"
    return normalise(x, variables[f"{place}/gamma"], variables[f"{place}/beta"], epsilon, taps)


def normalise(
    x: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    taps: taps_lib.Taps | None = None,
) -> tf.Tensor:
    """Bring the last dimension to mean 0 and variance 1, then scale by gamma and shift by beta.

    Source: Ba et al. 2016. A constant row gives beta.
    """
    if taps is None and x.dtype != tf.float64 and not _is_for_threads.get():
        rows = x if x.shape.rank == 2 else tf.reshape(x, [-1, x.shape[-1]])
        y = _normalised_rows(rows, epsilon) * tf.cast(gamma, x.dtype) + tf.cast(beta, x.dtype)
        return y if rows is x else tf.reshape(y, tf.shape(x))
    mean = tf.reduce_mean(x, axis=-1, keepdims=True)
    inv_std = tf.math.rsqrt(
        tf.reduce_mean(tf.math.squared_difference(x, mean), axis=-1, keepdims=True) + epsilon
    )
    # not ((x - mean) * inv_std) * gamma: TensorFlow 2.15.1's oneDNN remapper aborts the process on that chain when
    # the shape is unknown to a TF1 session
    y = (x - mean) * (inv_std * gamma) + beta
    if taps:
        taps.inv_std.append(inv_std)
        taps.biased.append((y, beta))
    return y


def _normalised_rows(x: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Bring every row of f[n, d] to mean 0 and variance 1, as a batch norm of one example, the rows its channels.

    Computed in float32 whatever goes in and out. With gamma and beta behind it oneDNN makes one kernel of it all.
    """
    count = tf.shape(x)[0]
    normed, _, _ = tf.compat.v1.nn.fused_batch_norm(
        tf.reshape(x, [1, count, x.shape[-1], 1]),
        tf.fill([count], 1.0),
        tf.fill([count], 0.0),
        epsilon=epsilon,
        data_format="NCHW",
        is_training=True,
    )
    return tf.reshape(normed, tf.shape(x))


def look_up(table: tf.Tensor, ids: tf.Tensor, *, one_hot: bool = False) -> tf.Tensor:
    """Return the table's row of each id, i[...] to f[..., d]; `one_hot` multiplies instead of gathering."""
    if not one_hot:
        return tf.gather(table, ids)
    rows = tf.one_hot(ids, table.shape[0], dtype=table.dtype)
    return tf.einsum("...v,vd->...d", rows, table)
