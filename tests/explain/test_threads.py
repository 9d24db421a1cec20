"""One model, asked by several threads at once in batches of changing size: a server's life.

On the code before the turns and `layers.for_threads` these tests abort the process: TensorFlow wrote past its memory.
"""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf

from explain import model
from explain import saved_model
from tests.explain import classifier_folder

THREADS, TURNS = 4, 40
LENGTHS = (2, 4, 6, 8, 10)


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("threads") / "model", tiny_release)


def largest_difference(ask, alone):
    """Return how far answers are from those that one text got alone; `ask` takes a place and a number of copies."""

    def differences(seed):
        rng = np.random.default_rng(seed)
        found = []
        for _ in range(TURNS):
            place, count = rng.integers(len(LENGTHS)), rng.integers(1, 9)
            found += [np.abs(one - alone[place]).max() for one in ask(place, count)]
        return found

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(differences, range(THREADS)))
    assert all(len(of_thread) >= TURNS for of_thread in found)
    return max(map(max, found))


@pytest.mark.parametrize("method", ["gradient_x_input", "occlusion"])
def test_threads_that_ask_at_once_get_what_each_gets_alone(trained, method):
    explainer = model.load_explainer(trained, [method])
    texts = [" ".join(["fine", "dull"] * (length // 2)) for length in LENGTHS]

    def ask(place, count):
        return [record.scores for record in explainer([texts[place]] * count)]

    alone = [ask(place, 1)[0] for place in range(len(texts))]
    assert largest_difference(ask, alone) < 1e-5


def test_so_do_those_of_an_exported_model(trained, tmp_path):
    saved_model.write(trained, tmp_path / "exported", with_text=False)
    answer = tf.saved_model.load(str(tmp_path / "exported")).signatures["ids"]

    def ask(place, count):
        ids = np.arange(2, 2 + LENGTHS[place], dtype=np.int32)[np.newaxis].repeat(count, axis=0)
        found = answer(
            input_ids=tf.constant(ids),
            input_mask=tf.ones_like(ids),
            segment_ids=tf.zeros_like(ids),
        )
        return found["attribution_gradient_x_input"].numpy()

    alone = [ask(place, 1)[0] for place in range(len(LENGTHS))]
    assert largest_difference(ask, alone) < 1e-5
