"""Checkpoints that lost a byte, or whose process was killed at the worst moment."""

import os
import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

import run_classifier
from bert import checkpoints
from bert import checksums
from bert import failures
from bert import features
from bert import files
from bert import model_folder
from bert import training_log
from tests import conftest
from tests.explain import classifier_folder

VALUES = {
    "bert/kernel": np.arange(35, dtype=np.float32).reshape(5, 7),
    "bert/kernel/adam_m": np.ones((5, 7), np.float32),
    "output_bias": np.float32([0.25, -3.0, 8.0]),
    "global_step": np.int64(12),
}


@pytest.fixture
def prefix(tmp_path):
    checkpoints.write(tmp_path / "model.ckpt-12", VALUES)
    return tmp_path / "model.ckpt-12"


def read(prefix):
    """Return what a checkpoint holds, or None where it is told to be damaged."""
    try:
        names = {*checkpoints.checkpoint_shapes(prefix), *VALUES}
        return checkpoints.load_variables(prefix, names)
    except ValueError as error:
        told = re.escape(str(prefix)) + " must be a whole checkpoint, got .+; copy or .+"
        if re.fullmatch(told, str(error)):
            return None
        raise


def require_sound_or_none(found):
    if found is not None:
        assert found.keys() == VALUES.keys()
        for name, value in VALUES.items():
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_a_checkpoint_cut_at_any_byte_is_told(prefix, part):
    path = prefix.with_name(f"{prefix.name}.{part}")
    sound = path.read_bytes()
    for length in range(len(sound)):
        path.write_bytes(sound[:length])
        assert read(prefix) is None, length
    path.write_bytes(sound)
    require_sound_or_none(read(prefix))


def test_a_bit_flipped_anywhere_in_the_values_is_told(prefix):
    path = prefix.with_name(f"{prefix.name}.data-00000-of-00001")
    sound = path.read_bytes()
    assert len(sound) == sum(value.nbytes for value in VALUES.values())
    for place in range(len(sound)):
        path.write_bytes(flipped(sound, place))
        assert read(prefix) is None, place


def test_a_bit_flipped_anywhere_in_the_index_is_told_or_changes_nothing(prefix):
    path = prefix.with_name(f"{prefix.name}.index")
    sound = path.read_bytes()
    told = 0
    for place in range(len(sound)):
        path.write_bytes(flipped(sound, place))
        found = read(prefix)
        require_sound_or_none(found)
        told += found is None
    # the rest fills up the footer, and is a block that nothing reads
    assert told > 0.75 * len(sound)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"model_checkpoint_path",
        b'model_checkpoint_path: ""\n',
        b'model_checkpoint_path: "model.ckpt-13"\n',
        b'model_checkpoint_path: "model.ckpt-\xff2"\n',
        b"\0" * 40,
    ],
)
def test_a_folder_whose_state_file_is_damaged_is_not_taken_for_an_empty_one(prefix, state):
    folder = prefix.parent
    (folder / "checkpoint").write_bytes(state)
    told = r"checkpoint must name .* of those there \(model.ckpt-12\), or delete the folder"
    for ask in (checkpoints.newest, checkpoints.latest_step):
        with pytest.raises(ValueError, match=told):
            ask(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-12"')
    assert checkpoints.newest(folder) == str(prefix)
    assert checkpoints.latest_step(folder) == 12


def test_a_damaged_newest_checkpoint_has_no_step(prefix):
    folder = prefix.parent
    tf.compat.v1.train.update_checkpoint_state(str(folder), prefix.name)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model\.ckpt-12 must be a whole checkpoint"):
        checkpoints.latest_step(folder)


# What a kill between two lines of code would leave


def train(release, data, output, epochs, save_every):
    options = ("--do_train", f"--save_checkpoints_steps={save_every}")
    command = conftest.arguments(release, data, output, *options, f"--num_train_epochs={epochs}")
    assert run_classifier.cli_main(command) == 0


class Killed(BaseException):
    """What nothing catches."""


def die(*_):
    raise Killed


def test_the_file_that_makes_a_checkpoint_appears_last(tmp_path, monkeypatch):
    replace, seen = os.replace, []

    def watched(source, target):
        seen.append(pathlib.Path(target).suffix)
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    checkpoints.write(tmp_path / "model.ckpt-12", VALUES)
    assert seen == [".data-00000-of-00001", ".index"]


def test_a_folder_that_is_half_written_has_no_checksums(tiny_release, tmp_path, monkeypatch):
    folder = classifier_folder.make(tmp_path / "trained", tiny_release)
    parts = model_folder.load(folder)
    assert (folder / checksums.SUMS).is_file()
    monkeypatch.setattr(files, "copy", die)
    with pytest.raises(Killed):
        parts.save(folder)
    assert not (folder / checksums.SUMS).exists()


def test_a_step_is_in_the_log_before_it_is_in_a_checkpoint(
    tiny_release, tiny_data, tmp_path, monkeypatch
):
    append, seen = training_log.append, []

    def watched(folder, row):
        seen.append((row.step, checkpoints.latest_step(folder)))
        append(folder, row)

    monkeypatch.setattr(training_log, "append", watched)
    train(tiny_release, tiny_data, tmp_path, epochs=1, save_every=1)
    assert seen == [(step, step - 1) for step in range(1, 9)]


def test_going_on_does_not_write_over_the_checkpoint_that_it_goes_on_from(
    tiny_release, tiny_data, tmp_path
):
    train(tiny_release, tiny_data, tmp_path, epochs=0.5, save_every=100)
    files = list(tmp_path.glob("model.ckpt-4.*"))
    assert len(files) == 3
    before = {path: path.stat().st_mtime_ns for path in files}
    train(tiny_release, tiny_data, tmp_path, epochs=1, save_every=100)
    assert checkpoints.latest_step(tmp_path) == 8
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize("place", [0, 9, 20, -1])
def test_a_bit_flipped_in_a_file_of_examples_is_told_with_what_to_do(tmp_path, place):
    path = tmp_path / "train.tf_record"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"thirty bytes or so of a record")
    sound = path.read_bytes()
    path.write_bytes(flipped(sound, place % len(sound)))
    for ask in (features.count_records, lambda name: list(tf.data.TFRecordDataset(str(name)))):
        with pytest.raises(tf.errors.DataLossError) as caught:
            ask(path)
        line = failures.one_line(caught.value)
        assert "corrupted record at " in line
        assert "start again, which writes TFRecords anew" in line
        assert "\n" not in line


def test_a_best_model_is_replaced_whole(tiny_release, tiny_data, tmp_path, monkeypatch):
    """Killed after the new weights and before the file that names them, the old ones are still read."""
    command = conftest.arguments(tiny_release, tiny_data, tmp_path / "out", "--do_train")
    command += ["--num_train_epochs=0.5", "--eval_every_steps=2", "--best_metric=loss"]
    assert run_classifier.cli_main(command) == 0
    best = tmp_path / "out" / "best"
    step = checkpoints.latest_step(best)
    shutil.copytree(best, tmp_path / "before")
    monkeypatch.setattr(tf.compat.v1.train, "update_checkpoint_state", die)
    with pytest.raises(Killed):
        run_classifier.cli_main([*command, "--num_train_epochs=1.5"])
    assert checkpoints.latest_step(best) == step
    for name in ("vocab.txt", "bert_config.json", "classifier_config.json"):
        assert (best / name).read_bytes() == (tmp_path / "before" / name).read_bytes()
    monkeypatch.undo()
    assert run_classifier.cli_main([*command, "--num_train_epochs=1.5"]) == 0
    assert checkpoints.latest_step(best) > step
