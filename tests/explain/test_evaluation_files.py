"""Files of lines that runs go on with, and explanations that were made elsewhere."""

import json

import pytest

from explain import evaluation
from explain import evaluation_files
from explain import explanation
from explain import faithfulness
from tests.explain import explained
from tests.explain import measured

folder, sides, examples = explained.folder, measured.sides, measured.examples
METHODS, TEXTS = measured.METHODS, measured.TEXTS


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
    for content in ('{"a": 1}\n{"a": 2}\n', "[1]\n[2]\n", "text\nmore\nand no end"):
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
