"""A training by processes of their own on this machine, and what it must be equal to."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import tensorflow as tf

from bert import checkpoints
from bert import training_log

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE_S = 300  # minutes more than any machine needs
# the command, without the dropout before the classifier, which no option turns off
_COMMAND = (
    "import sys; from bert import classifier; classifier._CLASSIFIER_DROPOUT = 0.0;"
    "import run_classifier; sys.exit(run_classifier.cli_main(sys.argv[1:]))"
)


def without_dropout(release: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """Return a copy of a release's config that drops nothing."""
    config = json.loads((release / "bert_config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "bert_config.json").write_text(json.dumps(config))
    return folder / "bert_config.json"


class Cluster:
    """Processes of one TF_CONFIG on free ports, the first of them the chief."""

    def __init__(self, command: list[str], count: int, logs: pathlib.Path) -> None:
        """Start them all; what each says goes to a file in `logs`."""
        logs.mkdir()
        with contextlib.ExitStack() as sockets:
            held = [sockets.enter_context(socket.socket()) for _ in range(count)]
            for each in held:
                each.bind(("localhost", 0))
            addresses = [f"localhost:{each.getsockname()[1]}" for each in held]
        self._logs = [logs / f"worker_{index}" for index in range(count)]
        self.processes = []
        for index, log in enumerate(self._logs):
            task = {"type": "worker", "index": index}
            config = json.dumps({"cluster": {"worker": addresses}, "task": task})
            with log.open("wb") as stderr:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", _COMMAND, *command, "--distribution=multi_worker"],
                        cwd=ROOT,
                        env=os.environ | {"TF_CONFIG": config, "TF_CPP_MIN_LOG_LEVEL": "3"},
                        stderr=stderr,
                    )
                )

    def told(self, index: int) -> str:
        """Return what a process has said so far."""
        return self._logs[index].read_text(encoding="utf-8")

    def end(self) -> list[int]:
        """Return the status that each process ends with."""
        try:
            return [process.wait(PATIENCE_S) for process in self.processes]
        finally:
            self.kill()

    def kill(self) -> None:
        """Leave no process behind."""
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE_S)


def variables(output: pathlib.Path) -> dict[str, np.ndarray]:
    """Return all that a folder's newest checkpoint holds: weights, the optimiser's slots, the step."""
    newest = checkpoints.newest(output)
    return checkpoints.load_variables(newest, [name for name, _ in tf.train.list_variables(newest)])


def differences(output: pathlib.Path, expected: pathlib.Path) -> tuple[float, float]:
    """Return how far two trainings are apart at most, in a logged loss and in a variable."""
    rows, wanted = training_log.read(output), training_log.read(expected)
    assert [row.step for row in rows] == [row.step for row in wanted]
    losses = np.array([(a.loss, b.loss) for a, b in zip(rows, wanted, strict=True) if b.loss])
    found, known = variables(output), variables(expected)
    assert found.keys() == known.keys()
    assert found.pop("global_step") == known.pop("global_step")
    return (
        float(np.abs(losses[:, 0] - losses[:, 1]).max()),
        max(float(np.abs(found[name] - known[name]).max()) for name in known),
    )
