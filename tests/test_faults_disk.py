"""Disks that are full and folders that cannot be written to: one line, nothing half-written, and no loss."""

import logging
import os
import re
import shutil
import subprocess
import sys

import pytest

import run_classifier
from bert import checkpoints
from scripts import explain_file
from tests import conftest
from tests import killed_training
from tests.explain import classifier_folder

SIZES = {"epochs": 1, "save_every": 2, "evaluate_every": 4}
ROWS = "id,text,label\n1,the film was fine.,good\n2,so dull,bad\n"
FULL = "No space left on device"

needs_full_device = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has"
)


@pytest.fixture
def may_mount():
    """Skip where a process cannot have a small disk that no other sees."""
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]
    if not shutil.which("unshare") or subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("needs a private mount of a small disk")


def fill(folder, name):
    """Let the draft that this process would write for a file fall on a full disk."""
    folder.mkdir(exist_ok=True)
    (folder / f".{name}.{os.getpid()}").symlink_to("/dev/full")


def drafts(folder):
    return [path.name for path in folder.rglob(".*") if path.name != ".claimed"]


@pytest.fixture
def trained(tiny_release, tmp_path):
    return classifier_folder.make(tmp_path / "trained", tiny_release)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text(ROWS)
    return path


def one_error(caplog):
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert "\n" not in line
    return line


@needs_full_device
def test_predictions_on_a_full_disk_leave_the_earlier_results_and_no_half(trained, texts, caplog):
    command = [f"--output_dir={trained}", f"--test_file={texts}", "--do_predict"]
    assert run_classifier.cli_main(command) == 0
    before = (trained / "test_results.tsv").read_bytes()
    fill(trained, "test_results.tsv")
    assert run_classifier.cli_main(command) == 1
    results = trained / "test_results.tsv"
    assert f"{FULL}: '{results}'; free some space, and start again" in one_error(caplog)
    assert results.read_bytes() == before
    assert drafts(trained) == []


@needs_full_device
def test_explanations_on_a_full_disk_leave_no_half(trained, texts, tmp_path, caplog):
    output = tmp_path / "explained"
    fill(output, "explanations.jsonl")
    command = [f"--model_dir={trained}", f"--input_file={texts}", f"--output_dir={output}"]
    assert explain_file.cli_main([*command, "--method=random"]) == 1
    path = output / "explanations.jsonl"
    assert f"{FULL}: '{path}'; free some space, and start again" in one_error(caplog)
    assert list(output.iterdir()) == []


@needs_full_device
@pytest.mark.parametrize(
    "name",
    [
        "train.tf_record",
        "dev.tf_record",
        "bert_config.json",
        "vocab.txt",
        "classifier_config.json",
        "SHA256SUMS",
        "log.txt",
    ],
)
def test_a_training_whose_first_files_do_not_fit_says_so_and_leaves_no_half(
    name, tiny_release, tiny_data, tmp_path, caplog
):
    output = tmp_path / "out"
    fill(output, name)
    command = killed_training.arguments(tiny_release, tiny_data, output, **SIZES)
    assert run_classifier.cli_main(command) == 1
    line = one_error(caplog)
    assert FULL in line
    assert name in line
    assert line.endswith("; free some space, and start again")
    assert not (output / name).exists()
    assert drafts(output) == []
    assert checkpoints.latest_step(output) is None


# On a disk of its own of so many bytes the command fails; on a larger one the same command then ends well.
_ON_A_SMALL_DISK = """
set -e
disk="$1" kept="$2" size="$3"; shift 3
mount -t tmpfs -o "size=$size" none "$disk"
set +e
"$@" 2> "$kept/first"; echo $? > "$kept/status"
cp -a "$disk/out" "$kept/full"
mount -o remount,size=256m "$disk"
"$@" 2> "$kept/second"; status=$?
cp -a "$disk/out" "$kept/out"
exit $status
"""


@pytest.mark.slow
@pytest.mark.usefixtures("may_mount")
@pytest.mark.parametrize("size", ["1m", "4m"])
def test_a_training_that_filled_its_disk_goes_on_from_its_last_checkpoint_when_there_is_room(
    size, tiny_release, tiny_data, tmp_path
):
    whole = tmp_path / "whole"
    killed_training.finish(killed_training.arguments(tiny_release, tiny_data, whole, **SIZES))
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    command = killed_training.arguments(tiny_release, tiny_data, disk / "out", **SIZES)
    shell = ["unshare", "-rm", "sh", "-c", _ON_A_SMALL_DISK, "sh", disk, kept]
    python = [sys.executable, "run_classifier.py", *command]
    done = subprocess.run([*shell, size, *python], cwd=killed_training.ROOT, check=False)
    first, second = ((kept / name).read_text() for name in ("first", "second"))
    assert (kept / "status").read_text() == "1\n", first
    *_, last = first.splitlines()
    assert re.fullmatch(rf"run_classifier\.py: .*{FULL}.*; free some space, and start again", last)
    assert "Traceback" not in first
    assert done.returncode == 0, second
    killed_training.require_same(kept / "out", whole)


_WITH_SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_file_that_may_not_grow_ends_a_training_in_one_line(tiny_release, tiny_data, tmp_path):
    output = tmp_path / "out"
    command = killed_training.arguments(tiny_release, tiny_data, output, **SIZES)
    done = subprocess.run(
        [sys.executable, "-c", _WITH_SMALL_FILES, "run_classifier.py", *command],
        cwd=killed_training.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    *_, last = done.stderr.splitlines()
    assert re.fullmatch(rf"run_classifier\.py: {output}/\S+; File too large", last)
    assert "Traceback" not in done.stderr
    assert checkpoints.latest_step(output) is None


def test_an_output_folder_that_cannot_be_made_is_named(tiny_release, tiny_data, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    output = tmp_path / "file" / "out"
    assert (
        run_classifier.cli_main(conftest.arguments(tiny_release, tiny_data, output, "--do_train"))
        == 1
    )
    line = one_error(caplog)
    assert f"{output} must be a folder that can be written to, got Not a directory; correct" in line
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_output_folder_is_named(tiny_release, tiny_data, tmp_path, caplog):
    output = tmp_path / "out"
    output.mkdir(mode=0o555)
    command = conftest.arguments(tiny_release, tiny_data, output, "--do_train")
    assert run_classifier.cli_main(command) == 1
    line = one_error(caplog)
    assert f"{output} must be a folder that can be written to, got Permission denied" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_predictions_into_a_read_only_folder_are_refused_in_one_line(trained, texts, caplog):
    trained.chmod(0o555)
    command = [f"--output_dir={trained}", f"--test_file={texts}", "--do_predict"]
    assert run_classifier.cli_main(command) == 1
    trained.chmod(0o755)
    assert "Permission denied" in one_error(caplog)
    assert drafts(trained) == []
