"""Hugging Face's files that lost a byte: told by name, or read as they were."""

import hashlib
import json

import numpy as np
import pytest

from bert import conversion
from bert import hugging_face
from tests.bert import hugging_face_folders as folders


@pytest.fixture
def folder(tmp_path):
    return folders.write(tmp_path / "model")


def told_or_sound(folder, expected):
    """Return whether the damage is told; where it is not, the weights must be what they were."""
    try:
        found = hugging_face.read(folder).variables
    except ValueError as error:
        return str(folder) in str(error) and "\n" not in str(error)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    return False


def test_a_safetensors_file_cut_anywhere_is_told(folder):
    path = folder / "model.safetensors"
    sound, expected = path.read_bytes(), hugging_face.read(folder).variables
    lengths = [*range(12), *range(12, len(sound), len(sound) // 50), len(sound) - 1]
    for length in lengths:
        path.write_bytes(sound[:length])
        assert told_or_sound(folder, expected), length


def test_a_bit_flipped_in_the_header_of_a_safetensors_file_is_told_or_changes_nothing(folder):
    """The values themselves have no checksum in this format, but what is fetched by name has one (`pretrained`)."""
    path = folder / "model.safetensors"
    sound, expected = path.read_bytes(), hugging_face.read(folder).variables
    end = 8 + int.from_bytes(sound[:8], "little")
    told = 0
    for place in [*range(8), *range(8, end, 7)]:
        changed = bytes([sound[place] ^ 1 << place % 8])
        path.write_bytes(sound[:place] + changed + sound[place + 1 :])
        told += told_or_sound(folder, expected)
    assert told > 0.9 * (end / 7)


def test_an_index_of_shards_cut_anywhere_is_told(folder):
    folders.shard(folder)
    expected = hugging_face.read(folder).variables
    path = folder / "model.safetensors.index.json"
    sound = path.read_bytes()
    json.loads(sound)
    for length in range(0, len(sound), 41):
        path.write_bytes(sound[:length])
        assert told_or_sound(folder, expected), length


def test_a_bit_flipped_in_the_values_is_told_where_the_hubs_cache_knows_the_sha256(
    folder, tmp_path
):
    path = folder / "model.safetensors"
    sound = path.read_bytes()
    blob = tmp_path / hashlib.sha256(sound).hexdigest()
    path.rename(blob)
    path.symlink_to(blob)
    release = conversion.release_folder(folder, tmp_path / "cache")
    blob.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    with pytest.raises(ValueError, match=rf"safetensors must have the sha256 .* {blob.name}, got"):
        conversion.release_folder(folder, tmp_path / "cache")
    blob.write_bytes(sound)
    assert conversion.release_folder(folder, tmp_path / "cache") == release
