"""Layer-wise relevance propagation: the score shared out backwards, layer by layer, to the tokens.

Relevance is R = y * g at every place: the value times a gradient in which some factors are held constant (see
`bert.taps`). CP-LRP and AttnLRP are one backward pass. The rules for dense layers change g at each of them, and walk
from one dense layer to the one before; between them they choose as CP-LRP does. What is shared out, `score` f[b], must
be a logit or a difference of logits.

**Patents.** Layer-wise relevance propagation is covered by patents of its inventors, who allow personal and scientific
use; ask them before other use. No method of this module is ever a default.

Leaves to others: the forward pass with taps (`classifier.forward(..., with_taps=True)`), words (`words`).

Sources: Bach et al. 2015 (LRP); Ali et al. 2022 (CP-LRP); Achtibat et al. 2024 (AttnLRP); Wu and Ong 2021.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from bert import classifier
from bert import shapes
from bert import taps as taps_lib


class Relevance(NamedTuple):
    """What reached the tokens, and where the rest of the score went.

    Attributes:
      token_scores: relevance at what enters layer 0, summed over the width; signed, in units of the score.
      layer_scores: f[b, l + 1, t], the same there and at the output of every layer.
      biases: relevance of all constants: biases, betas.
      softmax: relevance that the softmax's rule keeps; 0 for all but AttnLRP.
      damped: relevance that the stabiliser keeps; 0 for all but LRP-epsilon.
      score: what was shared out; token scores, biases, softmax and damped sum to it.
    """

    token_scores: shapes.TokenScores
    layer_scores: tf.Tensor
    biases: shapes.PerExample
    softmax: shapes.PerExample
    damped: shapes.PerExample
    score: shapes.PerExample

    @property
    def ledger_error(self) -> shapes.PerExample:
        """Return what is missing from the ledger, relative to the score's size or 1."""
        reached = tf.reduce_sum(self.token_scores, axis=1)
        parts = reached + self.biases + self.softmax + self.damped
        return tf.abs(parts - self.score) / tf.maximum(tf.abs(self.score), 1.0)


class UnsignedRelevance(NamedTuple):
    """What BERT-LRP gives: sizes without a ledger, for its rules neither keep signs nor sum to the score.

    Attributes:
      token_scores: absolute relevance at what enters layer 0, summed over the width.
      layer_scores: f[b, l + 1, t], the same there and at the output of every layer.
      entered: relevance of each dimension of what enters layer 0.
    """

    token_scores: shapes.TokenScores
    layer_scores: tf.Tensor
    entered: shapes.Hidden


def cp_lrp(outputs: classifier.BertOutputs, score: shapes.PerExample) -> Relevance:
    """Share the score out with attention, LayerNorm's scale and the activations' gates held constant.

    Without biases the token scores sum to the score. Source: Ali et al. 2022, section 3.2; with the gates it is
    DecompX (Modarressi et al. 2023) without its bias term.
    """
    return _propagate(outputs, score, _frozen(outputs))


def attn_lrp(outputs: classifier.BertOutputs, score: shapes.PerExample) -> Relevance:
    """Share the score out through the softmax too; a product's factors get half each.

    Source: Achtibat et al. 2024, equations 12 to 15.
    """
    taps = _taps(outputs)
    stops = [*taps.halves, *taps.inv_std, *taps.gates]
    return _propagate(outputs, score, stops, before=taps.scores, after=outputs.attention_probs)


def epsilon_lrp(
    outputs: classifier.BertOutputs, score: shapes.PerExample, *, epsilon: float = 1e-6
) -> Relevance:
    """Share the score out by LRP-epsilon at every dense layer; elsewhere as `cp_lrp`, which is epsilon 0.

    Raises:
      ValueError: epsilon is negative.

    Source: Bach et al. 2015, equation 58.
    """
    if epsilon < 0.0:
        raise ValueError(f"epsilon must be at least 0, got {epsilon}; a usual value is 1e-6")
    return _walk(outputs, score, functools.partial(epsilon_rule, epsilon=epsilon))


def alpha_beta_lrp(
    outputs: classifier.BertOutputs,
    score: shapes.PerExample,
    *,
    alpha: float = 2.0,
    beta: float = 1.0,
) -> Relevance:
    """Share the score out by LRP-alpha-beta at every dense layer, which keeps all of it; elsewhere as `cp_lrp`.

    What is missing from the tokens went to LayerNorm's betas.

    Raises:
      ValueError: alpha - beta is not 1.

    Source: Bach et al. 2015, equation 60.
    """
    if abs(alpha - beta - 1.0) > 1e-9:  # 1e-9: 1.1 - 0.1 is not 1 in floating point
        raise ValueError(
            f"alpha - beta must be 1 for relevance to be kept, got alpha={alpha}, beta={beta}; "
            f"with this alpha, beta is {alpha - 1.0:g}"
        )
    return _walk(outputs, score, functools.partial(alpha_beta_rule, alpha=alpha, beta=beta))


class Passed(NamedTuple):
    """A gradient that a dense layer hands on to its x, and the relevance that went elsewhere."""

    gradient: tf.Tensor
    biases: shapes.PerExample
    damped: shapes.PerExample


DenseRule = Callable[[taps_lib.Dense, tf.Tensor], Passed]
"""(dense layer, gradient at its y) -> what it hands on."""


def epsilon_rule(dense: taps_lib.Dense, gradient: tf.Tensor, *, epsilon: float) -> Passed:
    """R_i = sum over j of z_ij / (y_j + epsilon sgn y_j) R_j, with z_ij = x_i w_ij and sgn 0 = 1.

    As a gradient it needs no division by a small y: the stabiliser keeps epsilon / (abs(y) + epsilon) of each R_j.
    """
    share = tf.math.divide_no_nan(tf.constant(epsilon, dense.y.dtype), tf.abs(dense.y) + epsilon)
    kept = gradient - gradient * share
    return Passed(
        _backward(kept, dense.kernel),
        _per_example(kept * dense.bias),
        _per_example(gradient * dense.y * share),
    )


def alpha_beta_rule(
    dense: taps_lib.Dense, gradient: tf.Tensor, *, alpha: float, beta: float
) -> Passed:
    """R_i = sum over j of (alpha z_ij+ / sum of z_ij+ - beta z_ij- / sum of z_ij-) R_j, with z_ij = x_i w_ij.

    The bias takes no part. Where one of the sums is 0 the other's part gets all of R_j; where both are, only the bias
    made y_j, and it gets R_j.
    """
    x, relevance = dense.x, gradient * dense.y
    (x_positive, x_negative), (positive, negative) = _by_sign(x), _by_sign(dense.kernel)
    raising = _forward(x_positive, positive) + _forward(x_negative, negative)
    lowering = _forward(x_positive, negative) + _forward(x_negative, positive)
    to_raising = tf.where(lowering < 0, alpha * relevance, relevance)
    to_lowering = tf.where(raising > 0, -beta * relevance, relevance)
    up = tf.math.divide_no_nan(to_raising, raising)
    down = tf.math.divide_no_nan(to_lowering, lowering)
    passed = tf.where(
        x > 0,
        _backward(up, positive) + _backward(down, negative),
        _backward(up, negative) + _backward(down, positive),
    )
    is_bias_alone = tf.equal(raising, lowering)  # one is >= 0, the other <= 0
    biases = _per_example(relevance * tf.cast(is_bias_alone, relevance.dtype))
    return Passed(passed, biases, tf.zeros_like(biases))


def weight_sign_rule(dense: taps_lib.Dense, relevance: tf.Tensor) -> tf.Tensor:
    """Return BERT-LRP's relevance at x: split by the sign of the weight, then made to carry one sign an example.

    Half of each R_j goes by x_i w_ij+ / z_j+ and half by x_i w_ij- / z_j-; the absolute values are then scaled to the
    sum of R. Not the alpha-beta rule, for x has both signs.

    Source: frankaging/BERT-LRP at 85b30a7, util/lrp.py, backprop_lrp_fc and rescale_lrp.
    """
    stabiliser = 1e-7  # of BERT-LRP, in the sums too
    (positive, negative), (raising, lowering) = _by_sign(dense.kernel), _by_sign(dense.bias)
    up = relevance / (_forward(dense.x, positive) + raising + stabiliser)
    down = relevance / (_forward(dense.x, negative) + lowering - stabiliser)
    sizes = tf.abs(dense.x * 0.5 * (_backward(up, positive) + _backward(down, negative)))
    scale = (_per_example(relevance) + stabiliser) / (_per_example(sizes) + stabiliser)
    return sizes * tf.reshape(scale, [-1] + [1] * (sizes.shape.rank - 1))


def bert_lrp_2021(outputs: classifier.BertOutputs, score: shapes.PerExample) -> UnsignedRelevance:
    """Repeat BERT-LRP's published rule, to compare with it; `alpha_beta_lrp` and `attn_lrp` are the sound ones.

    A residual hands the whole of R both through the skip and, as a gradient, through the branch, which its dense
    layers hand on again: nothing is kept from layer to layer. A head other than the release's, which BERT-LRP does not
    have, is shared out as by `cp_lrp` between its dense layers.

    Source: frankaging/BERT-LRP at 85b30a7, its "quick" way through attention.
    """
    states = _states(outputs)
    start = Passed(tf.ones_like(score), tf.zeros_like(score), tf.zeros_like(score))

    def head_rule(dense: taps_lib.Dense, gradient: tf.Tensor) -> Passed:
        at_x = weight_sign_rule(dense, gradient * dense.y)
        return start._replace(gradient=tf.math.divide_no_nan(at_x, dense.x))

    *layers, head = _taps(outputs).parts(len(outputs.hidden_states))
    in_head = _descend(score, start, states[-1], head, _frozen(outputs), head_rule)
    relevances = [in_head.gradient * states[-1]]
    for index, layer in reversed(list(enumerate(layers))):
        entered, left = states[index : index + 2]
        relevances.append(_through_layer(layer, entered, left, relevances[-1]))
    sizes = tf.stack([tf.reduce_sum(tf.abs(r), axis=-1) for r in relevances[::-1]], axis=1)
    return UnsignedRelevance(sizes[:, 0], sizes, relevances[-1])


def _through_layer(
    layer: taps_lib.Part, entered: tf.Tensor, left: tf.Tensor, relevance: tf.Tensor
) -> tf.Tensor:
    """Return BERT-LRP's relevance at what enters a layer."""
    *query_key_value, attention_output, intermediate, output = layer.dense
    middle, context = intermediate.x, attention_output.x
    # total: by way of the skip and, what BERT-LRP counts twice, of the branch
    at_output, total = tf.gradients(left, [output.y, middle], relevance)
    at_wide = weight_sign_rule(output, at_output)  # the activation hands it on unchanged
    at_middle = weight_sign_rule(intermediate, at_wide) + total
    at_mixed, total = tf.gradients(middle, [attention_output.y, entered], at_middle)
    at_context = weight_sign_rule(attention_output, at_mixed)
    at_parts = tf.gradients(context, [dense.y for dense in query_key_value], at_context)
    branch = [
        weight_sign_rule(dense, part) for dense, part in zip(query_key_value, at_parts, strict=True)
    ]
    return tf.add_n([*branch, total])


def _walk(outputs: classifier.BertOutputs, score: shapes.PerExample, rule: DenseRule) -> Relevance:
    states, parts = _states(outputs), _taps(outputs).parts(len(outputs.hidden_states))
    stops, nothing = _frozen(outputs), tf.zeros_like(score)
    top, passed, shares = score, Passed(tf.ones_like(score), nothing, nothing), []
    for state, part in zip(states[::-1], parts[::-1], strict=True):
        passed = _descend(top, passed, state, part, stops, rule)
        shares.append(passed.gradient * state)
        top = state
    return _relevance(shares[::-1], passed.biases, nothing, passed.damped, score)


def _descend(
    top: tf.Tensor,
    passed: Passed,
    bottom: tf.Tensor,
    part: taps_lib.Part,
    stops: Sequence[tf.Tensor],
    rule: DenseRule,
) -> Passed:
    """Go from the top of a part of the network to its bottom, by the rule at each dense layer; add to what is kept."""
    stops = [*stops, *(dense.y for dense in part.dense)]
    places, gradients, biases, damped = [top], [passed.gradient], [passed.biases], [passed.damped]
    for _, group in itertools.groupby(reversed(part.dense), lambda dense: dense.x.ref()):
        beside = list(group)  # query, key and value
        at_ys = tf.gradients(places, [dense.y for dense in beside], gradients, stop_gradients=stops)
        for dense, at_y in zip(beside, at_ys, strict=True):
            if at_y is None:  # query and key, for attention is constant
                continue
            places.append(dense.x)
            passed = rule(dense, at_y)
            gradients.append(passed.gradient)
            biases.append(passed.biases)
            damped.append(passed.damped)
    ends = [bottom, *(y for y, _ in part.biased)]
    at_bottom, *at_sums = tf.gradients(places, ends, gradients, stop_gradients=stops)
    for at_sum, (_, constant) in zip(at_sums, part.biased, strict=True):
        biases.append(_per_example(at_sum * constant))
    return Passed(at_bottom, tf.add_n(biases), tf.add_n(damped))


def _taps(outputs: classifier.BertOutputs) -> taps_lib.Taps:
    if outputs.taps is None:
        raise ValueError("relevance needs a forward pass with taps; call forward(with_taps=True)")
    return outputs.taps


def _states(outputs: classifier.BertOutputs) -> list[shapes.Hidden]:
    return [outputs.embedding_output, *outputs.hidden_states]


def _frozen(outputs: classifier.BertOutputs) -> list[tf.Tensor]:
    taps = _taps(outputs)
    return [*outputs.attention_probs, *taps.inv_std, *taps.gates]


def _propagate(
    outputs: classifier.BertOutputs,
    score: shapes.PerExample,
    stops: Sequence[tf.Tensor],
    *,
    before: Sequence[tf.Tensor] = (),
    after: Sequence[tf.Tensor] = (),
) -> Relevance:
    """Share the score out by one backward pass; `before` and `after` are the two sides of what keeps relevance."""
    taps, states, nothing = _taps(outputs), _states(outputs), tf.zeros_like(score)
    biased = [*((dense.y, dense.bias) for dense in taps.dense), *taps.biased]
    inner = [*states, *after, *before]
    gradients = tf.gradients(
        score,
        [*inner, *(y for y, _ in biased)],
        stop_gradients=list(stops),
        unconnected_gradients=tf.UnconnectedGradients.ZERO,
    )
    factors = [*inner, *(constant for _, constant in biased)]
    shares = [gradient * factor for gradient, factor in zip(gradients, factors, strict=True)]
    at_states, rest = shares[: len(states)], [_per_example(r) for r in shares[len(states) :]]
    softmax = sum(rest[: len(after)], nothing) - sum(rest[len(after) : 2 * len(after)], nothing)
    biases = sum(rest[2 * len(after) :], nothing)
    return _relevance(at_states, biases, softmax, nothing, score)


def _relevance(
    at_states: Sequence[tf.Tensor],
    biases: shapes.PerExample,
    softmax: shapes.PerExample,
    damped: shapes.PerExample,
    score: shapes.PerExample,
) -> Relevance:
    layer_scores = tf.stack([tf.reduce_sum(share, axis=-1) for share in at_states], axis=1)
    return Relevance(layer_scores[:, 0], layer_scores, biases, softmax, damped, score)


def _matmul(x: tf.Tensor, kernel: tf.Tensor, *, transpose_b: bool) -> tf.Tensor:
    flat = tf.reshape(
        x, [-1, x.shape[-1]]
    )  # one flat product is several times faster than b of them
    product = tf.matmul(flat, kernel, transpose_b=transpose_b)
    return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [product.shape[-1]]], axis=0))


_forward = functools.partial(_matmul, transpose_b=False)
_backward = functools.partial(_matmul, transpose_b=True)


def _by_sign(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.nn.relu(values), -tf.nn.relu(-values)


def _per_example(values: tf.Tensor) -> shapes.PerExample:
    return tf.reduce_sum(values, axis=list(range(1, values.shape.rank)))
