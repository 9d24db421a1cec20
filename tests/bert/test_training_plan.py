"""What is left to train in a folder, read from its checkpoints and its log alone; nothing is trained here."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import options as options_lib
from bert import training
from bert import training_log


@dataclasses.dataclass
class Folder:
    """An output folder that looks as if 64 examples had been trained on in batches of 8."""

    path: str

    def reach(self, step, below="."):
        """Leave a checkpoint, here or in the folder of the best model."""
        folder = f"{self.path}/{below}"
        checkpoints.write(f"{folder}/model.ckpt-{step}", {"global_step": np.int64(step)})
        tf.compat.v1.train.update_checkpoint_state(folder, f"model.ckpt-{step}")

    def log(self, step, accuracy=None, loss=0.5, epoch=None):
        """Log a step or, with an accuracy, an evaluation."""
        epoch = step / 8 if epoch is None else epoch
        found = (None, None, accuracy, 0.5, loss) if accuracy is not None else (0.7, 1e-3)
        training_log.append(self.path, training_log.Row(step, epoch, *found))

    def plan(self, examples=64, **values):
        defaults = {"train_batch_size": 8, "num_train_epochs": 2, "output_dir": self.path}
        needed = {"data_dir": "d", "task_name": "imdb", "do_train": True}
        options = options_lib.RunConfig.parse(needed | defaults | values)
        return training.plan(options, examples)


@pytest.fixture
def folder(tmp_path):
    training_log.start(tmp_path, 0)
    return Folder(str(tmp_path))


def test_a_best_model_whose_evaluation_was_not_logged_is_no_stranger(folder):
    folder.reach(8)
    folder.log(4, accuracy=0.5)
    folder.reach(8, "best")  # kept, and stopped before its row was written
    plan = folder.plan(eval_every_steps=4)
    assert plan == training.Plan(8, 16, 4, False, lacks_evaluation=True)
    assert not plan.is_finished


def test_the_newest_model_must_not_stand_for_a_best_one_that_the_log_knows(folder):
    folder.reach(8)
    folder.log(4, accuracy=0.7)
    folder.log(8, accuracy=0.5)
    folder.reach(8, "best")
    with pytest.raises(ValueError, match=r"that of step 4 by .* but holds step 8; give the"):
        folder.plan(eval_every_steps=4)


def test_a_finished_folder_is_taken_as_it_is_without_the_evaluations_it_was_trained_with(folder):
    folder.reach(16)
    folder.log(8, accuracy=0.7, loss=0.3)
    folder.log(16, accuracy=0.6, loss=0.2)
    folder.reach(16, "best")  # chosen by the loss
    assert folder.plan().is_finished


def test_a_finished_folder_may_be_named_with_another_batch_size(folder):
    folder.reach(16)
    folder.log(16)
    assert folder.plan(train_batch_size=4, num_train_epochs=1).is_finished
    with pytest.raises(ValueError, match=r"2 epochs in 16 steps, which would be 1 with"):
        folder.plan(train_batch_size=4, num_train_epochs=2)


def test_rows_beyond_the_newest_checkpoint_do_not_count(folder):
    folder.reach(8)
    for step, accuracy in {4: 0.7, 8: 0.6, 12: 0.9}.items():
        folder.log(step, accuracy)
    folder.reach(4, "best")
    assert folder.plan(eval_every_steps=4) == training.Plan(8, 16, 4, False)


def test_the_six_digits_of_the_log_are_not_mistaken_for_other_data(folder):
    folder.reach(7)
    folder.log(7, epoch=0.933333)  # 56 / 60
    assert folder.plan(examples=60).done == 7
    with pytest.raises(ValueError, match=r"in 7 steps, which would be 0\.918033 with"):
        folder.plan(examples=61)


@pytest.mark.parametrize(
    ("steps", "interval"), [(3, 1), (39, 1), (40, 2), (65, 3), (1999, 99), (90_000, 100)]
)
def test_the_log_has_about_twenty_rows_but_one_in_a_hundred_steps_at_least(steps, interval):
    needed = {"data_dir": "d", "task_name": "imdb", "output_dir": "o", "do_train": True}
    options = options_lib.RunConfig.parse(needed)
    assert training.log_interval(options, steps) == interval
    ranging = options_lib.RunConfig.parse(needed | {"learning_rate_schedule": "lr_range_test"})
    assert training.log_interval(ranging, steps) == 1
