import gc
import json
import pathlib
import resource
import shutil
import weakref

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from explain import model
from tests.explain import classifier_folder
from tests.explain import explained

TEXTS, FIVE = explained.TEXTS, explained.FIVE
folder, explainer, records = explained.folder, explained.explainer, explained.records
STATM = pathlib.Path("/proc/self/statm")


def test_without_rewritten_graphs_the_answer_is_the_same_to_the_bit(folder):
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        fresh = model.load_explainer(folder, ["gradient_x_input", "chefer"])
        plain = fresh.probabilities(TEXTS)
        found = np.stack([r.probabilities for r in fresh(TEXTS)[::2]])
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    np.testing.assert_array_equal(found, plain)


def test_five_methods_take_one_forward_and_three_backward_passes(folder, monkeypatch):
    passes, gradients = [], tf.gradients

    def counted(*args, **kwargs):
        passes.append(args)
        return gradients(*args, **kwargs)

    forwards, forward = [], classifier.forward

    def counted_forward(*args, **kwargs):
        forwards.append(args)
        return forward(*args, **kwargs)

    monkeypatch.setattr(tf, "gradients", counted)
    monkeypatch.setattr(classifier, "forward", counted_forward)
    assert len(model.load_explainer(folder, FIVE)(["dull"])) == 5
    assert len(passes) == 3
    assert len(forwards) == 1


@pytest.mark.parametrize(("method", "expected"), [("chefer", False), ("attn_lrp", True)])
def test_taps_are_built_only_for_methods_that_need_them(folder, method, expected, monkeypatch):
    asked, forward = [], classifier.forward

    def watched(*args, with_taps, **kwargs):
        asked.append(with_taps)
        return forward(*args, with_taps=with_taps, **kwargs)

    monkeypatch.setattr(classifier, "forward", watched)
    asked_often = model.load_explainer(folder, [method])
    asked_often.probabilities(["dull"])
    asked_often(["dull"])
    assert asked == [False, expected]


def test_a_graph_is_built_once_whatever_the_texts(folder, monkeypatch):
    built = []

    def method(question):
        built.append(question)
        return question.gradients.words[..., 0]

    fresh = model.load_explainer(folder, [method])
    for text in ("dull", "the film was fine", "i me"):
        fresh([text, text])
        fresh([text], target="good")
    assert len(built) == 1


def test_two_explainers_in_turn_do_not_disturb_each_other(folder, tiny_release, tmp_path):
    other_folder = classifier_folder.make(tmp_path, tiny_release, seed=12, labels=("0", "1"))
    one, other = (model.load_explainer(f, ["gradient_x_input"]) for f in (folder, other_folder))
    first = [one(["it was fine"])[0].scores, other(["it was fine"])[0].scores]
    again = [one(["it was fine"])[0].scores, other(["it was fine"])[0].scores]
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.abs(first[0] - first[1]).max() > 1e-3


@pytest.mark.skipif(not STATM.exists(), reason="wants Linux's /proc to read the memory in use")
def test_memory_stays_flat_over_many_calls(folder):
    def megabytes():
        return int(STATM.read_text().split()[1]) * resource.getpagesize() / 1e6

    asked_often = model.load_explainer(folder, ["gradient_x_input"])
    for _ in range(50):
        asked_often(TEXTS)
    before = megabytes()
    for _ in range(200):
        asked_often(TEXTS)
    assert megabytes() - before < 10


def test_an_explainer_that_is_let_go_leaves_the_memory(folder):
    explain = model.load_explainer(folder, ["gradient_x_input"])
    explain(["dull"])
    watched = weakref.ref(explain)
    weights = weakref.ref(explain._warm)
    del explain
    gc.collect()
    assert watched() is None
    assert weights() is None


@pytest.mark.parametrize("methods", [["cp_lrp"], ["gradient_x_input", "attn_lrp", "epsilon_lrp"]])
def test_methods_that_share_out_a_score_refuse_bfloat16(folder, methods):
    asked = ", ".join(name for name in methods if name.endswith("lrp"))
    with pytest.raises(ValueError, match=rf"be float32 or float64 for {asked}, whose shares would"):
        model.load_explainer(folder, methods, precision="bfloat16")


def test_layer_scores_keep_their_layers_whatever_the_length_of_the_longest_text(
    tiny_release, tmp_path
):
    release = tmp_path / "release"
    shutil.copytree(tiny_release, release)
    config_file = release / "bert_config.json"
    deeper = config_lib.BertConfig.from_json_file(config_file).to_dict()
    config_file.write_text(json.dumps(deeper | {"num_hidden_layers": 5}))
    explain = model.load_explainer(
        classifier_folder.make(tmp_path / "model", release),
        ["cp_lrp"],
        method_options={"cp_lrp": {"layers": True}},
    )
    longer, shorter = explain(["the film was fine", "dull"])
    assert longer.layer_scores.shape == (6, 6)  # as many tokens as layers and the embeddings
    assert shorter.layer_scores.shape == (6, 3)
    alone = explain(["dull"])[0].layer_scores
    np.testing.assert_allclose(shorter.layer_scores, alone, atol=1e-5)


def test_in_bfloat16_steps_are_not_doubled_for_what_rounding_leaves_open(folder):
    asked = {"integrated_gradients": {"steps": 32, "max_steps": 256}}
    texts = [text for text in TEXTS if isinstance(text, str)]
    halves, wholes = (
        model.load_explainer(
            folder, ["integrated_gradients"], precision=precision, method_options=asked
        )(texts)
        for precision in ("bfloat16", "float32")
    )
    for half, whole in zip(halves, wholes, strict=True):
        assert half.checks["steps"] <= 2 * whole.checks["steps"]
        assert half.checks["passed"]


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "random"])
def test_methods_with_loops_refuse_xla_in_one_line(folder, method):
    with pytest.raises(ValueError, match=rf"^engine must be 'tensorflow' for {method}, whose"):
        model.load_explainer(folder, [method], engine="xla")


def test_the_other_methods_say_the_same_when_compiled_by_xla(folder):
    asked = [*FIVE, "rollout", "lat", "attention_first"]
    plain, compiled = (
        model.load_explainer(folder, asked, engine=engine)(TEXTS)
        for engine in ("tensorflow", "xla")
    )
    for one, other in zip(plain, compiled, strict=True):
        size = np.abs(one.token_scores).max()
        np.testing.assert_allclose(other.token_scores, one.token_scores, atol=1e-4 * size)
