"""Output files that appear whole or not at all, and folders that one process writes."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import filelock

Path = str | os.PathLike[str]


@contextlib.contextmanager
def draft(target: Path) -> Iterator[pathlib.Path]:
    """Give a path to write to; it becomes `target` when the block ends well and is removed when it raises.

    A reader sees the old file or the new one, never a part. The folder is made if it is not there.
    """
    final = pathlib.Path(target)
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, final)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a folder from other processes that claim it; the claim ends with the block or the process, however it ends.

    A process may claim again what it holds.

    Raises:
      ValueError: another process holds it.
    """
    whole = pathlib.Path(folder).resolve()
    whole.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(whole / ".claimed", timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"{folder} must be trained in by one process at a time, and another is at it; wait for it, or give another "
            "--output_dir"
        ) from None
    try:
        yield
    finally:
        lock.release()


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
