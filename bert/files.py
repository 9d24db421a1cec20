"""Output files that appear whole or not at all, and folders that one process writes, or needs for a while."""

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import filelock

Path = str | os.PathLike[str]
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextlib.contextmanager
def draft(target: Path) -> Iterator[pathlib.Path]:
    """Give a path to write to; it becomes `target` when the block ends well and is removed when it raises.

    A reader sees the old file or the new one, never a part. The folder is made if it is not there.

    Raises:
      OSError: the disk is full, or failing; the error names `target`.
    """
    final = pathlib.Path(target)
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        with naming(final):
            yield unfinished
        os.replace(unfinished, final)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(target: Path) -> Iterator[None]:
    """Name a file in what the disk refuses to take: Python knows the name when it opens a file, not when it writes."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_DISK and error.filename is None:
            error.filename = os.fspath(target)
        raise


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a folder from other processes that claim it; the claim ends with the block or the process, however it ends.

    A process may claim again what it holds.

    Raises:
      ValueError: another process holds it.
      OSError: it cannot be made or written to.
    """
    whole = pathlib.Path(folder).resolve()
    try:
        whole.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(whole / ".claimed", timeout=0, is_singleton=True)
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"{folder} must be trained in by one process at a time, and another is at it; wait for it, or give another "
            "--output_dir"
        ) from None
    except OSError as error:
        raise OSError(
            f"{folder} must be a folder that can be written to, got {error.strerror or error}; correct --output_dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def alone(claim: pathlib.Path, target: Path) -> Iterator[None]:
    """Keep what is written from other processes while one holds the file `claim`, which is left behind.

    Raises:
      ValueError: another holds it; the message names `target`.
    """
    lock = filelock.FileLock(claim, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"{target} must be written by one process at a time, and another is at it; wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[pathlib.Path]:
    """Give a folder that is removed with the block; those of processes that were killed before that are removed first.

    Raises:
      OSError: it cannot be made.
    """
    for left in pathlib.Path(tempfile.gettempdir()).glob(f"{prefix}*/files"):
        # those of processes at work are claimed; another user's may not be removed
        with contextlib.suppress(ValueError, OSError), claimed(left.parent):
            shutil.rmtree(left.parent)
    whole = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    with whole as own, claimed(own):
        # not there before the claim is: nobody shall take the folder for one that was left
        folder = pathlib.Path(own) / "files"
        folder.mkdir()
        yield folder


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 file, newlines as they stand."""
    with draft(target) as path, open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def copy(source: Path, target: Path) -> None:
    """Copy a file; a file that is already in its place is left alone."""
    if pathlib.Path(source).resolve() == pathlib.Path(target).resolve():
        return
    with draft(target) as path:
        shutil.copyfile(source, path)
