import shutil
import subprocess

import pytest

from bert import checksums

# printf '' | sha256sum; printf abc | sha256sum (the second is also in FIPS 180-2, appendix B.1)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "abc").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


def test_record_is_read_back_and_passes_sha256sum(folder):
    files = checksums.record(folder)
    assert files == (checksums.File("empty", EMPTY), checksums.File("variables/abc", ABC))
    assert checksums.recorded(folder) == files
    assert checksums.first_problem(folder, files) == ""
    if shutil.which("sha256sum"):
        check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
        subprocess.run(check, cwd=folder, check=True, capture_output=True)


def test_first_wrong_file_is_named(folder):
    files = checksums.record(folder)
    (folder / "empty").write_bytes(b"abc")
    assert checksums.first_problem(folder, files) == (
        f"sha256 of empty must be {EMPTY}, got {ABC} (3 bytes)"
    )
    (folder / "empty").unlink()
    assert checksums.first_problem(folder, files) == f"empty is missing in {folder}"


def test_folder_without_a_record_has_none(folder):
    assert checksums.recorded(folder) == ()
