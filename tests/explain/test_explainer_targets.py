import numpy as np
import pytest

from explain import model
from tests.explain import classifier_folder
from tests.explain import explained

TEXTS, FIVE = explained.TEXTS, explained.FIVE
folder, explainer, records = explained.folder, explained.explainer, explained.records


def test_the_predicted_class_is_explained_unless_another_is_asked_for(explainer, records):
    assert all(r.target == r.predicted for r in records if r.method != "rollout")
    assert {r.target for r in records if r.method == "rollout"} == {""}
    by_label, by_index, by_text = (explainer(TEXTS[:1], target=name) for name in ("bad", 0, "0"))
    assert [r.target for r in by_text] == [r.target for r in by_index]
    for first, second in zip(by_label, by_index, strict=True):
        assert first.target == second.target == ("" if first.method == "rollout" else "bad")
        np.testing.assert_array_equal(first.scores, second.scores)
    gold = explainer(TEXTS[:2], target="gold", labels=["so-so", 1])
    assert [gold[0].target, gold[7].target] == ["so-so", "good"]


def test_all_classes_are_explained_in_one_call(explainer):
    found = explainer(TEXTS[:1], target="all")
    per_class = [(r.method, r.target) for r in found if r.method != "rollout"]
    assert per_class == [
        (name, label)
        for name in (*FIVE, "integrated_gradients")
        for label in classifier_folder.LABELS
    ]
    assert [r.target for r in found if r.method == "rollout"] == [""]
    for label in classifier_folder.LABELS:
        alone = {r.method: r for r in explainer(TEXTS[:1], target=label)}
        for record in found:
            if record.target == label:
                np.testing.assert_allclose(record.scores, alone[record.method].scores, atol=1e-5)


def test_a_contrast_is_one_class_less_another_whatever_hyphens_labels_have(explainer):
    first, second, lead = (
        {r.method: r for r in explainer(TEXTS[:1], target=target)}
        for target in ("so-so", "good", "so-so-good")
    )
    assert lead["cp_lrp"].target == "so-so-good"
    for name in ("gradient_x_input", "cp_lrp", "attn_lrp"):
        expected = first[name].token_scores - second[name].token_scores
        np.testing.assert_allclose(lead[name].token_scores, expected, atol=1e-5)
    other = "good" if first["cp_lrp"].predicted == "bad" else "bad"
    predicted = explainer(TEXTS[:1], target=f"predicted-{other}")[0]
    assert predicted.target == f"{predicted.predicted}-{other}"


def test_a_label_that_is_a_word_of_the_targets_is_asked_for_by_its_index(tiny_release, tmp_path):
    named = classifier_folder.make(tmp_path, tiny_release, labels=("all", "gold", "predicted"))
    explain = model.load_explainer(named, ["gradient_x_input"])
    for target, index in (("all", 0), ("gold", 1)):
        with pytest.raises(ValueError, match=rf"name the class by its index, {index}"):
            explain(["dull"], target=target)
        assert explain(["dull"], target=index)[0].target == target
    assert explain(["dull"])[0].target == explain(["dull"])[0].predicted


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"texts": "one"}, TypeError, r"got one str; write \[text\]"),
        ({"texts": ["fine", None]}, TypeError, r"str or a pair of str, got None"),
        ({"target": "neutral"}, ValueError, r"one of 'bad', 'good', 'so-so'.*got 'neutral'"),
        ({"target": 3}, ValueError, r"index from 0 to 2; got 3"),
        ({"target": "good-worse"}, ValueError, r"got 'good-worse'"),
        ({"target": "predicted-predicted"}, ValueError, r"of two classes, but 'predicted-pred"),
        ({"target": "good-good"}, ValueError, r"of two classes, but 'good-good' is one"),
        ({"target": "gold"}, ValueError, r"needs the true label of every text; give labels"),
        ({"labels": ["good"]}, ValueError, r"one a text, got \['good'\] for 2 texts"),
        ({"labels": ["good", "fine"]}, ValueError, r"got 'fine'"),
        ({"score": "odds"}, ValueError, r"logit, log_probability, probability; got 'odds'"),
        ({"score": "probability"}, ValueError, r"must be 'logit' for cp_lrp, attn_lrp"),
    ],
)
def test_a_wrong_question_is_refused_with_what_is_legal(explainer, arguments, error, told):
    with pytest.raises(error, match=told):
        explainer(**({"texts": ["fine", "dull"]} | arguments))
