"""TF1 checkpoints of the release's names: written, read, and compared with what a model wants.

The Estimator only ever calls `init_from_checkpoint`; this room says what it will and will not initialise. Leaves to
others: making checkpoints of other sources (`conversion`).
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

GOOGLE_CHECKPOINT = "bert_model.ckpt"
_SLOT = re.compile(r"/adam_[mv]$")
_STEP = "global_step"
_DRAFT = ".checkpoint-"


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
            "such as .../bert_model.ckpt or .../model.ckpt-1000; --model reads the folders of Hugging Face and PyTorch"
        )
    with _whole(path):
        reader = tf.train.load_checkpoint(path)
        _require_all_bytes(path, reader)
    found = sorted(reader.get_variable_to_shape_map().items())
    return {name: tuple(shape) for name, shape in found if not _SLOT.search(name) and name != _STEP}


def _require_all_bytes(path: str, reader: Any) -> None:
    """Raise DataLossError where values are cut off: their checksums tell the rest, once a value is read."""
    types = reader.get_variable_to_dtype_map()
    sizes = [
        types[name].size * math.prod(shape)
        for name, shape in reader.get_variable_to_shape_map().items()
        if types[name] != tf.string
    ]
    held = sum(tf.io.gfile.stat(part).length for part in tf.io.gfile.glob(f"{path}.data-*"))
    if held < sum(sizes):
        told = f"{held} bytes of values where its index tells of {sum(sizes)}"
        raise tf.errors.DataLossError(None, None, told)


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


def newest(model_dir: str | os.PathLike[str]) -> str | None:
    """Return the newest checkpoint of a folder, as its file `checkpoint` has it; None where there is none.

    Raises:
      ValueError: that file is damaged or names one that is not there, while others are, over which a training would
        begin anew; or it names one elsewhere, which a training would read and, when it is old enough, delete.
    """
    folder = pathlib.Path(model_dir)
    if not tf.io.gfile.exists(os.path.join(str(model_dir), "checkpoint")):
        return None
    try:
        state = tf.train.get_checkpoint_state(str(model_dir))
    except ValueError:  # no UTF-8, or no name in it
        state = None
    paths = (state.model_checkpoint_path, *state.all_model_checkpoint_paths) if state else ()
    for path in paths:
        if not pathlib.Path(path).resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{folder / 'checkpoint'} must name checkpoints of its own folder, got {path!r}; correct it, or copy "
                "the checkpoint there"
            )
    if paths and tf.io.gfile.exists(f"{paths[0]}.index"):
        return str(paths[0])
    held = sorted(pathlib.PurePath(path).stem for path in folder.glob("*.index"))
    if not held:
        return None
    raise ValueError(
        f"{folder / 'checkpoint'} must name a checkpoint of its folder, but is damaged or names one that is not there; "
        f'write model_checkpoint_path: "NAME" into it, of those there ({", ".join(held)}), or delete the folder'
    )


def latest_step(model_dir: str | os.PathLike[str]) -> int | None:
    """Return the global step of the newest checkpoint in a folder; None where there is none.

    Raises:
      ValueError: the newest checkpoint is damaged, or `newest` cannot tell which it is.
    """
    checkpoint = newest(model_dir)
    return None if checkpoint is None else int(load_variables(checkpoint, [_STEP])[_STEP])


def write(prefix: str | os.PathLike[str], variables: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write a TF1 checkpoint; its index file, which makes it one, appears last."""
    target = pathlib.Path(prefix)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=_DRAFT) as draft:
        names = sorted(variables)
        tf.raw_ops.SaveV2(
            prefix=os.path.join(draft, target.name),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=[tf.constant(variables[name]) for name in names],
        )
        for part in sorted(pathlib.Path(draft).iterdir()):  # ".data-..." sorts before ".index"
            os.replace(part, target.parent / part.name)


def remove_halves(model_dir: str | os.PathLike[str]) -> None:
    """Remove what processes killed while they saved left of their checkpoints; nobody else may be saving there."""
    folder = pathlib.Path(model_dir)
    for half in (*folder.glob("model.ckpt-*_temp"), *folder.glob(f"*/{_DRAFT}*")):
        shutil.rmtree(half)


def load_variables(
    checkpoint: str | os.PathLike[str], wanted: Iterable[str]
) -> dict[str, npt.NDArray[np.float32]]:
    """Read named variables of a checkpoint into arrays, for a frozen graph or a notebook.

    Raises:
      ValueError: a file of the checkpoint is damaged.
    """
    with _whole(checkpoint):
        reader = tf.train.load_checkpoint(str(checkpoint))
        return {name: reader.get_tensor(name) for name in wanted}


@contextlib.contextmanager
def _whole(checkpoint: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what TensorFlow says of a damaged checkpoint into one line that names it."""
    try:
        yield
    except (IndexError, tf.errors.OpError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"{checkpoint} must be a whole checkpoint, got {reason}; copy or train it again"
        ) from None
