"""Checksums: whether files are what their publisher says, or, where it says nothing, what they were at first.

`SHA256SUMS` is the file that `sha256sum` writes and checks. Leaves to others: where files come from (`downloads`) and
what to do about a wrong one of the cache (`pretrained`).
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable

SUMS = "SHA256SUMS"


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a folder; its content must have this sha256 (hexadecimal)."""

    name: str
    sha256: str


def first_problem(folder: pathlib.Path, files: Iterable[File]) -> str:
    """Say what is wrong with the first wrong file; empty if all are as they should be."""
    for file in files:
        path = folder / file.name
        if not path.is_file():
            return f"{file.name} is missing in {folder}"
        if (digest := _sha256(path)) != file.sha256:
            size = path.stat().st_size
            return f"sha256 of {file.name} must be {file.sha256}, got {digest} ({size} bytes)"
    return ""


def require_unchanged(folder: pathlib.Path) -> None:
    """Refuse a trained folder that is not as it was written; a bit flipped in a vocabulary shows nowhere else.

    Raises:
      ValueError: a file differs from its checksum in the folder's SHA256SUMS, or is gone.
    """
    if problem := first_problem(folder, recorded(folder)):
        raise ValueError(
            f"{folder} must hold what its training wrote, but {problem}; copy the file again or, if it was you who "
            f"changed it, delete {folder / SUMS}"
        )


def recorded(folder: pathlib.Path) -> tuple[File, ...]:
    """Return what `record` wrote, none where it did not; a damaged line names a file that is not there."""
    sums = folder / SUMS
    lines = sums.read_text("utf-8", errors="replace").splitlines() if sums.is_file() else []
    parts = (line.partition("  ") for line in lines)
    return tuple(File(name or digest, digest) for digest, _, name in parts)


def record(folder: pathlib.Path) -> tuple[File, ...]:
    """Write SHA256SUMS about all files of a folder, also below it, and return what it says."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = of(folder, (path.relative_to(folder).as_posix() for path in paths))
    (folder / SUMS).write_text(text(files), encoding="utf-8")
    return files


def of(folder: pathlib.Path, names: Iterable[str]) -> tuple[File, ...]:
    """Return files of a folder with the checksums that they have."""
    return tuple(File(name, _sha256(folder / name)) for name in names)


def text(files: Iterable[File]) -> str:
    """Return the lines of SHA256SUMS, as `sha256sum --check` reads them, too."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in files)


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
