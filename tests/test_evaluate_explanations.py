"""The command that measures explanations, on a tiny classifier."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from bert import datasets
from explain import evaluation
from explain import explanation
from explain import faithfulness
from explain import methods
from explain import model
from scripts import evaluate_explanations
from tests import evaluating

TABLE, METHODS = evaluating.TABLE, evaluating.METHODS
folder, evaluate = evaluating.folder, evaluating.evaluate
OWN = """import tensorflow as tf


def by_id(question):
    return tf.cast(question.features.input_ids, tf.float32)
"""


def test_a_file_is_measured_and_written_as_json_tables_and_figures(evaluate, tmp_path):
    status, said, _ = evaluate("--sanity_examples", "1")
    assert status == 0
    results = json.loads((tmp_path / "out" / "e.json").read_text())
    assert results["texts"] == 4
    assert results["accuracy"]["n"] == 4
    rows = {(row["method"], row["protocol"], row["metric"]): row for row in results["rows"]}
    row = rows["attention_last", "eraser_comprehensiveness", "aopc"]
    assert row["low"] <= row["value"] <= row["high"]
    assert {"floor", "floor_low", "floor_high", "p_floor"} <= row.keys()
    assert row["settings"] == {"removal": "delete"}
    assert rows["attention_last", "random_logit", "spearman"]["n"] == 1
    assert {pair["protocol"] for pair in results["pairs"]} >= {"decompx", "deletion"}
    assert set(results["words"]) == {"gradient_x_input", "attention_last"}
    page = (tmp_path / "out" / "e.md").read_text()
    assert "## eraser_sufficiency" in page
    for name in ("deletion", "insertion", "decompx_methods", "agreement"):
        assert (tmp_path / "out" / f"e_{name}.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "out" / "e.md") in said.out


def test_a_run_can_be_extended_but_not_changed(evaluate, tmp_path):
    assert evaluate("--max_examples", "2")[0] == 0
    lines = tmp_path / "out" / "e.lines.jsonl"
    before = lines.read_text().splitlines()
    assert len(before) == 3
    assert evaluate()[0] == 0
    assert lines.read_text().splitlines()[:3] == before
    assert json.loads((tmp_path / "out" / "e.json").read_text())["texts"] == 4
    status, _, log = evaluate("--seed", "5")
    assert status == 1
    assert "but seed differ; take the same options" in log


def test_the_first_so_many_are_a_sample_by_seed_of_a_file_sorted_by_class():
    rows = [datasets.InputExample(f"g{index}", "text", None, "good") for index in range(1000)]

    def drawn(seed, count=None):
        return [int(row.guid[1:]) for row in evaluation.sample(rows, seed, count)]

    sample = drawn(0, 100)
    assert sample == drawn(0)[:100]  # so that it can grow
    assert sample != drawn(1, 100)
    assert 30 < sum(place < 500 for place in sample) < 70
    assert sorted(drawn(0)) == list(range(1000))
    with pytest.raises(ValueError, match=r"an id of its own, got 'g3' twice"):
        evaluation.sample([*rows, rows[3]], 0)


def test_every_method_is_measured_by_every_protocol_and_words_are_drawn(evaluate, tmp_path):
    wanted = ("--methods", "all", "--protocols", "all", "--max_examples", "2", "--min_count", "1")
    status, _, log = evaluate(*wanted)
    assert status == 0, log
    results = json.loads((tmp_path / "out" / "e.json").read_text())
    assert {row["method"] for row in results["rows"]} == set(methods.METHODS)
    too_short = {"word_deletion"}
    found = {row["protocol"] for row in results["rows"]}
    assert found & set(faithfulness.PROTOCOLS) == set(faithfulness.PROTOCOLS) - too_short
    assert results["settings"]["methods"]["integrated_gradients"]["baseline"] == "pad"
    agreement = results["agreement"]
    assert agreement["methods"] == list(methods.METHODS)
    assert agreement["spearman"][0][0] == pytest.approx(1.0)
    signed = [name for name in results["words"] if results["signed"][name]]
    assert not results["signed"]["attention_last"]
    drawn = {path.name for path in (tmp_path / "out").glob("e_words_*.png")}
    places = map(results["settings"]["labels"].index, results["words"][signed[0]])
    assert drawn == {f"e_words_{place}.png" for place in places}


def test_a_method_of_ones_own_that_was_edited_is_not_gone_on_with(evaluate, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    own = tmp_path / "own_ranking.py"
    own.write_text(OWN)
    asked = ("--methods", "own_ranking:by_id", "--protocols", "decompx")
    status, _, log = evaluate(*asked, "--max_examples", "1")
    assert status == 0, log
    own.write_text(OWN + "\n# edited\n")
    status, _, log = evaluate(*asked)
    assert status == 1
    assert "but methods differ; take the same options" in log


def test_fewer_texts_than_were_measured_are_the_first_everywhere(evaluate, tmp_path):
    wanted = ("--min_count", "1", "--seed", "1")  # which draws the first and the second row first
    assert evaluate(*wanted)[0] == 0
    assert evaluate(*wanted, "--max_examples", "2")[0] == 0
    results = json.loads((tmp_path / "out" / "e.json").read_text())
    assert results["texts"] == 2
    counts = [
        row["n"]
        for classes in results["words"].values()
        for sides in classes.values()
        for row in sides["top"]
        if row["word"] == "dull"
    ]
    assert set(counts) == {1}


def test_a_lexicon_heads_a_removal_and_explanations_made_elsewhere(evaluate, folder, tmp_path):
    for name, words in (("good", "fine\n"), ("bad", "dull\nwas\n")):
        (tmp_path / f"{name}.txt").write_text(words)
    texts = [line.split("\t")[0] for line in TABLE.splitlines()[1:]]
    made = model.load_explainer(folder, ["gradient_sensitivity"])(texts)
    explanation.save_jsonl(
        [
            dataclasses.replace(record, guid=f"test-{line}", method="elsewhere")
            for line, record in enumerate(made, start=2)
        ],
        tmp_path / "elsewhere.jsonl",
    )
    lexicon = ("--lexicon", str(tmp_path / "good.txt"), str(tmp_path / "bad.txt"))
    wish = (
        *("--lexicon_class", made[0].predicted, "--min_count", "1", "--head_examples", "2"),
        *("--removal", "pad", "--protocols", "deletion"),
        *("--records", str(tmp_path / "elsewhere.jsonl")),
    )
    status, said, log = evaluate(*lexicon, *wish)
    assert status == 0, log
    results = json.loads((tmp_path / "out" / "e.json").read_text())
    assert {row["method"] for row in results["rows"]} == {*METHODS.split(","), "elsewhere"}
    assert results["settings"]["protocols"] == {"deletion": {"removal": "pad"}}
    assert np.shape(results["heads"]["ablation"]["mean"]) == (2, 3)
    assert (tmp_path / "out" / "e_heads_gradient.png").is_file()
    assert results["polarity"]["attention_last"]["right_sign"] is None
    sides = results["words"]["gradient_x_input"][made[0].predicted]
    signs = {row["word"]: np.sign(row["value"]) for side in sides.values() for row in side}
    wanted = {
        word: sign for word, sign in (("fine", 1), ("dull", -1), ("was", -1)) if word in signs
    }
    verdict = results["polarity"]["gradient_x_input"]
    assert verdict["positive"] + verdict["negative"] == len(wanted) > 0
    right = np.mean([signs[word] == sign for word, sign in wanted.items()])
    assert verdict["right_sign"]["value"] == pytest.approx(right)
    assert "no word of it" not in said.err
    (tmp_path / "good.txt").write_text("brilliant\n")
    (tmp_path / "bad.txt").write_text("awful\n")
    status, said, _ = evaluate(*lexicon, *wish)
    assert status == 0
    assert "--lexicon: no word of it stands in the texts --min_count times or more" in said.err


def test_altered_models_and_answers_are_those_that_were_asked_for(folder):
    arguments = ("--model_dir", str(folder), "--data_file", "x.tsv", "--output", "x.json")
    wish = ("--methods", METHODS, "--sanity_examples", "1", "--precision", "bfloat16")
    sides = evaluate_explanations.sides_of(
        evaluate_explanations._parser().parse_args([*arguments, *wish])
    )
    text = ["it was very dull and the film"]

    def scores(explainer):
        return [tuple(record.scores.tolist()) for record in explainer(text, target="good")]

    gradient, attention = scores(sides.explainer)
    drawn = {name: scores(side) for name, side in sides.randomised.items()}
    assert list(drawn) == ["top_0_of_2", "top_1_of_2", "top_2_of_2", "all"]
    assert drawn["top_0_of_2"][1] == attention  # which knows no head
    assert len({gradient, *(found[0] for found in drawn.values())}) == 5
    assert len({attention, *(found[1] for found in drawn.values())}) == 4
    assert len({gradient, *(scores(side)[0] for side in sides.nearby)}) == 6
    rows = [units.ids for units in sides.predictor.units(text)]
    exact = model.load_predictor(folder).logits(rows)
    rounded = model.load_predictor(folder, precision="bfloat16").logits(rows)
    assert not np.array_equal(exact, rounded)
    np.testing.assert_array_equal(sides.predictor.logits(rows), rounded)


def test_figures_that_later_results_do_not_have_are_removed(evaluate, tmp_path):
    wish = ("--protocols", "deletion")
    assert evaluate(*wish, "--min_count", "1")[0] == 0
    folder = tmp_path / "out"
    drawn = sorted(path.name for path in folder.glob("e_words_*.png"))
    assert drawn
    (folder / "e_words_notes.png").write_bytes(b"mine")
    (folder / "e_decompx_methods.png").write_bytes(b"of other protocols")
    assert evaluate(*wish, "--min_count", "99")[0] == 0
    assert [path.name for path in folder.glob("e_words_*.png")] == ["e_words_notes.png"]
    assert not (folder / "e_decompx_methods.png").exists()
    assert (folder / "e_agreement.png").is_file()


def test_a_model_that_reads_otherwise_is_not_gone_on_with(folder, evaluate, tmp_path):
    assert evaluate("--protocols", "deletion", "--max_examples", "1")[0] == 0
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "SHA256SUMS").unlink(missing_ok=True)
    record, vocabulary = copy / "classifier_config.json", copy / "vocab.txt"
    said, entries = record.read_text(), vocabulary.read_text().splitlines()
    other = said.replace('"do_lower_case": true', '"do_lower_case": false')
    assert other != said
    *first, last, before = entries
    for path, changed, again in (
        (record, other, said),
        (vocabulary, "\n".join([*first, before, last]), "\n".join(entries)),
    ):
        path.write_text(changed)
        status, _, log = evaluate("--protocols", "deletion", "--model_dir", str(copy))
        assert status == 1
        assert "but parts_sha256 differ; take the same options" in log
        path.write_text(again)


def test_heads_are_weighed_once_and_again_only_for_other_texts_or_settings(
    evaluate, tmp_path, monkeypatch
):
    asked = []

    def ablation(folder, rows, targets):
        asked.append(len(rows))
        return -np.ones((len(rows), 2, 3), np.float32)

    monkeypatch.setattr(evaluate_explanations.model, "head_ablation", ablation)
    wish = ["--protocols", "deletion", "--head_examples"]
    found = []
    for arguments in (
        [*wish, "2", "--max_examples", "3"],
        [*wish, "2"],
        [*wish, "3"],
    ):
        status, _, log = evaluate(*arguments)
        assert status == 0, log
        found.append(json.loads((tmp_path / "out" / "e.json").read_text()))
    assert asked == [2, 3]
    assert found[0]["heads"]["ablation"]["mean"] == np.ones((2, 3)).tolist()  # as far as up
    assert np.min(found[0]["heads"]["gradient"]["mean"]) >= 0
    assert found[0]["heads"] == found[1]["heads"]
    assert found[0]["heads_spearman"] == found[1]["heads_spearman"]
    (tmp_path / "out" / "e.lines.jsonl").unlink()
    assert evaluate(*wish, "3", "--draws", "3")[0] == 0
    for damaged in ("{", "[]"):
        (tmp_path / "out" / "e.json").write_text(damaged)
        assert evaluate(*wish, "3", "--draws", "3")[0] == 0
    assert asked == [2, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--protocols", "eraser"], 2, "--protocols must be of eraser_comprehensiveness, "),
        (["--max_examples", "0"], 2, "--max_examples must be at least 1, got 0"),
        (["--output", "out/e.csv"], 2, "--output must end in .json, got out/e.csv"),
        (["--methods", "saliency"], 1, "a method must be one of attention_last, "),
        (["--text_column", "review"], 1, "review"),
        (["--labels", "lable"], 1, "lable"),
        (["--top_k", "0", "--max_examples", "1"], 1, "k must be above 0"),
        (["--lexicon", "missing.txt", "missing.txt"], 1, "missing.txt"),
    ],
)
def test_wrong_wishes_are_refused_in_one_line_before_anything_is_written(
    evaluate, tmp_path, capsys, arguments, status, told
):
    try:
        found, _, log = evaluate(*arguments)
    except SystemExit as stopped:
        found, log = stopped.code, capsys.readouterr().err
    assert found == status
    assert told in log.splitlines()[-1]
    assert not (tmp_path / "out").exists()
