"""Any source of weights to a folder of Google's release, once, in the cache.

Leaves to others: finding the source (`pretrained`), reading it (`hugging_face`, `tf_hub`), the checkpoint's form
(`checkpoints`).
"""

import hashlib
import logging
import os
import pathlib
import re
import tempfile

from bert import checkpoints
from bert import config as config_lib
from bert import files
from bert import hugging_face
from bert import tf_hub

_log = logging.getLogger(__name__)

_SAVED_MODEL = "saved_model.pb"
_VERSION = b"1"  # of what is made from a source; another one converts it anew
_SHA256 = re.compile("[0-9a-f]{64}")  # the name that the Hub's cache gives to a large file


def release_folder(folder: str | os.PathLike[str], cache_dir: pathlib.Path) -> pathlib.Path:
    """Return a folder of Google's release: a given one as it is, another source converted on its first use.

    A converted folder holds `bert_config.json`, `vocab.txt`, `bert_model.ckpt.*` and a `classifier_config.json`, whose
    labels are those of a trained classifier or none. It appears whole or not at all.

    Args:
      folder: a Google release, a Hugging Face folder, or a SavedModel of TensorFlow Hub.
      cache_dir: where conversions are kept, under the hash of what they were made from.

    Raises:
      FileNotFoundError: the folder is none of these, or lacks a file.
      ValueError: it holds no BERT that can be read, or a file is damaged.
    """
    source = pathlib.Path(folder)
    if (source / f"{checkpoints.GOOGLE_CHECKPOINT}.index").is_file():
        return source
    is_hugging_face = (source / hugging_face.CONFIG_FILE).is_file()
    if not is_hugging_face and not (source / _SAVED_MODEL).is_file():
        raise FileNotFoundError(
            f"{source} must be a Google release ({checkpoints.GOOGLE_CHECKPOINT}.index), a Hugging Face folder "
            f"({hugging_face.CONFIG_FILE}) or a SavedModel ({_SAVED_MODEL}), but it holds none of these files"
        )
    digest = _digest(source, is_hugging_face=is_hugging_face)
    target = cache_dir / "converted" / digest[:16]
    if not target.is_dir():
        model = _hugging_face(source) if is_hugging_face else tf_hub.read(source)
        _write(model, target)
        _log.info("converted %s into %s", source, target)
    return target


def _hugging_face(folder: pathlib.Path) -> config_lib.SourceModel:
    try:
        return hugging_face.read(folder)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"{folder} must hold JSON as transformers writes it, got a list, text or number in the place of something "
            f"else ({error}); fetch or save the model again"
        ) from error
    except ValueError as error:
        if str(folder) in str(error):
            raise
        raise ValueError(f"{folder}: {error}") from error


def _digest(source: pathlib.Path, *, is_hugging_face: bool) -> str:
    """Return a hash of everything that a conversion depends on."""
    digest = hashlib.sha256(_VERSION)
    if is_hugging_face:
        paths = hugging_face.source_files(source)
    else:
        paths = sorted(path for path in source.rglob("*") if path.is_file())
        digest.update(str(source.absolute()).encode())  # a SavedModel's may tell heads and casing
    for path in paths:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        if _SHA256.fullmatch(blob := path.resolve().name) and content != blob:
            raise ValueError(
                f"{path} must have the sha256 that its name in the Hub's cache tells, {blob}, got {content}; delete "
                f"{path.resolve()} and fetch the model again"
            )
        digest.update(f"{content} {path.relative_to(source)}\n".encode())
    return digest.hexdigest()


def _write(model: config_lib.SourceModel, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as draft:
        folder = pathlib.Path(draft) / "release"
        files.write_text(folder / config_lib.CONFIG_FILE, model.config.to_json_string())
        files.write_text(folder / config_lib.VOCAB_FILE, model.vocabulary)
        model.record.save(folder)
        checkpoints.write(folder / checkpoints.GOOGLE_CHECKPOINT, model.variables)
        try:
            folder.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was faster, with the same result
                raise
