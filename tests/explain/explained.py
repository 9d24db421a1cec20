"""What the tests of the explainer share: texts, a classifier, and its answers."""

import pytest

from explain import attention
from explain import explainer as explainer_lib
from explain import model
from tests.explain import classifier_folder

TEXTS = [
    "The film was so fine!",
    "dull",
    ("it was very dull and", "I fine me"),
    "a a the Ünknown it",
]
FIVE = ("gradient_sensitivity", "gradient_x_input", "cp_lrp", "attn_lrp", "chefer")


@pytest.fixture(scope="module")
def folder(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("classifier"), tiny_release)


@pytest.fixture(scope="module")
def explainer(folder) -> explainer_lib.Explainer:
    asked = (*FIVE, "integrated_gradients", "rollout")
    return model.load_explainer(folder, asked, attn_processor_fn=attention.all_layers)


@pytest.fixture(scope="module")
def records(explainer):
    return explainer(TEXTS, labels=["good", None, 0, "so-so"])
