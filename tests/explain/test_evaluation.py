"""Texts measured by every protocol."""

import dataclasses

import numpy as np
import pytest
from scipy import special

from explain import evaluation
from explain import faithfulness
from explain import rationales
from explain import removal
from explain import robustness
from explain import statistics
from tests.explain import explained
from tests.explain import measured

folder = explained.folder
METHODS, TEXTS, sides, examples = (
    measured.METHODS,
    measured.TEXTS,
    measured.sides,
    measured.examples,
)
PLAN = evaluation.Plan(list(faithfulness.PROTOCOLS.values()), draws=3, sanity_texts=2)


def test_each_text_is_measured_by_every_protocol_beside_random_rankings(sides, examples):
    lines = list(evaluation.measure(sides, PLAN, examples, {}))
    assert [line["guid"] for line in lines] == [example.guid for example in examples]
    assert [line["gold"] for line in lines] == [1, 0, None, 2, 1]
    records = sides.explainer(TEXTS)
    for line, record in zip(lines, records[::3], strict=True):
        assert line["scores"].keys() == set(METHODS)
        np.testing.assert_array_equal(np.float32(line["scores"]["gradient_x_input"]), record.scores)
        assert line["predicted"] == int(np.argmax(record.probabilities))
        for method in METHODS:
            assert faithfulness.PROTOCOLS.keys() <= line["measures"][method].keys()
        assert line["floor"].keys() >= faithfulness.PROTOCOLS.keys()


def test_the_figures_are_those_of_the_measures_asked_directly(sides, examples):
    line = list(evaluation.measure(sides, PLAN, examples, {}))[2]
    (units,) = sides.predictor.units(TEXTS[2:3])
    scores = np.float32(line["scores"]["rollout"])
    top = int(np.argmax(scores))
    keep = [place for place, word in enumerate(units.word_of_token) if word != top]
    without = type(units.ids)(*(tuple(row[place] for place in keep) for row in units.ids))
    full, less = sides.predictor.logits([units.ids, without])

    def probability(logits):
        return float((np.exp(logits) / np.exp(logits).sum())[line["predicted"]])

    found = line["measures"]["rollout"]["eraser_comprehensiveness"]["at_10"]  # 1 of 7 words
    assert found == pytest.approx(probability(full) - probability(less), abs=1e-6)


def test_only_the_first_texts_are_explained_by_altered_weights(sides, examples):
    lines = list(evaluation.measure(sides, PLAN, examples[1:], {}, first=1))
    sane, others = lines[0]["measures"], lines[1]["measures"]
    assert "random_logit" not in others["rollout"]
    assert set(sane["rollout"]["randomisation"]) == {"top_2_of_2"}


def test_sanity_checks_tell_methods_that_know_class_and_model_from_those_that_do_not(
    sides, examples
):
    (line, *_) = evaluation.measure(sides, PLAN, examples, {})
    of = line["measures"]
    assert of["rollout"]["random_logit"]["spearman"] == pytest.approx(1.0)
    assert of["random"]["randomisation"]["top_2_of_2"] == pytest.approx(1.0)
    assert of["random"]["sensitivity"]["max"] == 0.0
    record = sides.explainer(TEXTS[:1])[0]
    moved = [near(TEXTS[:1], target=record.predicted)[0].scores for near in sides.nearby]
    assert of["gradient_x_input"]["sensitivity"]["max"] == pytest.approx(
        robustness.max_sensitivity(record.scores, np.stack(moved)), rel=1e-3
    )
    assert of["gradient_x_input"]["sensitivity"]["max"] > 0.0
    probabilities = np.array(line["probabilities"])
    first, second = (int(index) for index in np.argsort(probabilities)[[-1, -2]])
    ours, other = (
        sides.explainer(TEXTS[:1], target=target)[0].scores for target in (first, second)
    )
    assert of["gradient_x_input"]["random_logit"]["spearman"] == pytest.approx(
        statistics.spearman(ours, other)
    )


def test_of_equally_likely_classes_the_next_is_not_the_predicted_one(sides):
    records = [
        dataclasses.replace(
            record, probabilities=np.float32([0.25, 0.375, 0.375]), predicted="good"
        )
        for record in sides.explainer(TEXTS[:1])
    ]
    asked = []

    def explainer(texts, target, *, labels):
        asked.extend(labels)
        return records

    evaluation._sanity(evaluation.Sides(explainer, sides.predictor), TEXTS[:1], [records])
    assert records[0].labels.index("good") == 1
    assert asked == [2]


def test_what_people_marked_is_compared_word_by_word(sides, examples):
    tokens = tuple(TEXTS[0].split())
    marked = rationales.Rationale("g0", tokens, (False, False, False, True, True), "good")
    unmarked = rationales.Rationale("g1", ("dull",), (False,), "bad")
    plan = PLAN._replace(top_k=rationales.TopK(2), draws=4)
    line, other, *_ = evaluation.measure(sides, plan, examples, {"g0": marked, "g1": unmarked})
    scores = np.float64(line["scores"]["rollout"])
    expected = rationales.measure([marked], [scores], rationales.TopK(2)).values
    found = line["measures"]["rollout"]["rationales"]
    assert found == {name: float(value[0]) for name, value in expected._asdict().items()}
    assert 0 <= line["floor"]["rationales"]["auprc"] <= 1
    assert "rationales" not in other["measures"]["rollout"]


def test_a_hard_rationale_is_taken_out_and_left_alone(sides, examples):
    asked = []
    predictor = sides.predictor

    class Counted:
        labels, units = predictor.labels, staticmethod(predictor.units)

        @staticmethod
        def logits(rows):
            asked.append(len(rows))
            return predictor.logits(rows)

    plan = evaluation.Plan(list(faithfulness.PROTOCOLS.values())[:2], draws=0)
    list(evaluation.measure(sides._replace(predictor=Counted()), plan, examples[:1], {}))
    protocols = evaluation.with_hard_rationale(plan.protocols, rationales.TopK(2))
    plan = plan._replace(protocols=protocols)
    (line,) = evaluation.measure(sides._replace(predictor=Counted()), plan, examples[:1], {})
    assert asked[3] - asked[1] <= 2 * len(METHODS)  # ERASER's bins are not asked again
    of = line["measures"]["gradient_x_input"]
    (units,) = predictor.units(TEXTS[:1])
    top = np.argsort(-np.array(line["scores"]["gradient_x_input"]), kind="stable")[:2].tolist()
    rest = sorted(set(range(units.word_count)) - set(top))
    full, without, only = (
        special.softmax(predictor.logits([removal.without(units, words, "delete")])[0])
        for words in ((), top, rest)
    )
    target, found = line["predicted"], of["hard_rationale"]
    assert found["comprehensiveness"] == pytest.approx(full[target] - without[target], abs=1e-6)
    assert found["sufficiency"] == pytest.approx(full[target] - only[target], abs=1e-6)
    assert full[target] - without[target] != pytest.approx(full[target] - only[target], abs=1e-4)
    rows = np.reshape(found["probabilities"], (13, len(predictor.labels)))
    np.testing.assert_allclose(rows[:3], [full, without, only], atol=1e-6)
    for part, name in ((rows[3:8], "comprehensiveness"), (rows[8:], "sufficiency")):
        falls = [of[f"eraser_{name}"][f"at_{percent}"] for percent in faithfulness.ERASER_BINS]
        np.testing.assert_allclose(rows[0, target] - part[:, target], falls, atol=1e-6)


def test_a_hard_rationale_is_asked_beside_both_of_erasers_protocols_alone():
    known, top_k = faithfulness.PROTOCOLS, rationales.TopK(2)
    one = [known["eraser_sufficiency"], known["decompx"]]
    assert evaluation.with_hard_rationale(one, top_k) == one
    both = [known["eraser_sufficiency"], known["eraser_comprehensiveness"]._replace(removal="mask")]
    added = evaluation.with_hard_rationale(both, top_k)[-1]
    assert (added.name, added.removal) == ("hard_rationale", "mask")


def test_chance_does_not_depend_on_the_texts_that_are_measured_together(sides, examples):
    marked = {
        example.guid: rationales.Rationale(
            example.guid,
            (words := tuple(example.text_a.split())),
            (True, *[False] * (len(words) - 1)),
            "good",
        )
        for example in examples
    }
    plan = PLAN._replace(protocols=[], sanity_texts=0)
    whole = list(evaluation.measure(sides, plan, examples, marked))
    apart = [
        line
        for first, example in enumerate(examples)
        for line in evaluation.measure(sides, plan, [example], marked, first=first)
    ]
    assert [line["floor"] for line in whole] == [line["floor"] for line in apart]


def test_explanations_made_elsewhere_are_measured_beside_ours(sides, examples):
    ours = sides.explainer(TEXTS)[::3]
    others = {
        example.guid: dataclasses.replace(record, method="elsewhere", scores=-record.scores)
        for example, record in zip(examples, ours, strict=True)
    }
    beside = sides._replace(others={"elsewhere": others})
    (line, *_) = evaluation.measure(beside, PLAN, examples, {})
    of = line["measures"]
    assert of["elsewhere"]["deletion"]["curve"] != of["gradient_x_input"]["deletion"]["curve"]
    assert line["scores"]["elsewhere"] == [-score for score in line["scores"]["gradient_x_input"]]
    assert "random_logit" not in of["elsewhere"]
    wrong = dataclasses.replace(others["g0"], target="so-so")
    shorter = dataclasses.replace(ours[1], guid="g0", method="elsewhere")
    for elsewhere, told in (
        ({"elsewhere": {"g0": wrong}}, r"must be of the model's answer '\w[\w-]*', got 'so-so'"),
        ({"rollout": others}, r"'g0' by rollout must be the only one by that name"),
        ({"elsewhere": {}}, r"an explanation of every text, got none of 'g0' by elsewhere"),
        ({"elsewhere": others, "part": {"g1": wrong}}, r"every text, got none of 'g0' by part"),
        ({"elsewhere": {"g0": shorter}}, r"'g0' by elsewhere must be of the 5 words .* got 1"),
    ):
        with pytest.raises(ValueError, match=told):
            list(evaluation.measure(sides._replace(others=elsewhere), PLAN, examples, {}))


def test_scores_that_are_no_numbers_are_told_with_text_and_method(sides, examples):
    record = sides.explainer(TEXTS[:1])[0]
    broken = dataclasses.replace(record, method="odd", scores=record.scores * np.float32(np.nan))
    others = {"odd": {example.guid: broken for example in examples}}
    with pytest.raises(
        ValueError,
        match=r"^g0: scores must be finite numbers, got others by odd; leave that method out",
    ):
        list(evaluation.measure(sides._replace(others=others), PLAN, examples[:1], {}))
