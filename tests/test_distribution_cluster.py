"""Two processes of one TF_CONFIG, as users start them."""

import logging
import signal
import time

import pytest

import run_classifier
from bert import checkpoints
from bert import classifier
from tests import clusters
from tests import conftest
from tests import killed_training


@pytest.fixture(scope="module")
def command(tiny_release, tiny_data, tmp_path_factory):
    """Return a function from a folder to the command that trains and evaluates in it, 80 steps."""
    config = clusters.without_dropout(tiny_release, tmp_path_factory.mktemp("still"))

    def arguments(output, *more):
        return conftest.arguments(
            tiny_release,
            tiny_data,
            output,
            f"--bert_config_file={config}",
            "--num_train_epochs=10",
            "--learning_rate=2e-4",
            "--save_checkpoints_steps=5",
            "--do_train",
            *more,
        )

    return arguments


@pytest.fixture(scope="module")
def alone(command, tmp_path_factory):
    """The same training by one process."""
    output = tmp_path_factory.mktemp("alone") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_CLASSIFIER_DROPOUT", 0.0)
        assert run_classifier.cli_main(command(output, "--do_eval", "--do_predict")) == 0
    return output


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files of the processes that a test starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_two_processes_train_what_one_does_and_the_chief_alone_writes(
    alone, command, tmp_path, temporary
):
    output = tmp_path / "out"
    (temporary / "bert-worker-killed" / "files").mkdir(parents=True)
    cluster = clusters.Cluster(command(output, "--do_eval", "--do_predict"), 2, tmp_path / "logs")
    assert cluster.end() == [0, 0], cluster.told(0) + cluster.told(1)
    loss, weight = clusters.differences(output, alone)
    assert loss < 1e-5
    assert weight < 1e-5

    def names(folder):
        return {path.name for path in folder.iterdir() if not path.name.startswith("events.")}

    assert names(output) == names(alone)
    assert "Running evaluation" in cluster.told(0)
    assert "Running evaluation" not in cluster.told(1)
    assert "worker 1, one of 2" in cluster.told(1)
    for index in range(2):
        assert "Traceback" not in cluster.told(index)
        assert "step 80 of 80" in cluster.told(index)
    assert not list(temporary.glob("bert-worker-*"))


@pytest.mark.slow
def test_a_cluster_that_lost_a_worker_and_then_its_chief_ends_as_one_that_lost_none(
    alone, command, tmp_path, temporary
):
    output, done = tmp_path / "out", 0
    for victim, other in ((1, 0), (0, 1)):
        cluster = clusters.Cluster(command(output), 2, tmp_path / f"without_{victim}")
        least = done + 10
        limit = time.monotonic() + clusters.PATIENCE_S
        while killed_training.saved_step(output) < least:
            assert time.monotonic() < limit, cluster.told(0) + cluster.told(1)
            time.sleep(0.001)
        cluster.processes[victim].send_signal(signal.SIGKILL)
        statuses = cluster.end()
        assert (statuses[victim], statuses[other]) == (-signal.SIGKILL, 1), cluster.told(other)
        assert len(list(temporary.glob("bert-worker-*"))) == victim  # the chief has none
        *_, last = cluster.told(other).splitlines()
        assert "a process of the cluster is gone; start all of them again" in last
        if done:
            assert f"going on from step {done} in" in cluster.told(other)
        done = checkpoints.latest_step(output)
        assert least <= done < 80

    cluster = clusters.Cluster(command(output), 2, tmp_path / "whole")
    assert cluster.end() == [0, 0], cluster.told(0) + cluster.told(1)
    for index in range(2):
        assert f"going on from step {done} in" in cluster.told(index)
    loss, weight = clusters.differences(output, alone)
    assert max(loss, weight) < 1e-5
    assert not list(temporary.glob("bert-worker-*"))


@pytest.mark.parametrize(
    ("chosen", "text", "status", "message"),
    [
        ("--distribution=multi_worker", None, 1, "needs TF_CONFIG in the environment"),
        ("--distribution=multi_worker", "{", 1, "TF_CONFIG must be as"),
        ("--distribution=mirrored", None, 1, "found no GPU; give --num_replicas"),
        ("--distribution=mirrored --num_replicas=3", None, 1, "a multiple of 3, got 8"),
        ("--distribution=mirrored --use_tpu", None, 2, "does not go with --use_tpu"),
        ("--distribution=mirrored --xla", None, 2, "--xla does not go with --distribution"),
        ("--num_replicas=2", None, 2, "--num_replicas needs --distribution=mirrored"),
        (
            "--distribution=multi_worker --eval_every_steps=5",
            None,
            2,
            "--eval_every_steps does not go with --distribution=multi_worker; evaluate at the end",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line_before_anything_is_written(
    command, tmp_path, monkeypatch, caplog, chosen, text, status, message
):
    caplog.set_level(logging.ERROR)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text:
        monkeypatch.setenv("TF_CONFIG", text)
    output = tmp_path / "out"
    assert run_classifier.cli_main([*command(output), *chosen.split()]) == status
    (record,) = [record for record in caplog.records if record.name == "run_classifier"]
    assert message in record.getMessage()
    assert "\n" not in record.getMessage()
    assert not output.exists()
