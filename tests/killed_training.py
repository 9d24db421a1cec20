"""A real training in a process of its own, watched from outside and stopped at a chosen moment."""

import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

import run_classifier
from bert import checkpoints
from bert import training_log
from tests import conftest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE_S = 300  # for a sign to come: minutes more than any machine needs


def arguments(release, data, output, *, epochs, save_every, evaluate_every):
    """Return the command line of a training of 8 steps an epoch; dropout and all else as by default."""
    return conftest.arguments(
        release,
        data,
        output,
        "--do_train",
        f"--num_train_epochs={epochs}",
        f"--save_checkpoints_steps={save_every}",
        f"--eval_every_steps={evaluate_every}",
        "--best_metric=loss",
    )


def saved_step(output: pathlib.Path) -> int:
    """Return the step that the folder's file `checkpoint` names; 0 without it."""
    state = output / "checkpoint"
    found = state.is_file() and re.match(
        r'model_checkpoint_path: "model\.ckpt-(\d+)"', state.read_text()
    )
    return int(found[1]) if found else 0


class Attempt:
    """One start of the command, until it ends or is stopped."""

    def __init__(self, command: list[str], output: pathlib.Path, log: pathlib.Path) -> None:
        """Start the process; what it says goes to `log`."""
        self.output, self._log = output, log
        self.began_at = saved_step(output)
        self._before = self._checkpoint_files()
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "run_classifier.py", *command], cwd=ROOT, stderr=stderr
            )

    @property
    def told(self) -> str:
        """What it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def trains(self) -> bool:
        """Whether it has begun, the imports of the first seconds behind it."""
        return "Running training" in self.told

    def saves(self) -> bool:
        """Whether there are files of a checkpoint that the folder's file `checkpoint` does not name yet."""
        new = self._checkpoint_files() - self._before
        state = self.output / "checkpoint"
        named = state.read_text() if state.is_file() else ""
        return any(name.split(".")[1].removesuffix("_temp") not in named for name in new)

    def evaluates(self, every: int) -> bool:
        """Whether the newest checkpoint awaits its evaluation, which may have begun."""
        step = saved_step(self.output)
        rows = training_log.read(self.output) if step else []
        done = any(row.step == step and row.dev_loss is not None for row in rows)
        return step > 0 and step % every == 0 and not done

    def wait_for(self, sign: Callable[[], bool]) -> bool:
        """Look every millisecond; False when the process has ended without the sign."""
        limit = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            if sign():
                return True
            assert time.monotonic() < limit, self.told
            time.sleep(0.001)
        return False

    def stop(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and return the status that the process ends with."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def _checkpoint_files(self) -> set[str]:
        return {path.name for path in self.output.glob("model.ckpt-*")}


def finish(command: list[str]) -> None:
    """Run the command to its end, in this process: TensorFlow is there already."""
    assert run_classifier.cli_main(command) == 0


def require_whole_checkpoint(output: pathlib.Path) -> None:
    """Read every tensor of the checkpoint that the next start will go on from; each has a checksum."""
    if newest := checkpoints.newest(output):
        variables(newest)


def variables(checkpoint):
    """Return all that a checkpoint holds: weights, the optimiser's slots, the step."""
    names = [name for name, _ in tf.train.list_variables(str(checkpoint))]
    return checkpoints.load_variables(checkpoint, names)


def require_same(output: pathlib.Path, expected: pathlib.Path) -> None:
    """Compare two finished trainings bit for bit: last checkpoint, best model, every row of the log."""
    assert (output / "log.txt").read_text() == (expected / "log.txt").read_text()
    for folder in (".", "best"):
        found, wanted = (checkpoints.newest(path / folder) for path in (output, expected))
        assert pathlib.Path(found).name == pathlib.Path(wanted).name
        found, wanted = variables(found), variables(wanted)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
