"""Malformed files at the command lines: exit status 1 or 2, one line that names the file, never a traceback."""

import logging
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import run_classifier
from bert import checksums
from bert import project_config
from scripts import explain_file
from scripts import train
from tests import conftest
from tests.bert import malformed
from tests.explain import classifier_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    folder = classifier_folder.make(tmp_path_factory.mktemp("classifier") / "out", tiny_release)
    (folder / checksums.SUMS).unlink()  # which would tell of a change before the file is read
    return folder


def explain_command(trained, rows, out):
    return [
        f"--model_dir={trained}",
        f"--input_file={rows}",
        f"--output_dir={out}",
        "--method=random",
    ]


def train_on_rows(release, rows, out):
    options = conftest.arguments(release, rows.parent, out, "--do_train", f"--train_file={rows}")
    return [option for option in options if not option.startswith(("--task_name", "--data_dir"))]


class Case:
    """A command line in a process of its own."""

    def __init__(self, program, arguments):
        command = [sys.executable, str(ROOT / program), *map(str, arguments)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def check(self, status, told):
        out, error = self.process.communicate(timeout=300)
        assert (self.process.returncode, out) == (status, ""), error
        (line,) = error.splitlines()
        assert told in line
        assert "Traceback" not in error


@pytest.mark.timeout(300)
def test_a_malformed_file_ends_a_command_in_one_line(tiny_release, trained, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b'id,label,text\n1,pos,fine\n2,neg,"never closed\n\0')
    config = tmp_path / "project.yaml"
    config.write_text("model: " + "[" * 3000)
    release = tmp_path / "release"
    shutil.copytree(tiny_release, release)
    (release / "bert_config.json").write_text('{"vocab_size": ' + "9" * 5000 + "}")
    good = tmp_path / "good.csv"
    good.write_text("label,text\n0,dull\n1,fine\n")
    out = tmp_path / "made"
    cases = [  # at once: each takes seconds to import TensorFlow
        (
            Case("scripts/explain_file.py", explain_command(trained, rows, out)),
            1,
            f"{rows}:3: must",
        ),
        (Case("scripts/train.py", [f"--config={config}"]), 2, f"{config}: must be YAML"),
        (
            Case("run_classifier.py", train_on_rows(release, good, out)),
            1,
            f"{release / 'bert_config.json'}: must be JSON",
        ),
    ]
    for case, status, told in cases:
        case.check(status, told)
    assert not list(tmp_path.rglob("model.ckpt*"))
    assert not list(tmp_path.rglob("explanations.jsonl"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, 24, 4))
def test_malformed_rows_end_a_process_in_one_line(trained, tmp_path, first):
    cases = []
    for number in range(first, first + 4):
        path = tmp_path / f"{number}" / "rows.jsonl"
        path.parent.mkdir()
        path.write_bytes(malformed.malformed("rows.jsonl", number))
        out = tmp_path / f"out-{number}"
        cases.append((Case("scripts/explain_file.py", explain_command(trained, path, out)), path))
    for case, path in cases:
        _, error = case.process.communicate(timeout=600)
        assert "Traceback" not in error
        if case.process.returncode:
            assert case.process.returncode == 1
            (line,) = error.splitlines()
            assert str(path) in line


def refusal(cli_main, arguments, caplog):
    """Run a command in this process; return its status and what it logged as an error."""
    caplog.clear()
    status = cli_main(arguments)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    return status, lines


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["rows.tsv", "rows.csv", "rows.jsonl"])
def test_malformed_rows_are_explained_whole_or_not_at_all(trained, tmp_path, caplog, name):
    path, out = tmp_path / name, tmp_path / "out"
    for number in range(8):
        path.write_bytes(malformed.malformed(name, number))
        status, lines = refusal(explain_file.cli_main, explain_command(trained, path, out), caplog)
        assert (status, bool(lines)) in ((0, False), (1, True)), number
        assert (out / "explanations.jsonl").exists() == (status == 0), number
        if lines:
            (line,) = lines
            assert str(path) in line
            assert "\n" not in line
        shutil.rmtree(out, ignore_errors=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["bert_config.json", "classifier_config.json", "vocab.txt"])
def test_a_malformed_file_of_a_model_is_named_by_the_command(trained, tmp_path, caplog, name):
    folder = tmp_path / "model"
    shutil.copytree(trained, folder)
    rows = tmp_path / "rows.csv"
    rows.write_text("text\nthe film was fine\n")
    for number in range(8):
        (folder / name).write_bytes(malformed.malformed(name, number))
        arguments = explain_command(folder, rows, tmp_path / "out")
        status, lines = refusal(explain_file.cli_main, arguments, caplog)
        assert (status, len(lines)) in ((0, 0), (1, 1)), number
        assert not lines or str(folder) in lines[0], number


@pytest.mark.timeout(300)
def test_a_malformed_config_is_refused_with_status_2(tmp_path, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, refused = tmp_path / "project.yaml", 0
    for number in range(40):
        path.write_bytes(malformed.malformed(path.name, number))
        try:
            project_config.read(path)
        except project_config.ConfigError:
            refused += 1
            status, (told,) = refusal(train.cli_main, [f"--config={path}"], caplog)
            assert status == 2
            assert all(line.startswith(str(path)) for line in told.splitlines()), number
    assert refused > 20
    assert os.listdir(tmp_path) == ["project.yaml"]


@pytest.mark.timeout(300)
def test_malformed_rows_are_not_trained_on(tiny_release, tmp_path, caplog):
    path, out = tmp_path / "rows.tsv", tmp_path / "out"
    header = "id\tlabel\ttext\n"
    for wrong in ("1\t1\n", "1\t1\ta\tb\n", '1\t1\t"a\n', "1\t\ta\n", "1\t1\t\xff\n", "\x00\n"):
        path.write_bytes((header + "0\t0\tdull\n" + wrong).encode("latin-1"))
        arguments = train_on_rows(tiny_release, path, out)
        status, (line,) = refusal(run_classifier.cli_main, arguments, caplog)
        assert status == 1
        assert f"{path}:3: " in line
        assert not list(tmp_path.rglob("model.ckpt*"))
