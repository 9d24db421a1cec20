"""Gradient attributions: what a small change of each token's embedding does to the explained score.

`score` alone picks what is explained. Methods that read plain gradients share one backward pass, `Gradients`.
Leaves to others: gradients at other inputs than the text's own (`averaged_gradients`), propagation rules
(`relevance`), attention alone (`attention`), which methods there are by name (`methods`).

Sources: Simonyan et al. 2014 (sensitivity); Shrikumar et al. 2017 (gradient x input); Chefer et al. ICCV 2021
(attention x gradient).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import tensorflow as tf

from bert import classifier
from bert import features as features_lib
from bert import shapes

ScoreKind = Literal["logit", "log_probability", "probability"]
_SCORES: dict[ScoreKind, Callable[[shapes.Logits], tf.Tensor]] = {
    "logit": tf.identity,
    "log_probability": tf.nn.log_softmax,
    "probability": tf.nn.softmax,
}
ScoreFn = Callable[[shapes.Logits, features_lib.Features], shapes.PerExample]


def with_targets(features: features_lib.Features, logits: shapes.Logits) -> features_lib.Features:
    """Return the features with a target for every example: the predicted class where none is asked for."""
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    wanted = tf.fill(tf.shape(predicted), -1) if features.target is None else features.target
    contrast = features.contrast
    return features._replace(
        target=tf.where(wanted < 0, predicted, tf.cast(wanted, tf.int32)),
        contrast=tf.fill(tf.shape(predicted), -1)
        if contrast is None
        else tf.cast(contrast, tf.int32),
    )


def score(
    kind: ScoreKind, logits: shapes.Logits, features: features_lib.Features
) -> shapes.PerExample:
    """Return what is explained: the target class, or its lead over the contrast.

    A sum over it separates the examples of a batch. The difference of two logits is what a softmax decides by.

    Args:
      features: with targets, as `with_targets` gives them.
    """
    values = _SCORES[kind](logits)
    picked = tf.gather(values, features.target, batch_dims=1)
    against = tf.gather(values, tf.maximum(features.contrast, 0), batch_dims=1)
    return picked - tf.where(tf.less(features.contrast, 0), tf.zeros_like(against), against)


def is_ordinary(features: features_lib.Features, special: features_lib.SpecialIds) -> tf.Tensor:
    """Return which tokens stand for text, bool[b, t]: neither padding nor [CLS] nor [SEP]."""
    ids, is_real = features.input_ids, features.input_mask > 0
    # not `ids != ...`: in an Estimator's graph that asks whether two objects are the same
    return is_real & tf.not_equal(ids, special.cls) & tf.not_equal(ids, special.sep)


class Gradients(NamedTuple):
    """One backward pass from a score.

    Attributes:
      words: at the word embeddings.
      entered: at what enters layer 0, behind the embeddings' LayerNorm.
      attention: at the attention of each layer, before dropout; at the last layer's, of the tokens that the head reads.
      read: at the last hidden states that the head reads, f[b, t, d] or f[b, 1, d].
    """

    words: shapes.Embeddings
    entered: shapes.Hidden
    attention: tuple[shapes.AttentionProbs, ...]
    read: shapes.Hidden


def gradients_of(outputs: classifier.BertOutputs, score: shapes.PerExample) -> Gradients:
    """Run the backward pass; what is not fetched of it is not computed."""
    ends = [outputs.word_embeddings, outputs.embedding_output, outputs.read]
    probs = [*outputs.attention_probs[:-1], outputs.read_probs]
    found = tf.gradients(score, [*ends, *probs])
    words, entered, read, *attention = map(classifier.at_least_float32, found)
    return Gradients(words, entered, tuple(attention), read)


def gradient_sensitivity(
    outputs: classifier.BertOutputs, gradients: Gradients
) -> shapes.TokenScores:
    """Return how much the score can change per unit of change of a token's embedding: the gradient's L2 norm.

    Never negative. Source: Simonyan et al. 2014, section 3.
    """
    del outputs
    return tf.norm(gradients.words, axis=-1)


def gradient_sensitivity_squared(
    outputs: classifier.BertOutputs, gradients: Gradients
) -> shapes.TokenScores:
    """Return the squared norm of the gradient at what enters layer 0, as BERT-LRP defines sensitivity.

    Source: Wu and Ong 2021; frankaging/BERT-LRP 85b30a7.
    """
    del outputs
    return tf.reduce_sum(tf.square(gradients.entered), axis=-1)


def gradient_x_input(outputs: classifier.BertOutputs, gradients: Gradients) -> shapes.TokenScores:
    """Return the signed first-order share of each token: the gradient times the word embedding, summed.

    Exact for a linear model; in general it sums to nothing in particular. Taken at the word embeddings: at the sum
    before LayerNorm it is zero for every token, because LayerNorm ignores the scale of its input.

    Source: Shrikumar et al. 2017, section 2.
    """
    return tf.einsum("btd,btd->bt", gradients.words, outputs.word_embeddings)


def gradient_x_input_squared(
    outputs: classifier.BertOutputs, gradients: Gradients
) -> shapes.TokenScores:
    """Return the squared norm of gradient times input at what enters layer 0: BERT-LRP's variant, without a sign.

    Source: Wu and Ong 2021; frankaging/BERT-LRP 85b30a7.
    """
    return tf.reduce_sum(tf.square(gradients.entered * outputs.embedding_output), axis=-1)


def attention_x_gradient(
    outputs: classifier.BertOutputs, gradients: Gradients
) -> tuple[shapes.AttentionProbs, ...]:
    """Return what each weight of each head counts for: attention times its gradient, f[b, h, q, k] a layer.

    Signed; the mean of its positive part over the heads is what `chefer` carries through the layers. In the last layer
    0 for tokens that the head does not read.

    Source: Chefer et al., ICCV 2021, equation 5, before the positive part and the mean.
    """
    probs = [*outputs.attention_probs[:-1], outputs.read_probs]
    found = [
        gradient * classifier.at_least_float32(layer)
        for gradient, layer in zip(gradients.attention, probs, strict=True)
    ]
    unread = tf.shape(found[-1])[3] - tf.shape(found[-1])[2]
    found[-1] = tf.pad(found[-1], [[0, 0], [0, 0], [0, unread], [0, 0]])
    return tuple(found)


def head_importance(outputs: classifier.BertOutputs, gradients: Gradients) -> shapes.PerHead:
    """Return the score's derivative by a factor on each head's output, at 1: what the head counts for, f[b, l, h].

    The factor scales the head's attention, so that no mask need be built: the sum of attention times its gradient.

    Source: Michel et al. 2019, Are Sixteen Heads Really Better than One?, equations 2 and 5, before the absolute value
    and the mean over examples.
    """
    of_layers = attention_x_gradient(outputs, gradients)
    return tf.stack([tf.reduce_sum(layer, axis=[2, 3]) for layer in of_layers], axis=1)


def chefer(outputs: classifier.BertOutputs, gradients: Gradients) -> shapes.TokenScores:
    """Return the attention that raises the score, carried from layer to layer to what the head reads.

    Never negative, and of no fixed sum: compare tokens of one text only. The paper reads [CLS]'s row, as its head does;
    here the rows count by the size of the gradient at the last layer, which is [CLS] alone with the default head and
    every token alike where the head takes their mean.

    Source: Chefer et al., ICCV 2021, rules 5 to 7, self-attention alone.
    """
    sizes = tf.norm(gradients.read, axis=-1)
    shares = tf.math.divide_no_nan(sizes, tf.reduce_sum(sizes, axis=1, keepdims=True))
    unread = tf.shape(outputs.word_embeddings)[1] - tf.shape(sizes)[1]
    start = carried = tf.pad(shares, [[0, 0], [0, unread]])
    # these rows of (I + A_L) ... (I + A_1), from the last layer down: a vector, where the product is a matrix
    rows = shares
    for gradient, layer in reversed(
        list(zip(gradients.attention, outputs.layer_dicts(of_read=True), strict=True))
    ):
        (probs,) = layer.values()
        raising = tf.reduce_mean(tf.nn.relu(gradient * probs), axis=1)
        rows = carried = carried + tf.einsum("bq,bqk->bk", rows, raising)
    return carried - start
