import signal
import subprocess
import sys

import pytest

from bert import files

_HOLD = """
import sys
from bert import files
with files.claimed(sys.argv[1]):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_holds_is_refused_and_free_again_when_that_is_killed(
    tmp_path,
):
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path / "out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "claimed\n"
        refused = r"out must be trained in by one process at a time, and another is at it; wait"
        with pytest.raises(ValueError, match=refused), files.claimed(tmp_path / "out"):
            pytest.fail("entered a folder that another process holds")
        with files.claimed(tmp_path / "other"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with files.claimed(tmp_path / "out"):
        pass


def test_a_claim_ends_with_an_error_too(tmp_path):
    with pytest.raises(KeyError), files.claimed(tmp_path):
        raise KeyError
    with files.claimed(tmp_path):
        pass


def test_a_process_may_claim_again_what_it_holds_and_keeps_it_until_the_first_claim_ends(tmp_path):
    with files.claimed(tmp_path):
        with files.claimed(tmp_path / "." / ""):
            pass
        tried = [sys.executable, "-c", _HOLD, tmp_path]
        assert subprocess.run(tried, input="", capture_output=True, text=True).returncode != 0
