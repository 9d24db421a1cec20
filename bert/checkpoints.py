"""Weights on disk to variables: every source becomes a TF1 checkpoint of the release's names.

The Estimator only ever calls `init_from_checkpoint`; this room says what it will and will not initialise, and turns
other formats into the release's once, in the cache. Leaves to others: finding files (`pretrained`).
"""

import dataclasses
import hashlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import tensorflow as tf

GOOGLE_CHECKPOINT = "bert_model.ckpt"
_SLOT = re.compile(r"/adam_[mv]$")
_BOOKKEEPING = ("global_step",)

# Hugging Face's name of a part -> the release's, applied in this order.
_RENAMES = (
    (re.compile(r"^encoder\.layer\.(\d+)\."), r"encoder/layer_\1/"),
    (re.compile(r"(embeddings)\.(\w+_embeddings)\.weight$"), r"\1/\2"),
    (re.compile(r"LayerNorm\.(?:weight|gamma)$"), "LayerNorm/gamma"),
    (re.compile(r"LayerNorm\.(?:bias|beta)$"), "LayerNorm/beta"),
    (re.compile(r"\.weight$"), "/kernel"),
    (re.compile(r"\."), "/"),
)
_NOT_WEIGHTS = ("embeddings.position_ids",)  # an index buffer that old PyTorch exports carry


@dataclasses.dataclass(frozen=True)
class Report:
    """What a checkpoint gives to a model.

    Attributes:
      initialised: variables that take their value from the checkpoint.
      missing: variables of the model that the checkpoint lacks; they start fresh.
      ignored: variables of the checkpoint that the model has no use for.
    """

    checkpoint: str
    initialised: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report for a log, one line a group."""

        def named(names: tuple[str, ...]) -> str:
            return f"{len(names)}" + (f" ({', '.join(names)})" if names else "")

        return [
            f"{self.checkpoint}: {len(self.initialised)} variables initialised",
            f"  not in the checkpoint, so they start fresh: {named(self.missing)}",
            f"  in the checkpoint, but not used: {named(self.ignored)}",
        ]


def checkpoint_shapes(checkpoint: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """Return the variables of a TF1 checkpoint, name to shape, without optimiser slots and global step.

    Raises:
      FileNotFoundError: there is no checkpoint of that name.
    """
    path = str(checkpoint)
    if not tf.io.gfile.exists(f"{path}.index"):
        raise FileNotFoundError(
            f"{path} must be a checkpoint, but there is no {path}.index; give the common start of its file names, "
            "such as .../bert_model.ckpt or .../model.ckpt-1000"
        )
    return {
        name: tuple(shape)
        for name, shape in tf.train.list_variables(path)
        if not _SLOT.search(name) and name not in _BOOKKEEPING
    }


def compare(
    checkpoint: str | os.PathLike[str],
    wanted: Mapping[str, tuple[int, ...]],
    encoder: Iterable[str],
) -> Report:
    """Match a checkpoint against a model's variables.

    Args:
      wanted: every variable of the model, name to shape.
      encoder: the names among them that must come from the checkpoint.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: a shape differs, or an encoder variable is missing; every such variable is named.
    """
    found = checkpoint_shapes(checkpoint)
    problems = [
        f"{name} must have shape {list(shape)}, got {list(found[name])}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    problems += [f"{name} is missing" for name in encoder if name not in found]
    if problems:
        shown = "; ".join(problems[:5])
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"{checkpoint} must hold this model's variables: {shown}{more}; use the bert_config.json and the label "
            "count that belong to the checkpoint"
        )
    return Report(
        checkpoint=str(checkpoint),
        initialised=tuple(name for name in wanted if name in found),
        missing=tuple(name for name in wanted if name not in found),
        ignored=tuple(name for name in found if name not in wanted),
    )


def latest_step(model_dir: str | os.PathLike[str]) -> int | None:
    """Return the global step of the newest checkpoint in a folder; None where there is none."""
    checkpoint = tf.train.latest_checkpoint(str(model_dir))
    if checkpoint is None:
        return None
    return int(tf.train.load_variable(checkpoint, "global_step"))


def release_name(name: str) -> str | None:
    """Return the release's name of a Hugging Face BERT encoder tensor; None for an index buffer.

    >>> release_name("encoder.layer.0.attention.self.query.weight")
    'bert/encoder/layer_0/attention/self/query/kernel'
    """
    bare = name.removeprefix("bert.")
    if bare in _NOT_WEIGHTS:
        return None
    for pattern, replacement in _RENAMES:
        bare = pattern.sub(replacement, bare)
    return f"bert/{bare}"


def from_hugging_face(
    tensors: Mapping[str, npt.NDArray[np.float32]],
) -> dict[str, npt.NDArray[np.float32]]:
    """Rename Hugging Face tensors to the release's names and turn kernels from [out, in] to [in, out]."""
    renamed = {}
    for name, value in tensors.items():
        target = release_name(name)
        if target is not None:
            kernel = target.endswith("/kernel")
            renamed[target] = np.ascontiguousarray(value.T if kernel else value, np.float32)
    return renamed


def write(prefix: str | os.PathLike[str], variables: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write a TF1 checkpoint; its index file, which makes it one, appears last."""
    target = pathlib.Path(prefix)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".checkpoint-") as draft:
        names = sorted(variables)
        tf.raw_ops.SaveV2(
            prefix=os.path.join(draft, target.name),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(variables[name]) for name in names],
        )
        for part in sorted(pathlib.Path(draft).iterdir()):  # ".data-..." sorts before ".index"
            os.replace(part, target.parent / part.name)


def release_checkpoint(folder: str | os.PathLike[str], cache_dir: pathlib.Path) -> str:
    """Return the TF1 checkpoint of a model folder, converting a Hugging Face one into the cache the first time.

    Args:
      folder: a Google release (`bert_model.ckpt.*`) or a Hugging Face folder (`model.safetensors`).
      cache_dir: where conversions are kept, under the hash of what they were made from.
    """
    google = pathlib.Path(folder) / GOOGLE_CHECKPOINT
    if google.with_name(f"{google.name}.index").is_file():
        return str(google)
    source = pathlib.Path(folder) / "model.safetensors"
    with open(source, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    prefix = cache_dir / "converted" / digest[:16] / GOOGLE_CHECKPOINT
    if not prefix.with_name(f"{prefix.name}.index").is_file():
        try:
            tensors = safetensors.numpy.load_file(source)
        except safetensors.SafetensorError as error:
            raise ValueError(
                f"{source} must be a whole safetensors file, got {error}; fetch it again"
            ) from None
        write(prefix, from_hugging_face(tensors))
    return str(prefix)


def load_variables(
    checkpoint: str | os.PathLike[str], wanted: Iterable[str]
) -> dict[str, npt.NDArray[np.float32]]:
    """Read named variables of a checkpoint into arrays, for a frozen graph or a notebook."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    return {name: reader.get_tensor(name) for name in wanted}
