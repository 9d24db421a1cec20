"""Rows for a frozen classifier, and questions to it."""

import numpy as np
import tensorflow as tf

from bert import features as features_lib
from bert import frozen
from bert import model_folder


def row(length, seed=0, **asked):
    rng = np.random.default_rng([seed, length])
    ids, cut = rng.integers(1, 40, length), rng.integers(1, length + 1)
    segments = np.arange(length) >= cut
    encoding = features_lib.Encoding((), tuple(ids.tolist()), tuple(segments.astype(int).tolist()))
    return frozen.Row(encoding, **asked)


def everything(outputs, features):
    return {
        "probabilities": tf.nn.softmax(outputs.logits),
        "attention": tf.stack(outputs.attention_probs, axis=1),
        "matrix": tf.reduce_mean(outputs.attention_probs[0], axis=1),
        "mask": features.input_mask,
        "nothing": None,
    }


def probabilities(outputs, _):
    return tf.nn.softmax(outputs.logits)


def model(folder, *settings, **named):
    return frozen.FrozenModel(model_folder.load(folder), *settings, **named)
