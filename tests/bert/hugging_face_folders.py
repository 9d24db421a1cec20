"""The golden classifier as `save_pretrained` wrote it, and as other versions and tasks would have written it."""

import json
import pathlib

import numpy as np
import pytest

from bert import hugging_face
from tests import reference_bert

_PATH = reference_bert.GOLDENS / "transformers_classifier.npz"
ARRAYS = dict(np.load(_PATH))
TENSORS = {
    name.removeprefix("weights/"): value
    for name, value in ARRAYS.items()
    if name.startswith("weights/")
}
LABELS = ("negativ", "neutral", "positiv ✓")
PAIRS, FILES = json.loads(_PATH.with_suffix(".json").read_text(encoding="utf-8")).values()


def write(
    folder: pathlib.Path, tensors=TENSORS, *, without=(), weights="model.safetensors", **changes
) -> pathlib.Path:
    """Write the folder.

    Args:
      without: names of files, and of keys of config.json and tokenizer_config.json, to leave out.
      weights: name of the safetensors file.
      changes: keys of config.json, and `tokenizer`, a dict of those of tokenizer_config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    edits = {"tokenizer_config.json": changes.pop("tokenizer", {}), "config.json": changes}
    for name, text in FILES.items():
        if name in edits:
            values = json.loads(text) | edits[name]
            kept = {key: value for key, value in values.items() if key not in without}
            text = json.dumps(kept)
        if name not in without:
            (folder / name).write_text(text, encoding="utf-8")
    write_safetensors(folder / weights, tensors)
    return folder


def write_safetensors(path: pathlib.Path, tensors) -> None:
    """Write the format by hand, brain floats too: length of the header, header, values.

    Args:
      tensors: name -> array; uint16 stands for the upper halves of float32, which are brain floats.
    """
    types = {"float32": "F32", "float16": "F16", "uint16": "BF16", "int64": "I64", "int8": "I8"}
    header, values = {}, b""
    for name, value in tensors.items():
        data = value.tobytes()
        header[name] = {
            "dtype": types[value.dtype.name],
            "shape": value.shape,
            "data_offsets": [len(values), len(values) + len(data)],
        }
        values += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + values)


def shard(folder: pathlib.Path, tensors=TENSORS) -> dict[str, str]:
    """Replace the weights of a folder by three shards and their index; return its weight_map."""
    (folder / "model.safetensors").unlink()
    weight_map = {}
    for part in range(3):
        file = f"model-0000{part + 1}-of-00003.safetensors"
        names = sorted(tensors)[part::3]
        write_safetensors(folder / file, {name: tensors[name] for name in names})
        weight_map |= dict.fromkeys(names, file)
    write_index(folder, weight_map)
    return weight_map


def write_index(folder: pathlib.Path, weight_map) -> None:
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def assert_equal(variables, expected):
    assert variables.keys() == expected.keys()
    for name, value in expected.items():
        assert variables[name].dtype == np.float32
        np.testing.assert_array_equal(variables[name], value, err_msg=name)


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "model")


@pytest.fixture(scope="module")
def expected():
    return hugging_face.from_tensors(TENSORS)
