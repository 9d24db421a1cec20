"""Models whose truth is known: sums of word weights; their texts, and what is measured of them."""

import numpy as np

from explain import faithfulness
from explain import removal

CLS, SEP, PAD, MASK = 0, 1, 2, 3
FIRST_WORD = 4
P = faithfulness.PROTOCOLS


class Model:
    """Logits are the sums of the weights f[v, c] of the tokens; records what it was asked."""

    def __init__(self, weights):
        self.weights = np.asarray(weights, np.float64)
        self.asked = []

    def __call__(self, rows):
        self.asked.append(rows)
        return np.stack([self.weights[list(row.input_ids)].sum(0) for row in rows])


def units_of(ids, word_of_token=None):
    """A text of one-token words, unless told otherwise, between [CLS] and [SEP]."""
    words = tuple(range(len(ids))) if word_of_token is None else tuple(word_of_token)
    tokens = (CLS, *ids, SEP)
    row = removal.Ids(tokens, (0,) * len(tokens), (1,) * len(tokens))
    return removal.Units(row, (-1, *words, -1), PAD, MASK)


def case_of(model, units, scores, gold=0, target=0):
    logits = model.weights[list(units.ids.input_ids)].sum(0)
    named = {name: np.asarray(values, np.float32) for name, values in scores.items()}
    return faithfulness.Case(units, named, target, gold, logits)


def planted(word_weights):
    """A model of two classes, logit 0 a sum of one weight a word, and the text of these words."""
    weights = np.zeros((FIRST_WORD + len(word_weights), 2))
    weights[FIRST_WORD:, 0] = word_weights
    return Model(weights), units_of(range(FIRST_WORD, len(weights)))


def measure_one(model, units, scores, name, gold=0, target=0, **options):
    options = {"draws": 0, **options}
    (found,) = faithfulness.measure(
        [case_of(model, units, {"method": scores}, gold, target)], [P[name]], model, **options
    )
    return found.methods["method"][name]


def sigmoid(value):
    return 1 / (1 + np.exp(-value))
