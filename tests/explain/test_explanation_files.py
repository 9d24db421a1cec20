"""Records come back from disk as they were, to the last bit, or the reader says where the file is wrong."""

import dataclasses
import gzip
import json
import os
import pathlib
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays_of

from explain import explanation
from explain import words

SAVERS = {
    "jsonl": (explanation.save_jsonl, explanation.load_jsonl),
    "npz": (explanation.save_npz, explanation.load_npz),
}
formats = pytest.mark.parametrize(("save", "load"), SAVERS.values(), ids=SAVERS)
floats32 = strategies.floats(width=32)
names = strategies.text(max_size=8)
scalars = strategies.one_of(
    strategies.booleans(), strategies.integers(), strategies.floats(), names
)
settings = strategies.dictionaries(
    names,
    strategies.recursive(
        strategies.none() | scalars,
        lambda inner: (
            strategies.lists(inner, max_size=2) | strategies.dictionaries(names, inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=3,
)


def float32(*shape: int) -> strategies.SearchStrategy[np.ndarray]:
    return arrays_of.arrays(np.float32, shape, elements=floats32)


@strategies.composite
def records(draw: strategies.DrawFn) -> explanation.Explanation:
    """Draw a record of any text, size and number, attention of any rank and nested settings."""
    texts = tuple(draw(strategies.lists(strategies.text(max_size=20), min_size=1, max_size=2)))
    count, tokens, classes = (draw(strategies.integers(low, 4)) for low in (0, 1, 1))
    shape = draw(
        strategies.none() | arrays_of.array_shapes(min_dims=0, max_dims=4, max_side=3, min_side=0)
    )
    return explanation.Explanation(
        guid=draw(names),
        texts=texts,
        words=tuple(words.Word(draw(names), i, i + 1, i % len(texts)) for i in range(count)),
        scores=draw(float32(count)),
        tokens=tuple(draw(names) for _ in range(tokens)),
        token_scores=draw(float32(tokens)),
        labels=tuple(draw(names) for _ in range(classes)),
        probabilities=draw(float32(classes)),
        predicted=draw(names),
        gold=draw(strategies.none() | names),
        method=draw(names),
        signed=draw(strategies.booleans()),
        truncated=(draw(strategies.integers(0, 9)), draw(strategies.integers(0, 9))),
        target=draw(names),
        attention=None if shape is None else draw(float32(*shape)),
        layer_scores=draw(strategies.none() | float32(3, tokens)),
        completeness_gap=draw(strategies.none() | strategies.floats()),
        checks=draw(strategies.dictionaries(names, scalars, max_size=3)),
        settings=draw(settings),
    )


def assert_same(found: explanation.Explanation, given: explanation.Explanation) -> None:
    for field in dataclasses.fields(given):
        ours, theirs = getattr(found, field.name), getattr(given, field.name)
        if isinstance(theirs, np.ndarray):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            is_nan = np.isnan(theirs)  # JSON has one NaN
            np.testing.assert_array_equal(np.isnan(ours), is_nan)
            bits = [array[~is_nan].view(np.uint32) for array in (ours, theirs)]
            np.testing.assert_array_equal(*bits)
        else:
            assert (type(ours), repr(ours)) == (type(theirs), repr(theirs))


@formats
@hypothesis.settings(max_examples=50, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(kept=strategies.lists(records(), max_size=3))
def test_every_field_of_every_record_comes_back(tmp_path_factory, save, load, kept):
    path = tmp_path_factory.mktemp("records") / "records"
    save(kept, path)
    found = load(path)
    assert len(found) == len(kept)
    for ours, theirs in zip(found, kept, strict=True):
        assert_same(ours, theirs)


@formats
def test_the_hardest_numbers_and_characters_come_back(tmp_path, build_record, save, load):
    # 7.038531e-26: its shortest spelling, read as a double first, rounds to a neighbour
    hard = [0.1, -0.0, 7.038531e-26, 1e-45, 3.4028235e38, np.inf, -np.inf, np.nan, 16777217]
    text = 'a\u2028b \x85 \0 \x1b[2J \ud800 😀\r\n\t"\\'
    record = dataclasses.replace(
        build_record(text), attention=np.array([hard, hard[::-1]], np.float32)
    )
    save([record, record], tmp_path / "records")
    for found in load(tmp_path / "records"):
        assert_same(found, record)


def test_a_json_line_is_one_object_that_other_readers_understand(tmp_path, build_record):
    record = dataclasses.replace(build_record("電影 good", scores=[0.5, 0.25, 0.125, 0.0]))
    explanation.save_jsonl([record], tmp_path / "new" / "records.jsonl")
    line = (tmp_path / "new" / "records.jsonl").read_text(encoding="utf-8")
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert "電影 good" in line
    found = json.loads(line)
    assert found["words"][-1] == ["good", 3, 7, 0]
    assert found["token_scores"] == [0.5, 0.25, 0.125, 0.0]
    assert list(found) == [field.name for field in dataclasses.fields(record)]


def test_records_stream_in_and_out_one_at_a_time(tmp_path, build_record):
    made, path = [], tmp_path / "records.jsonl"

    def one_by_one():
        for index in range(3):
            made.append(index)
            yield build_record("a", guid=str(index))

    explanation.save_jsonl(one_by_one(), path)
    path.write_text(path.read_text(encoding="utf-8") + "broken\n", encoding="utf-8")
    reader = explanation.read_jsonl(path)
    assert [next(reader).guid for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(ValueError, match=r"records.jsonl:4: must be one JSON object"):
        next(reader)


def test_records_packed_by_gzip_are_read(tmp_path, build_record):
    explanation.save_jsonl([build_record("a film")], tmp_path / "records.jsonl")
    packed = tmp_path / "records.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "records.jsonl").read_bytes()))
    assert explanation.load_jsonl(packed)[0].texts == ("a film",)


@formats
def test_a_save_that_fails_leaves_the_old_file_whole(tmp_path, build_record, save, load):
    path = tmp_path / "records"
    save([build_record("old")], path)

    def failing():
        yield build_record("new")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        save(failing(), path)
    assert [record.texts for record in load(path)] == [("old",)]
    assert os.listdir(tmp_path) == ["records"]


def test_settings_that_are_no_plain_values_are_refused_and_numpy_scalars_are_not(
    tmp_path, build_record
):
    path = tmp_path / "records.jsonl"
    checks = {"ledger_error": np.float32(0.5), "steps": np.int64(50), "passed": np.bool_(True)}
    explanation.save_jsonl([dataclasses.replace(build_record("a"), checks=checks)], path)
    (found,) = explanation.load_jsonl(path)
    assert repr(found.checks) == "{'ledger_error': 0.5, 'steps': 50, 'passed': True}"
    with pytest.raises(TypeError, match=r"must hold text, numbers, lists and dicts .* got \{1\}"):
        explanation.save_jsonl([dataclasses.replace(build_record("a"), settings={"k": {1}})], path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop("target"), "must have every field .* got no 'target'"),
        (lambda fields: fields.update(scale=1), "only fields of an explanation, got 'scale'"),
        (lambda f: f["scores"].pop(), r"scores must hold one .* 2 words, got shape \(1,\)"),
        (lambda f: f["token_scores"].append(0), r"token_scores .* of 4 tokens, got shape \(5,\)"),
        (lambda f: f["labels"].append("x"), r"probabilities .* of 3 labels, got shape \(2,\)"),
        (lambda f: f["texts"].clear(), "one text or two .* got 0 and 2"),
        (lambda f: f["truncated"].append(1), "two counts .* got 1 and 3"),
        (lambda f: f["scores"].__setitem__(0, "x"), "got a field that is none .*'x'"),
        (lambda f: f["words"][0].append(1), "got a field that is none"),
        (
            lambda f: f.update(layer_scores={"shape": [1, 2], "values": [1, 2]}),
            r"got shape \(1, 2\)",
        ),
        (
            lambda f: f.update(attention={"shape": [2, 2], "values": [1, 2]}),
            "got a field that is none",
        ),
        (lambda f: f.update(attention={"values": [1, 2]}), "got a field that is none .*'shape'"),
    ],
)
def test_a_wrong_line_is_named_with_what_is_wrong(tmp_path, build_record, change, message):
    path = tmp_path / "records.jsonl"
    explanation.save_jsonl([build_record("a film")] * 2, path)
    first, second = path.read_text(encoding="utf-8").splitlines()
    fields = json.loads(second)
    change(fields)
    path.write_text(f"{first}\n{json.dumps(fields)}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"records.jsonl:2: .*{message}"):
        explanation.load_jsonl(path)


@pytest.mark.parametrize("line", ["{", "[]", "null", "[" * 100_000, "3"])
def test_a_line_that_is_no_object_is_an_error(tmp_path, line):
    (tmp_path / "records.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"records.jsonl:1: must "):
        explanation.load_jsonl(tmp_path / "records.jsonl")


@formats
def test_a_missing_file_is_an_error(tmp_path, save, load):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")


def test_an_npz_file_of_another_maker_is_an_error(tmp_path, build_record):
    path = tmp_path / "records.npz"
    for write in (
        lambda: path.write_text("text", encoding="utf-8"),
        lambda: np.savez(path, scores=np.ones(2)),
        lambda: path.write_bytes(b""),
    ):
        write()
        with pytest.raises(ValueError, match=r"records.npz must be a file that save_npz wrote"):
            explanation.load_npz(path)


@pytest.mark.parametrize(
    ("size", "message"), [(1, "record 1: .* a field that is none"), (3, "2 words|got more")]
)
def test_an_npz_file_whose_arrays_do_not_fit_its_records_is_an_error(
    tmp_path, build_record, size, message
):
    path = tmp_path / "records.npz"
    explanation.save_npz([build_record("a film")], path)
    with np.load(path) as archive:
        arrays = {**archive, "scores": np.ones(size, np.float32)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=rf"records.npz: .*({message})"):
        explanation.load_npz(path)


def test_a_table_has_one_row_a_word(build_record):
    first = build_record("Not bad", "film", guid="x", scores=[0.5, 0.25, 0.125, 0, 0.0625, 0])
    second = dataclasses.replace(build_record("電 影", gold=None), method="mine", target="negative")
    frame = explanation.to_frame([first, second])
    assert list(frame.columns) == [
        *("guid", "sentence", "position", "word", "start", "end", "score"),
        *("method", "target", "predicted", "confidence", "gold"),
    ]
    assert frame["word"].tolist() == ["Not", "bad", "film", "電", "影"]
    assert frame.iloc[2].tolist()[:7] == ["x", 1, 2, "film", 0, 4, 0.0625]
    assert frame["score"].tolist()[:2] == [0.25, 0.125]
    assert frame["score"].dtype == np.float32
    assert frame["target"].tolist() == ["", "", "", "negative", "negative"]
    assert frame["gold"].isna().tolist() == [False] * 3 + [True] * 2
    empty = explanation.to_frame([])
    assert list(empty.columns) == list(frame.columns)
    assert len(empty) == 0


def test_importing_the_record_costs_no_pandas():
    code = "import sys; from explain import explanation; sys.exit('pandas' in sys.modules)"
    root = pathlib.Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
