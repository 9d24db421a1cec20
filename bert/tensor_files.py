"""Tensors as Hugging Face's folders keep them, in safetensors or PyTorch's format, whole or in shards: arrays by name.

Nothing that a file holds is run. Leaves to others: what the tensors are (`hugging_face`).
"""

import importlib
import pathlib
import pickle
import re
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from bert import config as config_lib

NAMES = (  # in the order in which transformers looks for them
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_FILE_NAME = re.compile(r"\w[\w.-]*")  # no way out of the folder

Tensors = dict[str, npt.NDArray[Any]]


def paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the files that hold a folder's tensors; where they are shards, the index comes first.

    Raises:
      FileNotFoundError: the folder holds no tensors, or not all the files that its index names.
      ValueError: the index is damaged.
    """
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"{folder} must hold weights, but there is none of {', '.join(NAMES)}; fetch the model again"
        )
    if found[0].suffix != ".json":
        return found[:1]
    shards = [folder / name for name in sorted(set(_weight_map(found[0]).values()))]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{found[0]} names {', '.join(missing)}, which the folder must hold too; fetch the model again"
        )
    return [found[0], *shards]


def read(folder: pathlib.Path) -> Tensors:
    """Read all tensors of a folder; floats of any width become float32, other values stay as they are.

    Raises:
      FileNotFoundError: the folder holds no tensors, or not all the files that its index names.
      ValueError: a file is damaged, or needs PyTorch, which is not installed.
    """
    first, *shards = paths(folder)
    if not shards:
        return read_file(first)
    weight_map = _weight_map(first)
    tensors: Tensors = {}
    for shard in shards:
        part = read_file(shard)
        listed = {name for name, file in weight_map.items() if file == shard.name}
        if differing := sorted(listed ^ part.keys()):
            raise ValueError(
                f"{first} must list the tensors of {shard.name}, but they differ in {', '.join(differing[:5])}; "
                "fetch the model again"
            )
        tensors |= part
    return tensors


def _weight_map(index: pathlib.Path) -> dict[str, str]:
    weight_map = config_lib.read_json(index).get("weight_map")
    if not weight_map or not isinstance(weight_map, dict):
        raise ValueError(f"{index} must hold a weight_map, tensor to file, got {weight_map!r}")
    for file in weight_map.values():
        if not (isinstance(file, str) and _FILE_NAME.fullmatch(file)):
            raise ValueError(f"{index} must name files of its own folder, got {file!r}")
    return weight_map


def read_file(path: pathlib.Path) -> Tensors:
    """Read one file, safetensors or else PyTorch's, as `read` reads a folder."""
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pytorch(path)


def _read_safetensors(path: pathlib.Path) -> Tensors:
    try:
        tensors = safetensors.numpy.load_file(path)
    # the others: a type, a shape or a number of dimensions that NumPy has not
    except (safetensors.SafetensorError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} must be a whole safetensors file, got {error}; fetch it again"
        ) from None
    return {name: _widened(value) for name, value in tensors.items()}


def _widened(value: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # safetensors asks NumPy for "bfloat16", which only the import of ml_dtypes teaches it
    is_float = np.issubdtype(value.dtype, np.floating) or value.dtype == ml_dtypes.bfloat16
    return value.astype(np.float32, copy=False) if is_float else value


def _read_pytorch(path: pathlib.Path) -> Tensors:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        raise ValueError(
            f"{path} must be read by PyTorch, which is not installed; install torch, or save the model with a newer "
            "version of transformers, which writes model.safetensors"
        ) from None
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
        # torch's own text runs over many lines, and some tell how to run what the file holds
        raise ValueError(
            f"{path} must be a whole PyTorch file of tensors alone, got {type(error).__name__}; fetch it again"
        ) from error
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).detach().numpy()
        for name, tensor in tensors.items()
    }
