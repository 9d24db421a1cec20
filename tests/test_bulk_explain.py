"""`scripts/bulk_explain.py`: what it prints and refuses; every runner's answers, and what a kill leaves."""

import gzip
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

import explain
import run_classifier
from explain import explanation
from explain import model
from scripts import bulk_explain
from tests.explain import classifier_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHOD = "gradient_x_input"
DATA = os.environ.get("BERT_DATA_DIR")


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    return str(classifier_folder.make(tmp_path_factory.mktemp("trained"), tiny_release))


def write_texts(path, count):
    rng = np.random.default_rng(1)
    words = classifier_folder.WORDS
    texts = [" ".join(rng.choice(words, rng.integers(1, 15))) for _ in range(count)]
    lines = [json.dumps({"id": str(n), "text": text}) for n, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")
    return texts


@pytest.fixture
def arguments(trained, tmp_path):
    """Return a function that gives the command's arguments; later ones win."""

    def give(*more):
        return [
            f"--model_dir={trained}",
            f"--input={tmp_path}/*.jsonl",
            f"--output={tmp_path}/out/run",
            f"--dead_letters={tmp_path}/out/dead",
            f"--methods={METHOD}",
            *more,
        ]

    return give


def told(caplog):
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    return record.getMessage()


def test_it_says_what_it_wrote_and_refuses_to_write_it_again(arguments, tmp_path, capsys, caplog):
    write_texts(tmp_path / "a.jsonl", 3)
    (tmp_path / "b.jsonl").write_text('{"text": "so fine"}\nso\n')
    assert bulk_explain.cli_main(arguments("--rows_per_shard=2")) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/out/run-00000-of-00003.jsonl: the first of 3 shards, 4 records",
        f"{tmp_path}/out/dead: 1 dead letters",
        "read 5, explained 4, dead 1",
    ]
    last = explanation.load_jsonl(tmp_path / "out/run-00002-of-00003.jsonl")
    assert [record.guid for record in last] == [f"{tmp_path}/b.jsonl:1"]
    (letter,) = (tmp_path / "out/dead").read_text().splitlines()
    assert json.loads(letter).items() >= {"file": f"{tmp_path}/b.jsonl", "line": 2}.items()
    assert bulk_explain.cli_main(arguments("--rows_per_shard=2")) == 1
    assert told(caplog) == (
        "bulk_explain.py: --output and --dead_letters must name files that are not there yet, but "
        f"{tmp_path}/out/run-00000-of-00003.jsonl is, of a run that is complete; remove them or give other names"
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--model_dir=gone"], "gone"),
        (["--input=*.none"], r"--input must match at least one file, got none for '\*\.none'"),
        (["--input=README.md"], r"README\.md must end in one of \.tsv"),
        (["--methods=occlusoin"], "did you mean 'occlusion'"),
        (["--target=superb"], "a class must be one of"),
        (["--taget=good"], "got --taget=good"),
        (["--text_column=b", "--input=data/sample_reviews/test.tsv"], "named 'b', .*--text_column"),
        (["--output=/proc/none/run"], r"/proc/none"),
    ],
)
def test_a_failure_is_told_in_one_line_and_nothing_is_written(
    arguments, tmp_path, caplog, more, expected
):
    write_texts(tmp_path / "a.jsonl", 3)
    assert bulk_explain.cli_main(arguments(*more)) == 1
    assert re.fullmatch(rf"bulk_explain\.py: [^\n]*{expected}[^\n]*", told(caplog))
    assert [path.name for path in tmp_path.iterdir()] in (["a.jsonl"], ["a.jsonl", "out"])
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("module", ["apache_beam", "pyarrow"])
def test_without_beam_the_line_says_what_to_install(
    arguments, tmp_path, caplog, monkeypatch, module
):
    write_texts(tmp_path / "a.jsonl", 3)
    for room in ("bulk", "bulk_shards"):
        monkeypatch.delitem(sys.modules, f"explain.{room}", raising=False)
        monkeypatch.delattr(explain, room, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    assert bulk_explain.cli_main(arguments()) == 1
    assert told(caplog) == (
        f"bulk_explain.py: scripts/bulk_explain.py needs {module}; pip install -r requirements-beam.txt"
    )


@pytest.mark.parametrize(
    "more", [["--rows_per_shard=0"], ["--output_format=csv"], ["--long_text=all"]]
)
def test_wrong_usage_ends_with_status_2(arguments, capsys, more):
    with pytest.raises(SystemExit) as caught:
        bulk_explain.cli_main(arguments(*more))
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def command(arguments):
    return [sys.executable, str(ROOT / "scripts" / "bulk_explain.py"), *arguments]


def begin(arguments, folder):
    return subprocess.Popen(
        command(arguments),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(folder, trained, texts):
    """Compare what is published with the single process."""
    found = [r for p in sorted(folder.glob("run-*")) for r in explanation.read_jsonl(p)]
    assert [record.guid for record in found] == [str(n) for n in range(len(texts))]
    expected = model.load_explainer(trained, [METHOD])(texts)
    for record, single in zip(found, expected, strict=True):
        assert record.text == single.text
        np.testing.assert_allclose(record.scores, single.scores, rtol=0, atol=1e-6)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    assert (folder / "dead").read_bytes() == b""


TWO_PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


@pytest.mark.slow
def test_two_worker_processes_give_the_same(arguments, trained, tmp_path):
    texts = write_texts(tmp_path / "a.jsonl", 40)
    running = begin(arguments("--rows_per_shard=10", *TWO_PROCESSES), tmp_path)
    out, log = running.communicate(timeout=300)
    assert running.returncode == 0, log
    assert out.endswith("read 40, explained 40, dead 0\n")
    check(tmp_path / "out", trained, texts)


@pytest.mark.slow
def test_a_job_server_with_loopback_workers_gives_the_same(arguments, trained, tmp_path):
    texts = write_texts(tmp_path / "a.jsonl", 40)
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    server = "apache_beam.runners.portability.local_job_service_main"
    with subprocess.Popen([sys.executable, "-m", server, f"--port={port}"]) as serving:
        runner = ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]
        more = ["--rows_per_shard=10", *runner, "--environment_type=LOOPBACK"]
        running = begin(arguments(*more), tmp_path)
        try:
            out, log = running.communicate(timeout=300)
        finally:
            serving.kill()
    assert running.returncode == 0, log
    assert out.endswith("read 40, explained 40, dead 0\n")
    check(tmp_path / "out", trained, texts)


def wait_for_parts(running, folder, count):
    """Wait until so many parts are done."""
    end = time.monotonic() + 300
    while len(list(folder.glob("out/.run.*/*.done"))) < count:
        assert time.monotonic() < end
        assert running.poll() is None, "it was done before it could be killed"
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_run_shows_nothing_and_the_next_one_loses_and_doubles_nothing(
    arguments, trained, tmp_path
):
    texts = write_texts(tmp_path / "a.jsonl", 4000)
    for parts, how in ((2, signal.SIGKILL), (9, signal.SIGINT), (21, signal.SIGKILL)):
        running = begin(arguments("--rows_per_shard=100"), tmp_path)
        wait_for_parts(running, tmp_path, parts)
        running.send_signal(how)
        _, log = running.communicate(timeout=60)
        if how == signal.SIGINT:
            assert (running.returncode, log) == (130, "bulk_explain.py: stopped\n")
        assert not list(tmp_path.glob("out/run*"))
    running = begin(arguments("--rows_per_shard=100"), tmp_path)
    out, log = running.communicate(timeout=300)
    assert running.returncode == 0, log
    assert out.endswith("read 4000, explained 4000, dead 0\n")
    check(tmp_path / "out", trained, texts)


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_and_the_next_one_finishes(arguments, trained, tmp_path):
    texts = write_texts(tmp_path / "a.jsonl", 4000)
    asked = arguments("--rows_per_shard=100", *TWO_PROCESSES)
    running = begin(asked, tmp_path)
    wait_for_parts(running, tmp_path, 2)
    workers = [
        process
        for process in psutil.Process(running.pid).children(recursive=True)
        if "sdk_worker_main" in " ".join(process.cmdline())
    ]
    workers[-1].kill()
    out, log = running.communicate(timeout=60)
    assert (running.returncode, out) == (1, "")
    # the other worker has its say too, and may be cut off in the middle of a line
    assert re.findall(r"bulk_explain\.py: (\w+ \w+ \w+ \w+)", log) == ["a worker was stopped"], log
    assert not list(tmp_path.glob("out/run*"))
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not left
    running = begin(asked, tmp_path)
    out, log = running.communicate(timeout=300)
    assert running.returncode == 0, log
    check(tmp_path / "out", trained, texts)


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="needs IMDb's reviews: set $BERT_DATA_DIR")
def test_of_five_thousand_reviews_fifty_bad_rows_are_dead_letters_and_the_others_as_in_one_process(
    arguments, minilm_folder, tmp_path
):
    (tmp_path / "few.tsv").write_text("label\ttext\n" + "0\tso dull\n1\tso fine\n" * 2)
    trained = str(tmp_path / "model")
    options = [f"--train_file={tmp_path}/few.tsv", f"--output_dir={trained}", "--do_train"]
    more = [f"--model={minilm_folder}", "--train_batch_size=4", "--num_train_epochs=1"]
    run_classifier.main(run_classifier.parse_options([*options, *more, "--max_seq_length=128"]))
    with gzip.open(f"{DATA}/imdb/test_5k.jsonl.gz", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    assert len(texts) == 5000
    lines = [json.dumps({"id": str(n), "text": text}).encode() for n, text in enumerate(texts)]
    bad = {int(place) for place in np.random.default_rng(5).choice(5000, 50, replace=False)}
    broken = [b"{", b'{"text": "\xff"}', b'{"id": 1}', b"[]", b'{"text": ["so"]}']
    for place in bad:
        lines[place] = broken[place % len(broken)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    running = begin(arguments(f"--model_dir={trained}"), tmp_path)
    out, log = running.communicate()
    assert running.returncode == 0, log
    assert out.endswith("read 5000, explained 4950, dead 50\n")
    letters = map(json.loads, (tmp_path / "out/dead").read_text().splitlines())
    assert {letter["line"] - 1 for letter in letters} == bad
    good = [place for place in range(5000) if place not in bad]
    found = [r for p in sorted((tmp_path / "out").glob("run-*")) for r in explanation.read_jsonl(p)]
    assert [record.guid for record in found] == [str(place) for place in good]
    one_process = model.load_explainer(trained, [METHOD]).stream(texts[place] for place in good)
    for record, expected in zip(found, one_process, strict=True):
        np.testing.assert_allclose(record.scores, expected.scores, rtol=0, atol=1e-6)
