"""Texts measured by every protocol, and files of lines that runs go on with."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import special

from bert import alterations
from bert import datasets
from explain import evaluation
from explain import evaluation_files
from explain import explanation
from explain import faithfulness
from explain import model
from explain import rationales
from explain import removal
from explain import robustness
from explain import statistics
from tests.explain import explained

folder = explained.folder
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


@pytest.fixture
def run(sides, monkeypatch):
    monkeypatch.setattr(evaluation_files, "_TEXTS_AT_ONCE", 2)
    plan = evaluation.Plan([faithfulness.PROTOCOLS["decompx"]], draws=2, sanity_texts=3)

    def run(examples, path, **settings):
        return list(evaluation_files.run(sides, plan, examples, {}, path, {"seed": 0} | settings))

    return run


def test_a_run_that_was_stopped_goes_on_and_ends_as_one_that_was_not(run, examples, tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "new" / "cut.jsonl"
    expected = run(examples, whole)
    run(examples[:4], cut)
    content = cut.read_bytes()
    cut.write_bytes(content[: content.rstrip().rfind(b"\n") + 30])  # the last line half written
    found = run(examples, cut)
    first = [
        json.dumps(part[:3]) for part in (found, expected, [*evaluation_files.lines_of(whole)])
    ]
    assert first[0] == first[1] == first[2]
    for line, other in zip(found, expected, strict=True):  # other batches round otherwise
        assert line["guid"] == other["guid"]
        for method, measures in line["measures"].items():
            aopc = other["measures"][method]["decompx"]["aopc"]
            assert measures["decompx"]["aopc"] == pytest.approx(aopc, abs=1e-5)
    assert len(cut.read_bytes().splitlines()) == 6
    assert [line["guid"] for line in evaluation_files.lines_of(whole)] == [e.guid for e in examples]


def test_a_finished_file_is_read_and_fewer_examples_are_its_first(run, examples, tmp_path, sides):
    path = tmp_path / "lines.jsonl"
    run(examples, path)
    before = path.read_bytes()
    assert [line["guid"] for line in run(examples[:3], path)] == ["g0", "g1", "g2"]
    assert path.read_bytes() == before


def test_a_file_whose_first_line_was_cut_is_begun_anew(run, examples, tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"settings": {"se')
    assert len(run(examples[:2], path)) == 2
    assert len(path.read_text().splitlines()) == 3


def test_a_file_that_a_bad_row_stopped_at_once_is_begun_anew_with_the_mended_data(
    run, examples, tmp_path
):
    path = tmp_path / "lines.jsonl"

    def bad():
        raise ValueError("rows.tsv:2: label")
        yield

    with pytest.raises(ValueError, match=r"^rows\.tsv:2: label$"):
        run(bad(), path, data_sha256="bad")
    assert len(run(examples[:2], path, data_sha256="mended")) == 2
    assert json.loads(path.read_text().splitlines()[0])["settings"]["data_sha256"] == "mended"


def test_a_file_of_other_settings_or_texts_is_not_gone_on_with(run, examples, tmp_path):
    path = tmp_path / "lines.jsonl"
    run(examples[:2], path, methods=["a"])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"as it was begun, but draws, methods differ; take"):
        run(examples, path, methods=["a", "b"], draws=7)
    with pytest.raises(ValueError, match=r"text 1 must be 'g1', as in the data, got 'g0'"):
        run(examples[1:], path, methods=["a"])
    assert path.read_bytes() == before


def test_a_file_that_is_no_evaluations_is_refused(run, examples, tmp_path):
    for content in ('{"a": 1}\n{"a": 2}\n', "[1]\n[2]\n", "text\nmore\n"):
        path = tmp_path / "lines.jsonl"
        path.write_text(content)
        with pytest.raises(ValueError, match=r"jsonl:1 must hold an evaluation's settings, got b"):
            run(examples, path)
        assert path.read_text() == content


def test_two_runs_cannot_write_one_file(run, sides, examples, tmp_path):
    path = tmp_path / "lines.jsonl"
    plan = evaluation.Plan([faithfulness.PROTOCOLS["decompx"]], draws=2, sanity_texts=3)
    first = evaluation_files.run(sides, plan, examples, {}, path, {"seed": 0})
    next(first)
    with pytest.raises(ValueError, match=r"lines\.jsonl must be written by one process at a time"):
        run(examples, path)
    assert len(list(first)) == len(examples) - 1
    assert len(run(examples, path)) == len(examples)


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


def test_explanations_made_elsewhere_are_read_by_method_and_text(sides, tmp_path):
    ours = sides.explainer(TEXTS[:2])
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, some in zip(paths, (ours[:4], ours[4:]), strict=True):
        explanation.save_jsonl(some, path)
    found = evaluation_files.read_records(paths)
    assert found.keys() == set(METHODS)
    assert {record.guid for record in ours} == found["rollout"].keys()
    with pytest.raises(ValueError, match=r"a\.jsonl: the explanation of .* must be the only one"):
        evaluation_files.read_records([*paths, paths[0]])
    paths[0].write_text("")
    with pytest.raises(ValueError, match=r"a\.jsonl must hold explanations, got none"):
        evaluation_files.read_records(paths)


def test_scores_that_are_no_numbers_are_told_with_text_and_method(sides, examples):
    record = sides.explainer(TEXTS[:1])[0]
    broken = dataclasses.replace(record, method="odd", scores=record.scores * np.float32(np.nan))
    others = {"odd": {example.guid: broken for example in examples}}
    with pytest.raises(
        ValueError,
        match=r"^g0: scores must be finite numbers, got others by odd; leave that method out",
    ):
        list(evaluation.measure(sides._replace(others=others), PLAN, examples[:1], {}))
