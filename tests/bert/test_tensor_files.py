import json
import sys
import types

import numpy as np
import pytest

from bert import tensor_files
from tests.bert import hugging_face_folders as folders

TENSORS = folders.TENSORS
BUFFER = {"bert.embeddings.position_ids": np.arange(16)}


def assert_equal(tensors, expected):
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        assert tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(tensors[name], value, err_msg=name)


def test_floats_and_integers_are_read_as_they_are(tmp_path):
    folders.write(tmp_path, TENSORS | BUFFER)
    assert_equal(tensor_files.read(tmp_path), TENSORS | BUFFER)


def test_half_floats_are_widened_exactly(tmp_path):
    halves = {name: value.astype(np.float16) for name, value in TENSORS.items()}
    folders.write(tmp_path, halves)
    rounded = {name: value.astype(np.float32) for name, value in halves.items()}
    assert_equal(tensor_files.read(tmp_path), rounded)


def test_brain_floats_are_widened_exactly(tmp_path):
    upper = {name: (v.view(np.uint32) >> 16).astype(np.uint16) for name, v in TENSORS.items()}
    folders.write(tmp_path, upper)
    rounded = {
        name: (value.astype(np.uint32) << 16).view(np.float32) for name, value in upper.items()
    }
    assert_equal(tensor_files.read(tmp_path), rounded)


def test_shards_give_the_same_tensors(tmp_path):
    folders.shard(folders.write(tmp_path))
    assert_equal(tensor_files.read(tmp_path), TENSORS)


def test_files_are_looked_for_in_the_order_of_transformers(tmp_path):
    folders.shard(folders.write(tmp_path))
    (tmp_path / "pytorch_model.bin").touch()
    index, *shards = tensor_files.paths(tmp_path)
    assert index.name == "model.safetensors.index.json"
    assert [shard.name for shard in shards] == [
        f"model-0000{part}-of-00003.safetensors" for part in (1, 2, 3)
    ]
    (tmp_path / "model.safetensors").touch()
    assert tensor_files.paths(tmp_path) == [tmp_path / "model.safetensors"]


@pytest.mark.parametrize(
    ("weight_map", "problem"),
    [
        ({}, r"index.json must hold a weight_map, tensor to file, got \{\}"),
        (["a"], r"index.json must hold a weight_map, tensor to file, got \['a'\]"),
        ({"a": "../b.safetensors"}, r"must name files of its own folder, got '../b.safetensors'"),
        ({"a": "/b.safetensors"}, r"must name files of its own folder, got '/b.safetensors'"),
        ({"a": ".."}, r"must name files of its own folder, got '..'"),
        ({"a": 3}, r"must name files of its own folder, got 3"),
    ],
)
def test_a_damaged_index_is_refused(weight_map, problem, tmp_path):
    folders.write_index(tmp_path, weight_map)
    with pytest.raises(ValueError, match=problem):
        tensor_files.read(tmp_path)


def test_missing_shards_are_named(tmp_path):
    folders.shard(folders.write(tmp_path))
    for part in (1, 3):
        (tmp_path / f"model-0000{part}-of-00003.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"json names model-00001-of-.*, model-00003-of-.*, which the folder must hold too;",
    ):
        tensor_files.read(tmp_path)


def test_an_index_must_list_what_its_shards_hold(tmp_path):
    weight_map = folders.shard(folders.write(tmp_path))
    shard = weight_map.pop("classifier.bias")
    for wrong, name in (
        (weight_map, "classifier.bias"),
        (weight_map | {"classifier.bias": shard, "more.bias": shard}, "more.bias"),
    ):
        folders.write_index(tmp_path, wrong)
        with pytest.raises(ValueError, match=rf"tensors of {shard}, but they differ in {name}; "):
            tensor_files.read(tmp_path)


def test_a_damaged_safetensors_file_is_named(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(ValueError, match=r"model.safetensors must be a whole safetensors file"):
        tensor_files.read(tmp_path)


@pytest.mark.parametrize(
    ("kind", "shape", "size"), [("F8_E4M3", [8], 8), ("F32", [1] * 65, 4), ("F32", [0, 2**63], 0)]
)
def test_what_numpy_has_no_array_for_is_named(tmp_path, kind, shape, size):
    tensor = {"dtype": kind, "shape": shape, "data_offsets": [0, size]}
    header = json.dumps({"a": tensor}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(
        ValueError, match=rf"^{path} must be a whole safetensors file, got .+; fetch"
    ):
        tensor_files.read(tmp_path)


def test_a_folder_without_weights_lists_the_legal_names(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"none of model.safetensors, .*model.bin.index.json"
    ):
        tensor_files.read(tmp_path)


class Tensor:
    """As much of torch.Tensor as is asked for; only `float` makes NumPy's of a brain float."""

    def __init__(self, value, *, widened=False):
        self.value, self.widened = value, widened

    def is_floating_point(self):
        return np.issubdtype(self.value.dtype, np.floating)

    def float(self):
        return Tensor(self.value.astype(np.float32), widened=True)

    def detach(self):
        return self

    def numpy(self):
        assert self.widened or not self.is_floating_point()
        return self.value


@pytest.fixture
def torch(monkeypatch):
    """A stand-in whose files hold what is put into `files`, name to tensors or an error."""
    module = types.ModuleType("torch")
    module.files = {}

    def load(path, *, map_location, weights_only):
        assert map_location == "cpu"
        assert weights_only is True  # otherwise a file can run any code
        found = module.files[path.name]
        if isinstance(found, Exception):
            raise found
        return {name: Tensor(value) for name, value in found.items()}

    module.load = load
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_pytorch_files_are_read_where_torch_is_there(tmp_path, torch):
    (tmp_path / "pytorch_model.bin").touch()
    torch.files["pytorch_model.bin"] = TENSORS | BUFFER
    assert_equal(tensor_files.read(tmp_path), TENSORS | BUFFER)


def test_pytorch_shards_are_read_where_torch_is_there(tmp_path, torch):
    weight_map = {}
    for part, file in enumerate(["pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin"]):
        (tmp_path / file).touch()
        torch.files[file] = {name: TENSORS[name] for name in sorted(TENSORS)[part::2]}
        weight_map |= dict.fromkeys(torch.files[file], file)
    index = json.dumps({"weight_map": weight_map})
    (tmp_path / "pytorch_model.bin.index.json").write_text(index, encoding="utf-8")
    assert_equal(tensor_files.read(tmp_path), TENSORS)


@pytest.mark.parametrize("error", [RuntimeError("half a file\nmore"), EOFError()])
def test_a_damaged_pytorch_file_is_named_in_one_line(error, tmp_path, torch):
    (tmp_path / "pytorch_model.bin").touch()
    torch.files["pytorch_model.bin"] = error
    with pytest.raises(
        ValueError, match=rf"bin must be .*, got {type(error).__name__}; "
    ) as caught:
        tensor_files.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_without_torch_its_files_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # its import fails, wherever this runs
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(
        ValueError, match=r"pytorch_model.bin must be read by PyTorch, .*; install torch, or save"
    ):
        tensor_files.read(tmp_path)
