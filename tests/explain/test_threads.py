"""One explainer, asked by several threads at once."""

import concurrent.futures

import numpy as np
import pytest

from explain import model
from tests.explain import classifier_folder

THREADS, TURNS = 4, 40


@pytest.mark.parametrize("method", ["gradient_x_input", "cp_lrp"])
def test_threads_that_ask_at_once_get_what_each_gets_alone(tiny_release, tmp_path, method):
    explainer = model.load_explainer(classifier_folder.make(tmp_path / "m", tiny_release), [method])
    texts = [" ".join(["fine", "dull"] * count) for count in range(1, 6)]
    (*alone,) = (explainer([text])[0].scores for text in texts)

    def differences(seed):
        rng = np.random.default_rng(seed)
        for _ in range(TURNS):  # batches of another number of rows each time
            place, count = rng.integers(len(texts)), rng.integers(1, 9)
            for record in explainer([texts[place]] * count):
                yield float(np.abs(record.scores - alone[place]).max())

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda seed: list(differences(seed)), range(THREADS)))
    assert [len(of_thread) >= TURNS for of_thread in found] == [True] * THREADS
    assert max(map(max, found)) < 1e-5
