"""`explain.bulk`: the single process's answers, every bad row in its place, and nothing lost or doubled by a stop."""

import csv
import json
import os
import pathlib
import re

import numpy as np
import pytest
from pyarrow import parquet

from explain import bulk
from explain import bulk_answers
from explain import bulk_rows
from explain import bulk_shards
from explain import explanation
from explain import model
from tests.explain import classifier_folder

METHODS = ("gradient_x_input", "rollout")
QUICK = ("attention_last",)


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    return str(classifier_folder.make(tmp_path_factory.mktemp("trained"), tiny_release))


def texts_of(count, seed=3):
    rng = np.random.default_rng(seed)
    words = classifier_folder.WORDS
    return [" ".join(rng.choice(words, rng.integers(1, 15))) for _ in range(count)]


def write_lines(path, texts):
    lines = [json.dumps({"id": f"{path.stem}-{n}", "text": t}) for n, t in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def job(trained, tmp_path):
    """Return a function that makes a job of texts, two rows of JSON lines a shard."""

    def make(texts=(), methods=QUICK, question=None, inputs=None, **settings):
        return bulk_shards.Job(
            bulk_answers.Question(trained, methods, **(question or {})),
            inputs or (write_lines(tmp_path / "texts.jsonl", texts),),
            str(tmp_path / "out" / "run"),
            str(tmp_path / "dead.jsonl"),
            **({"rows_per_shard": 2} | settings),
        )

    return make


def read_all(published):
    return [r for shard in published.shards for r in explanation.read_jsonl(shard)]


def everything(folder):
    """Every file of a folder but the inputs, hidden ones too, by its name."""
    files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.name != "texts.jsonl"
    }


def test_the_records_are_those_of_the_single_process(job, trained):
    texts = texts_of(5)
    published = bulk.run(job(texts, METHODS))
    assert [shard.name for shard in published.shards] == [
        f"run-0000{number}-of-00003.jsonl" for number in range(3)
    ]
    assert published.counts == bulk_shards.Counts(5, 5, 0, 10)
    expected = model.load_explainer(trained, METHODS)(texts)
    for found, single in zip(read_all(published), expected, strict=True):
        assert found.guid == single.guid.replace("text-", "texts-")
        assert (found.method, found.text, found.predicted) == (
            single.method,
            single.text,
            single.predicted,
        )
        np.testing.assert_allclose(found.scores, single.scores, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.probabilities, single.probabilities, rtol=0, atol=1e-6)
        assert found.settings == single.settings


def test_without_methods_there_are_probabilities_alone(job, trained):
    texts = texts_of(7)
    asked = job(texts, (), columns=bulk_rows.Columns(label="gold"), rows_per_shard=4)
    path = pathlib.Path(asked.inputs[0])
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first[:-1] + ', "gold": "so-so"}', *others]))
    published = bulk.run(asked)
    rows = [json.loads(line) for p in published.shards for line in p.read_text().splitlines()]
    probabilities = model.load_explainer(trained, ()).probabilities(texts)
    np.testing.assert_allclose(
        [row["probabilities"] for row in rows], probabilities, rtol=0, atol=1e-6
    )
    labels = list(classifier_folder.LABELS)
    assert [row["predicted"] for row in rows] == [labels[p.argmax()] for p in probabilities]
    assert [row["texts"] for row in rows] == [[text] for text in texts]
    assert [row["gold"] for row in rows] == ["so-so", *[None] * 6]
    assert rows[3].keys() == {"guid", "texts", "labels", "probabilities", "predicted", "gold"}


@pytest.mark.parametrize("methods", [(), METHODS])
def test_parquet_holds_what_json_lines_hold(job, tmp_path, methods):
    asked = job(texts_of(3), methods)
    lines = [p.read_text().splitlines() for p in bulk.run(asked).shards]
    expected = [json.loads(line) for shard in lines for line in shard]
    for path in [*tmp_path.glob("out/*"), tmp_path / "dead.jsonl"]:
        path.unlink()
    shards = bulk.run(job(texts_of(3), methods, output_format="parquet")).shards
    assert [shard.suffix for shard in shards] == [".parquet"] * 2
    rows = [row for shard in shards for row in parquet.read_table(shard).to_pylist()]
    for row, record in zip(rows, expected, strict=True):
        for name in {"checks", "settings"} & row.keys():
            row[name] = json.loads(row[name])
        if methods:
            row["words"] = [list(word.values()) for word in row["words"]]
            del record["attention"]
        assert row == record


def plant(folder):
    """Write 150 rows in three kinds of file, 50 of them bad; return their (file, line) and the good rows' texts."""
    rng, bad, good = np.random.default_rng(8), [], []
    for name in ("a.tsv", "b.csv", "c.jsonl"):
        path, separator = folder / name, {"a.tsv": "\t", "b.csv": ","}.get(name)
        data = b"" if separator is None else f"id{separator}text\n".encode()
        spoiled = set(rng.choice(50, {"a.tsv": 20, "b.csv": 20, "c.jsonl": 10}[name], False))
        for number, text in enumerate(texts_of(50, seed=len(name))):
            line = data.count(b"\n") + 1
            if number in spoiled:
                bad.append((str(path), line))
                broken = [b"alone\n", b"1%sx\xff\n", b'1%s"x"y\n', b"1%sx%sz\n"][number % 4]
                if separator is None:
                    broken = [b"{\n", b'{"text": "\xff"}\n', b"{}\n", b"[1]\n"][number % 4]
                else:
                    broken = broken.replace(b"%s", separator.encode())
                data += broken
                continue
            text = text + "\u2028fine" if number % 3 else text + " \nso,\tdull"
            good.append(text)
            if separator is None:
                data += json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"
            else:
                quoted = f'"{text}"' if re.search("[\n,\t]", text) else text
                data += f"{number}{separator}{quoted}\n".encode()
        path.write_bytes(data)
    return bad, good


def test_fifty_planted_bad_rows_are_found_by_file_and_line_and_cost_no_other(job, tmp_path):
    bad, good = plant(tmp_path)
    inputs = tuple(str(tmp_path / name) for name in ("a.tsv", "b.csv", "c.jsonl"))
    published = bulk.run(job(inputs=inputs, rows_per_shard=17))
    assert published.counts == bulk_shards.Counts(150, 100, 50, 100)
    assert [record.text for record in read_all(published)] == good
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert [(letter["file"], letter["line"]) for letter in letters] == bad
    assert all(letter["reason"] for letter in letters)


def test_a_text_that_is_refused_is_a_dead_letter_and_those_beside_it_are_explained(job, tmp_path):
    long = "so very fine " * 9
    rows = [("fine", "dull", "good"), (long, long, "good"), ("so", long, "superb"), ("a", "b", "")]
    path = tmp_path / "pairs.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text", "more", "stars"), *rows])
    asked = job(
        inputs=(str(path),),
        question={"long_text": "window"},
        columns=bulk_rows.Columns(text_b="more", label="stars"),
        rows_per_shard=9,
    )
    published = bulk.run(asked)
    first, last = read_all(published)
    assert (first.texts, first.gold, last.texts, last.gold) == (
        rows[0][:2],
        "good",
        ("a", "b"),
        None,
    )
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert [letter["line"] for letter in letters] == [3, 4]
    assert "must fit half of max_seq_length" in letters[0]["reason"]
    assert "a class must be one of 'bad', 'good', 'so-so'" in letters[1]["reason"]


@pytest.fixture
def stop(monkeypatch):
    """Return a function that lets so many parts be written before the run breaks, and the lines of the parts begun."""
    whole = bulk_shards.write

    def after(count):
        begun = []

        def write(job, folder, part, answers):
            begun.append(part.line)
            if len(begun) > count:
                raise OSError(28, "No space left on device")
            return whole(job, folder, part, answers)

        monkeypatch.setattr(bulk_shards, "write", write)
        return begun

    return after


def test_a_run_that_was_cut_short_shows_nothing_and_is_gone_on_with(
    job, tmp_path, stop, monkeypatch
):
    asked = job(texts_of(9))
    whole = bulk.run(asked)
    expected = everything(tmp_path)
    for path in [*whole.shards, tmp_path / "dead.jsonl"]:
        path.unlink()
    stop(3)
    with pytest.raises(ValueError, match=r"without a fault, got .*No space left on device$"):
        bulk.run(asked)
    assert not list(tmp_path.glob("out/run*"))
    assert not (tmp_path / "dead.jsonl").exists()
    stop(99)
    read = []
    rows = bulk_rows.read
    monkeypatch.setattr(
        bulk_rows, "read", lambda part, columns: read.append(part.line) or rows(part, columns)
    )
    assert bulk.run(asked) == whole
    assert len(read) == 2  # of five parts, three were done
    assert everything(tmp_path) == expected


def test_what_another_question_has_left_is_not_taken(job, tmp_path, stop):
    stop(2)
    with pytest.raises(ValueError, match="No space left"):
        bulk.run(job(texts_of(9)))
    stop(99)
    published = bulk.run(job(texts_of(9), METHODS[1:]))
    assert {record.method for record in read_all(published)} == {METHODS[1]}
    assert published.counts.records == 9
    left = len(everything(tmp_path))
    changed = job(texts_of(9, seed=4), METHODS[1:])
    with pytest.raises(ValueError, match="must name files that are not there yet"):
        bulk.run(changed)
    assert len(everything(tmp_path)) == left


def test_a_run_that_did_nothing_leaves_nothing(job, tmp_path, stop):
    stop(0)
    with pytest.raises(ValueError, match="No space left"):
        bulk.run(job(texts_of(3)))
    assert everything(tmp_path) == {}
    assert not list(tmp_path.glob("out/.*"))


def test_a_publication_cut_short_is_gone_on_with(job, tmp_path, monkeypatch):
    asked = job(texts_of(5))
    replace, moved = os.replace, []

    def break_off(source, target):
        if str(target).endswith("-of-00003.jsonl"):
            moved.append(target)
            if len(moved) == 2:
                raise OSError("power is gone")
        replace(source, target)

    monkeypatch.setattr(os, "replace", break_off)
    with pytest.raises(OSError, match="power is gone"):
        bulk.run(asked)
    monkeypatch.setattr(os, "replace", replace)
    assert len(list(tmp_path.glob("out/run*"))) == 1
    published = bulk.run(asked)
    assert [record.guid for record in read_all(published)] == [f"texts-{n}" for n in range(5)]
    assert sorted(everything(tmp_path)) == sorted(
        ["dead.jsonl", *(f"out/{shard.name}" for shard in published.shards)]
    )


def test_a_complete_run_is_refused_and_stays_as_it_is(job, tmp_path):
    asked = job(texts_of(3))
    bulk.run(asked)
    before = everything(tmp_path)
    with pytest.raises(ValueError, match=r"not there yet, but .*run-00000-of-00002\.jsonl is"):
        bulk.run(asked)
    assert everything(tmp_path) == before


def test_one_process_writes_an_output(job):
    asked = job(texts_of(3))
    with bulk_shards.claimed(asked), pytest.raises(ValueError, match="another is at it"):
        bulk.run(asked)


def test_a_part_is_not_written_after_its_folder_was_published(job, tmp_path):
    asked = job(texts_of(3))
    (first, _) = bulk_rows.parts(asked.inputs[0], 2)
    with pytest.raises(FileNotFoundError, match="must be there while its parts are written"):
        bulk_shards.write(asked, tmp_path / "gone", first, bulk_answers.Answers(asked.question))
    assert not (tmp_path / "gone").exists()


def test_batches_end_by_number_and_by_characters(monkeypatch):
    monkeypatch.setattr(bulk_answers, "_TEXTS_AT_ONCE", 3)
    monkeypatch.setattr(bulk_answers, "_CHARACTERS_AT_ONCE", 10)
    texts = ["a"] * 4 + ["b" * 11, "c" * 6, ("d" * 3, "e" * 3), "f"]
    rows = [bulk_rows.Row(n, "", text) for n, text in enumerate(texts)]
    found = [[row.line for row in batch] for batch in bulk_answers._batches(rows)]
    assert found == [[0, 1, 2], [3, 4], [5, 6], [7]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"methods": ("occlusoin",)}, "did you mean 'occlusion'"),
        ({"question": {"target": "superb"}}, "a class must be one of 'bad', 'good', 'so-so'"),
        ({"question": {"target": "gold"}}, "target 'gold' needs the true label"),
        ({"columns": bulk_rows.Columns(("review",))}, "must hold at least one row"),
    ],
)
def test_what_nothing_could_come_of_is_refused(job, tmp_path, settings, expected):
    path = tmp_path / "empty.csv"
    path.write_text("review\n")
    with pytest.raises(ValueError, match=expected):
        bulk.run(job(inputs=(str(path),), **({"columns": bulk_rows.Columns()} | settings)))
    assert not list(tmp_path.glob("out/*"))


def test_an_unreachable_job_server_is_told_in_one_line(job):
    options = ["--runner=PortableRunner", "--job_endpoint=localhost:1", "--job_server_timeout=1"]
    with pytest.raises(ValueError, match=r"^the run must end without a fault, got [^\n]+$"):
        bulk.run(job(texts_of(3)), options)
