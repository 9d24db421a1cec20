"""Trainings that are killed, and end with the weights and the log of one that was not."""

import collections
import functools
import logging
import random
import re
import signal
import time

import pytest

from bert import training_log
from tests import killed_training

FAST = {"epochs": 2, "save_every": 2, "evaluate_every": 16}  # 16 steps, a row of the log each
SLOW = {"epochs": 15, "save_every": 6, "evaluate_every": 24}  # 120 steps, a row every 6
KILLS = 20

_log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def commands(tiny_release, tiny_data):
    """Return a function from a folder and sizes to the command that trains in it."""
    return functools.partial(killed_training.arguments, tiny_release, tiny_data)


def uninterrupted(commands, folder, sizes):
    killed_training.finish(commands(folder, **sizes))
    return folder


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="started where Ctrl-C is ignored"
)
def test_a_training_killed_in_a_checkpoints_write_and_interrupted_in_an_evaluation_loses_nothing(
    commands, tmp_path
):
    whole = uninterrupted(commands, tmp_path / "whole", FAST)
    output = tmp_path / "out"
    command = commands(output, **FAST)
    first = killed_training.Attempt(command, output, tmp_path / "first")
    assert first.wait_for(lambda: killed_training.saved_step(output) >= 4), first.told
    assert first.wait_for(first.saves), first.told
    assert first.stop() == -signal.SIGKILL
    killed_training.require_whole_checkpoint(output)
    saved = killed_training.saved_step(output)
    assert saved >= 4

    second = killed_training.Attempt(command, output, tmp_path / "second")
    assert second.wait_for(lambda: second.evaluates(FAST["evaluate_every"])), second.told
    assert second.stop(signal.SIGINT) == 130  # Ctrl-C
    assert f"going on from step {saved} in" in second.told
    *_, last = second.told.splitlines()
    assert last == "run_classifier.py: stopped; the same command goes on from step 16"
    assert "Traceback" not in second.told
    assert [r.dev_loss for r in training_log.read(output) if r.step == 16] == [None]

    killed_training.finish(command)
    killed_training.require_same(output, whole)


@pytest.mark.slow
def test_a_training_that_is_told_to_end_goes_on_as_if_nothing_had_been(commands, tmp_path):
    whole = uninterrupted(commands, tmp_path / "whole", FAST)
    output = tmp_path / "out"
    command = commands(output, **FAST)
    attempt = killed_training.Attempt(command, output, tmp_path / "log")
    assert attempt.wait_for(lambda: killed_training.saved_step(output) >= 4), attempt.told
    assert attempt.stop(signal.SIGTERM) == -signal.SIGTERM
    assert "Traceback" not in attempt.told
    killed_training.require_whole_checkpoint(output)
    killed_training.finish(command)
    killed_training.require_same(output, whole)


def moment(attempt, kind, rng):
    """Wait for a moment of a kind; False when the training has ended before it."""
    if not attempt.wait_for(attempt.trains):
        return False
    if kind == "anywhere":
        time.sleep(rng.uniform(0, 6))
        return attempt.process.poll() is None
    if kind == "checkpoint":
        time.sleep(rng.uniform(0, 3))
        found = attempt.wait_for(attempt.saves)
        time.sleep(rng.uniform(0, 0.03))
    else:
        found = attempt.wait_for(lambda: attempt.evaluates(SLOW["evaluate_every"]))
        time.sleep(rng.uniform(0, 1.5))
    return found and attempt.process.poll() is None


def left_behind(output):
    """Return what only a kill leaves: drafts, and halves of checkpoints."""
    names = [path.name for path in output.rglob("*")]
    return [
        n for n in names if (n.startswith(".") and n != ".claimed") or "_temp" in n or ".temp" in n
    ]


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(commands, tmp_path):
    whole = uninterrupted(commands, tmp_path / "whole", SLOW)
    rng = random.Random(8)
    kinds = ["anywhere"] * 8 + ["checkpoint"] * 6 + ["evaluation"] * 6
    rng.shuffle(kinds)
    chains, killed = [tmp_path / "chain-0"], []
    while len(killed) < KILLS:
        output, number = chains[-1], len(killed)
        command = commands(output, **SLOW)
        attempt = killed_training.Attempt(command, output, tmp_path / f"log-{number}")
        is_there = moment(attempt, kinds[number], rng)
        status = attempt.stop() if is_there else attempt.process.wait()
        assert "Traceback" not in attempt.told, attempt.told
        if attempt.began_at and attempt.trains() and "not needed" not in attempt.told:
            assert f"going on from step {attempt.began_at} in" in attempt.told
        if status == 0:
            killed_training.require_same(output, whole)
            chains.append(tmp_path / f"chain-{len(chains)}")
            continue
        assert status == -signal.SIGKILL, attempt.told
        killed_training.require_whole_checkpoint(output)
        saved = killed_training.saved_step(output)
        assert saved >= attempt.began_at
        killed.append((kinds[number], attempt.began_at, saved))
        _log.info("kill %d: %s, from step %d, saved %d", number + 1, *killed[-1])
    killed_training.finish(commands(chains[-1], **SLOW))
    killed_training.require_same(chains[-1], whole)
    _log.info("%s in %d trainings", dict(collections.Counter(kinds)), len(chains))
    for output in chains:
        _log.info("left behind: %s", re.sub(r"\d{3,}", "N", ", ".join(left_behind(output))))
