import logging
import sys

import pytest
import tensorflow as tf

from bert import failures


class UsageError(ValueError):
    """What a command line has wrong."""


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (UsageError("c.yaml:3: a\nc.yaml:4: b"), 2, "c.yaml:3: a\nc.yaml:4: b"),
        (ValueError("labels must differ"), 1, "tool.py: labels must differ"),
        (FileNotFoundError("no such file"), 1, "tool.py: no such file"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            1,
            "tool.py: memory ran out; lower the batch sizes, or raise --gradient_accumulation_steps",
        ),
        (KeyboardInterrupt(), 130, "tool.py: stopped"),
    ],
)
def test_a_failure_has_its_status_and_its_line(error, status, told, caplog):
    assert failures.exit_status("tool.py", raising(error), (UsageError,)) == status
    assert [record.getMessage() for record in caplog.records] == [told]


def test_success_is_silent(caplog):
    assert failures.exit_status("tool.py", lambda: "ignored") == 0
    assert caplog.records == []


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(KeyError):
        failures.exit_status("tool.py", raising(KeyError("ours")))


def test_the_log_goes_to_stderr_so_that_stdout_holds_results_only(monkeypatch, capsys):
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    assert failures.exit_status("tool.py", raising(ValueError("wrong"))) == 1
    assert [handler.stream for handler in root.handlers] == [sys.stderr]
    assert capsys.readouterr().out == ""
