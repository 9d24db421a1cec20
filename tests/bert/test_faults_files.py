"""What the disk refuses is told with the file's name, and a damaged log with its line."""

import errno
import os

import pytest
import tensorflow as tf

from bert import failures
from bert import files
from bert import training_log

ROW = training_log.Row(10, 0.5, 0.693147, 5e-5)
FULL = r"\[Errno 28\] No space left on device: '.*{}'$"

needs_full_device = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has"
)


@needs_full_device
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    files.write_text(tmp_path / "results.tsv", "old")
    (tmp_path / f".results.tsv.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match=FULL.format("results.tsv")):
        files.write_text(tmp_path / "results.tsv", "new")
    # by its name first: who reads a draft that stayed, /dev/full, reads without end
    assert os.listdir(tmp_path) == ["results.tsv"]
    assert (tmp_path / "results.tsv").read_text() == "old"


@needs_full_device
def test_a_row_of_the_log_that_does_not_fit_names_the_log(tmp_path):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    with pytest.raises(OSError, match=FULL.format("log.txt")):
        training_log.append(tmp_path, ROW)


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG", "EIO"])
def test_an_error_of_the_disk_gets_a_name_where_it_has_none(name):
    number = getattr(errno, name)
    for known, expected in ((None, "x.tsv"), ("y.tsv", "y.tsv")):
        with pytest.raises(OSError, match=os.strerror(number)) as caught, files.naming("x.tsv"):
            raise OSError(number, os.strerror(number), known)
        assert caught.value.filename == expected


def test_an_error_that_is_not_the_disks_is_left_as_it_is(tmp_path):
    for error in (OSError("no answer"), ConnectionResetError(104, "reset")):
        with pytest.raises(OSError, match=str(error.args[-1])) as caught, files.naming("x.tsv"):
            raise error
        assert caught.value.filename is None


def test_a_log_that_lost_a_byte_is_named_with_the_line(tmp_path):
    training_log.start(tmp_path, 0)
    for _ in range(3):
        training_log.append(tmp_path, ROW)
    path = tmp_path / "log.txt"
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (b"\xff" + lines[2][1:], b"\0" + lines[2], b"7" * 200_000 + b"x\n"):
        path.write_bytes(b"".join([*lines[:2], damaged, lines[3]]))
        with pytest.raises(ValueError, match=r"log\.txt:3: must hold 7 numbers"):
            training_log.read(tmp_path)


@pytest.mark.parametrize("step", [b"", b"global_step = inf\n", b"global_step = 3\n\xff = 1\n"])
def test_results_without_a_step_or_no_text_are_named(tmp_path, step):
    (tmp_path / "eval_results.txt").write_bytes(b"eval_loss = 0.5\n" + step)
    with pytest.raises(ValueError, match=r"eval_results\.txt: must hold .*and global_step = 100; "):
        training_log.curves(tmp_path)


def test_a_full_disk_that_tensorflow_met_is_not_taken_for_full_memory():
    told = "out/model.ckpt-0_temp/part-00000-of-00001; No space left on device"
    error = tf.errors.ResourceExhaustedError(None, None, f"{told}\n\t [[node save/SaveV2]]")
    assert failures.one_line(error) == f"{told}; free some space, and start again"
