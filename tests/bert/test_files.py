import pathlib
import signal
import subprocess
import sys
import tempfile

import pytest

from bert import files

_HOLD = """
import sys
import tempfile
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
    tried = [sys.executable, "-c", _HOLD, tmp_path]
    (tmp_path / "link").symlink_to(tmp_path)
    with files.claimed(tmp_path):
        with files.claimed(tmp_path / "link"):
            pass
        assert subprocess.run(tried, input="", capture_output=True, text=True).returncode != 0
    assert subprocess.run(tried, input="", capture_output=True, text=True).returncode == 0


def test_a_text_keeps_its_line_ends(tmp_path):
    files.write_text(tmp_path / "new" / "a.txt", "é\r\nb\nc\r")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"\xc3\xa9\r\nb\nc\r"


def test_a_file_that_is_copied_onto_itself_is_left_alone(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("the")
    (tmp_path / "link").symlink_to(path)
    before = path.stat()
    files.copy(path, path)
    files.copy(tmp_path / "link", path)
    files.copy(path, tmp_path / "link")
    assert path.stat() == before
    assert (tmp_path / "link").is_symlink()


_WORK = """
import sys
import tempfile
from bert import files
with files.temporary_folder("bert-test-") as folder:
    (folder / "large").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_temporary_folder_that_a_killed_process_left_is_removed_by_the_next(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "bert-test-of-somebody").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        left = pathlib.Path(worker.stdout.readline().strip())
        with files.temporary_folder("bert-test-") as own:
            assert (left / "large").is_file()  # of a process at work
            assert list(own.iterdir()) == []
            with files.temporary_folder("bert-other-"):
                assert own.is_dir()
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert (left / "large").is_file()
    with files.temporary_folder("bert-test-"):
        assert not left.parent.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["bert-test-of-somebody"]


def test_a_temporary_folder_goes_with_an_error_too(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyError), files.temporary_folder("bert-test-"):
        raise KeyError
    assert not list(tmp_path.iterdir())
