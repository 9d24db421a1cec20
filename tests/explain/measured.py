"""What tests of an evaluation ask: five texts, and a tiny classifier with altered ones beside it."""

import pytest

from bert import alterations
from bert import datasets
from explain import evaluation
from explain import model

METHODS = ("gradient_x_input", "rollout", "random")
TEXTS = ("the film was so fine", "dull", "it was very dull and the film", "I fine me", "a film")
GOLD = ("good", "bad", None, "so-so", "good")


@pytest.fixture(scope="module")
def sides(folder):
    def load(alter=None):
        return model.load_explainer(folder, METHODS, alter=alter)

    return evaluation.Sides(
        load(),
        model.load_predictor(folder),
        {"top_2_of_2": load(alterations.randomised(2, 1))},
        [load(alterations.nearby(radius, 1)) for radius in (0.02, 0.05)],
    )


@pytest.fixture
def examples():
    return [
        datasets.InputExample(f"g{index}", text, None, label)
        for index, (text, label) in enumerate(zip(TEXTS, GOLD, strict=True))
    ]
