"""Numbers come back from their codes as the page says they do."""

import base64

import numpy as np
import pytest

from explain import packing

LAYERS, HEADS, SIZE = 2, 3, 17


def unpack(packed: packing.Packed, size: int = SIZE) -> np.ndarray:
    """Return float32[l * h, t, t] by the layout that the page's script reads, written a second time."""
    kind, signed = packed.data["kind"], packed.data.get("signed")
    heads = []
    for text in packed.data["heads"]:
        data = base64.b64decode(text)
        if kind == "float32":
            heads.append(np.frombuffer(data, "<f4").reshape(size, size))
            continue
        halves = np.frombuffer(data[: 2 * size], "<u2").astype(np.uint32)
        scales = (halves << 16).view(np.float32)[:, None]
        codes = np.full(size * size, 128 if signed else 0, np.float64)
        if kind == "dense":
            codes[:] = np.frombuffer(data[2 * size :], np.uint8)
        else:
            steps, kept = np.frombuffer(data[3 * size :], np.uint8).reshape(2, -1)
            codes[np.cumsum(steps.astype(int)) - 1] = kept
        whole = (codes - 128) / 127 if signed else codes / 255
        heads.append((whole.reshape(size, size) * scales).astype(np.float32))
    return np.array(heads)


@pytest.fixture
def weights() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(SIZE, 0.2), (LAYERS, HEADS, SIZE)).astype(np.float32)


@pytest.fixture
def relevance(weights) -> np.ndarray:
    return (weights * np.random.default_rng(1).normal(size=weights.shape) * 1e-4).astype(np.float32)


def test_a_row_is_stored_in_255_steps_of_its_largest():
    row = np.array(
        [0.0, 0.1, 0.2, 0.5], np.float32
    )  # 0.5 is its own upper half: no rounding of the scale
    packed = packing.pack(np.tile(row, (1, 1, 4, 1)), 1000)
    codes = base64.b64decode(packed.data["heads"][0])[8:]
    assert list(codes) == [0, 51, 102, 255] * 4
    assert packed.error == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("room", [10**6, 1500])
def test_every_number_kept_is_right_to_a_255th_of_its_row(weights, room):
    packed = packing.pack(weights, room)
    there, wanted = unpack(packed), weights.reshape(-1, SIZE, SIZE)
    kept = there != 0 if packed.data["kind"] == "sparse" else np.ones(there.shape, bool)
    error = np.abs(there - wanted)
    assert np.all((error <= np.max(wanted, axis=-1, keepdims=True) / 255)[kept])
    assert np.max(error[kept]) == pytest.approx(packed.error, rel=1e-5)


@pytest.mark.parametrize("room", [10**6, 1500])
def test_signed_numbers_keep_their_sign_and_the_error_is_the_one_stated(relevance, room):
    packed = packing.pack(relevance, room)
    there, wanted = unpack(packed), relevance.reshape(-1, SIZE, SIZE)
    kept = there != 0
    assert np.all((np.sign(there) == np.sign(wanted))[kept])
    assert np.max(np.abs(there - wanted)[kept]) <= packed.error
    assert packed.error <= np.max(np.abs(wanted)) / 250


def test_what_is_left_out_is_stated(weights):
    packed = packing.pack(weights, 1500)
    there, wanted = unpack(packed), weights.reshape(-1, SIZE, SIZE)
    left = np.where(there == 0, wanted, 0)
    assert packed.data["kind"] == "sparse"
    assert packed.cut == packed.data["cut"] == pytest.approx(np.max(left))
    assert packed.kept == np.count_nonzero(there)
    shares = np.sum(left, axis=-1) / np.sum(wanted, axis=-1)
    assert packed.mean_share == pytest.approx(np.mean(shares), rel=1e-5)
    assert packed.largest_share == pytest.approx(np.max(shares), rel=1e-5)
    stored = [list(base64.b64decode(text)[2 * SIZE : 3 * SIZE]) for text in packed.data["heads"]]
    np.testing.assert_allclose(np.array(stored) / 255, shares, atol=0.5 / 255 + 1e-6)


def test_the_largest_stay_and_two_of_every_row(weights):
    weights[0, 1, 3] *= 1e-3  # a row below what the others leave out
    packed = packing.pack(weights, 1500)
    kept, wanted = unpack(packed) != 0, weights.reshape(-1, SIZE, SIZE)
    order = np.argsort(-wanted, axis=-1)
    assert np.all(np.take_along_axis(kept, order[..., :2], axis=-1))
    beyond = kept.copy()
    np.put_along_axis(beyond, order[..., :2], False, axis=-1)
    assert beyond.any()
    assert np.min(wanted[beyond]) >= packed.cut


@pytest.mark.parametrize("room", [1000, 1500, 1900])
def test_the_codes_fit_the_room(weights, room):
    packed = packing.pack(weights, room)
    assert packed.data["kind"] == "sparse"
    codes = sum(len(base64.b64decode(text)) for text in packed.data["heads"])
    assert 0.95 * room <= codes <= room


def test_places_far_apart_are_found_again():
    size = 300  # rows of which one byte cannot tell the length
    values = np.zeros((1, 1, size, size), np.float32)
    values[0, 0, ::7, [2]] = 0.5
    values[0, 0, -1, -1] = 0.25
    packed = packing.pack(values, 4000)
    np.testing.assert_array_equal(unpack(packed, size)[0], values[0, 0])
    assert packed.cut == packed.error == 0.0


def test_exact_keeps_every_bit(relevance):
    packed = packing.pack(relevance, 10, exact=True)
    np.testing.assert_array_equal(unpack(packed), relevance.reshape(-1, SIZE, SIZE))
    assert packed.error == packed.cut == 0.0


def test_zeros_alone_are_no_division():
    packed = packing.pack(np.zeros((1, 1, 5, 5), np.float32), 1000)
    assert not unpack(packed, 5).any()
