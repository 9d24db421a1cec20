"""The fuzzer's targets: what counts as a finding, and that nothing of the corpus is one any more."""

import pathlib
import re
import sys
import types

import pytest

from bert import tables
from bert import tokenization
from scripts import fuzz
from scripts import fuzz_targets

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = sorted(path for path in (ROOT / "tests" / "fuzz").glob("*/*"))
FOUND = "found_"  # begins the names of the inputs that were findings


def named(path):
    return f"{path.parent.name}-{path.name}"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", CORPUS, ids=named)
def test_nothing_of_the_corpus_is_a_finding(path, tmp_path):
    fuzz_targets.TARGETS[path.parent.name](tmp_path, path.read_bytes())


@pytest.mark.parametrize(
    "path", [path for path in CORPUS if not path.name.startswith(FOUND)], ids=named
)
def test_what_a_run_begins_with_is_read_by_its_target(path, tmp_path, monkeypatch):
    attempt, read = fuzz_targets.attempt, []

    def watched(*given):
        read.append(attempt(*given))
        return read[-1]

    monkeypatch.setattr(fuzz_targets, "attempt", watched)
    monkeypatch.setattr(fuzz_targets, "check_pieces", lambda _, text: read.append(text))
    fuzz_targets.TARGETS[path.parent.name](tmp_path, path.read_bytes())
    assert any(read)


def test_every_target_has_a_corpus_and_a_name_that_the_command_knows():
    assert {path.parent.name for path in CORPUS} == set(fuzz_targets.TARGETS)


def refuse(path):
    raise ValueError("line 3 is broken")


def test_an_exception_that_is_not_documented_is_a_finding(tmp_path):
    with pytest.raises(KeyError):
        fuzz_targets.attempt(tmp_path / "a", b"", lambda path: {}[path])
    with pytest.raises(ValueError, match="line 3"):
        fuzz_targets.attempt(tmp_path / "a", b"", refuse, KeyError)


def test_a_refusal_without_the_files_name_is_a_finding(tmp_path):
    with pytest.raises(
        AssertionError, match="a refusal must name its file, got 'line 3 is broken'"
    ):
        fuzz_targets.attempt(tmp_path / "a", b"", refuse)


def test_rows_that_do_not_come_back_are_a_finding(tmp_path, monkeypatch):
    read = tables.read_table

    def with_the_line(path, required):
        return ((line, row | {"line": str(line)}) for line, row in read(path, required))

    monkeypatch.setattr(tables, "read_table", with_the_line)
    monkeypatch.setattr(tables, "read_positions", lambda *_, **__: [])
    for target, data in {"table": b"text\n\nso\n", "json": b'\n{"text": "so"}\n'}.items():
        with pytest.raises(AssertionError, match="rows must be the same"):
            fuzz_targets.TARGETS[target](tmp_path, data)


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        ([tokenization.Token("so", 0, 2)], "its words' pieces"),
        ([tokenization.Token("so", 3, 7), tokenization.Token("fine", 0, 2)], "in order"),
        ([tokenization.Token("so", 0, 2), tokenization.Token("fine", 3, 8)], "inside the text"),
    ],
)
def test_pieces_that_do_not_stand_in_the_text_are_a_finding(tokens, told, monkeypatch):
    tokenizer = fuzz_targets.tokenizers()[0]
    fuzz_targets.check_pieces(tokenizer, "so fine")
    monkeypatch.setattr(tokenizer, "tokenize_with_spans", lambda _: tokens)
    with pytest.raises(AssertionError, match=told):
        fuzz_targets.check_pieces(tokenizer, "so fine")


def test_the_words_are_in_the_form_of_libfuzzer():
    lines = (ROOT / "tests" / "fuzz" / "words.dict").read_text(encoding="ascii").splitlines()
    for line in lines[1:]:
        assert re.fullmatch(r'\w+="(\\x[0-9a-f]{2}|[^"\\])+"', line), line


def test_the_fuzzer_is_pinned():
    lines = (ROOT / "requirements-fuzz.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.fullmatch(r"atheris==\d+\.\d+\.\d+", line)]


def test_the_command_gives_the_fuzzer_its_corpus_and_returns_its_status(tmp_path, monkeypatch):
    """A stand-in for the fuzzer, in the process that the command makes, leaves what it was given in a file."""

    def set_up(arguments, check):
        check(b"so fine")
        (tmp_path / "given").write_text("\n".join(arguments))

    class Instrumented:
        def __init__(self, include):
            assert include == ["bert", "explain", "yaml"]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    stand_in = types.SimpleNamespace(
        instrument_imports=Instrumented, Setup=set_up, Fuzz=lambda: sys.exit(77)
    )
    monkeypatch.setitem(sys.modules, "atheris", stand_in)
    output = tmp_path / "out"
    assert fuzz.main(["--target=tokenizer", "--seconds=9", f"--output_dir={output}"]) == 77
    assert (tmp_path / "given").read_text().splitlines() == [
        "fuzz.py",
        "-timeout=5",
        "-max_total_time=9",
        f"-dict={ROOT}/tests/fuzz/words.dict",
        f"-artifact_prefix={output}/tokenizer-",
        f"{output}/tokenizer",
        f"{ROOT}/tests/fuzz/tokenizer",
    ]
    assert (output / "tokenizer").is_dir()
