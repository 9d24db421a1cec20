"""Numbers of attention heads as a web page carries them: 8-bit codes in base64, the largest numbers only if need be.

A row's scale is the upper half of a float32, so that numbers of any size keep their digits. `templates/views/arrays.js`
reads what is written here.
"""

import base64
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_FEWEST_A_ROW = 2  # numbers that stay however little room there is

Floats = npt.NDArray[np.float32]


class Packed(NamedTuple):
    """Numbers as the page gets them, and what was lost on the way.

    Attributes:
      error: the largest difference between a number of the page and the array's.
      cut: the largest number left out; 0 where none was.
      mean_share: what was left out of a row's absolute sum, on average.
    """

    data: Mapping[str, object]
    error: float = 0.0
    cut: float = 0.0
    kept: int = 0
    total: int = 0
    mean_share: float = 0.0
    largest_share: float = 0.0


def pack(values: Floats, room: int, exact: bool = False) -> Packed:
    """Return the numbers as base64, a string a head: all of them where there is room for their codes.

    Args:
      values: float32[l, h, t, t], finite.
      room: bytes to fill, before base64 makes four of three; two numbers of each row stay even beyond it.
      exact: keep every float32, whatever the room.
    """
    heads = values.reshape(-1, *values.shape[2:])
    rows = heads.shape[0] * heads.shape[1]
    signed = bool(np.min(values) < 0)
    if exact:
        whole = [to_base64(head.astype("<f4")) for head in heads]
        data = {"kind": "float32", "signed": signed, "cut": 0.0, "heads": whole}
        return Packed(data, kept=heads.size, total=heads.size)
    if heads.size + 2 * rows <= room:
        keeps, kind = np.broadcast_to(True, heads.shape), "dense"
    else:
        keeps, kind = _largest(np.abs(heads), (room - 3 * rows) // 2), "sparse"
    parts = [_pack_head(*pair, kind, signed) for pair in zip(heads, keeps, strict=True)]
    shares = np.concatenate([part.shares for part in parts])
    cut = max(part.cut for part in parts)
    data = {"kind": kind, "signed": signed, "cut": cut, "heads": [part.text for part in parts]}
    return Packed(
        data=data,
        error=max(part.error for part in parts),
        cut=cut,
        kept=int(np.count_nonzero(keeps)),
        total=heads.size,
        mean_share=float(np.mean(shares)),
        largest_share=float(np.max(shares)),
    )


def to_base64(data: npt.NDArray[np.generic] | bytes) -> str:
    """Return the bytes of an array in base64."""
    whole = data if isinstance(data, bytes) else data.tobytes()
    return base64.b64encode(whole).decode("ascii")


class _Head(NamedTuple):
    """One head's base64, its errors, and the share of each row that was left out."""

    text: str
    error: float
    cut: float
    shares: npt.NDArray[np.float64]


def _pack_head(head: Floats, keeps: npt.NDArray[np.bool_], kind: str, signed: bool) -> _Head:
    sizes = np.abs(head)
    halves = (np.max(sizes, axis=-1).view(np.uint32) + 0xFFFF) >> 16  # of float32, rounded up
    scales = (halves << 16).view(np.float32).astype(np.float64)[:, None]
    steps, zero = (127, 128) if signed else (255, 0)
    codes = np.rint(steps * np.divide(head, scales, out=np.zeros(head.shape), where=scales > 0))
    error = float(
        np.max(np.abs((codes * scales / steps).astype(np.float32) - head), where=keeps, initial=0)
    )
    left = np.sum(sizes, axis=-1, where=~keeps, dtype=np.float64)
    total = np.sum(sizes, axis=-1, dtype=np.float64)
    shares = np.divide(left, total, out=np.zeros(len(head)), where=total > 0)
    stored = (codes + zero).astype(np.uint8)
    parts = [halves.astype("<u2"), stored]
    if kind == "sparse":
        gaps, counts = _gaps(keeps)
        ends = np.cumsum(counts) - 1
        steps_there, codes_there = np.full(ends[-1] + 1, 255), np.full(ends[-1] + 1, zero)
        steps_there[ends], codes_there[ends] = gaps - 255 * (counts - 1), stored[keeps]
        rounded = np.rint(255 * shares)
        parts = [
            halves.astype("<u2"),
            *(p.astype(np.uint8) for p in (rounded, steps_there, codes_there)),
        ]
    cut = float(np.max(sizes, where=~keeps, initial=0))
    return _Head(to_base64(b"".join(part.tobytes() for part in parts)), error, cut, shares)


def _gaps(keeps: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the steps from each kept place to the next, and the codes each step takes: one byte holds 255."""
    gaps = np.diff(np.flatnonzero(keeps), prepend=-1)
    return gaps, (gaps - 1) // 255 + 1


def _largest(sizes: Floats, room: int) -> npt.NDArray[np.bool_]:
    """Return which numbers stay: two of each row, and of the others the largest while their codes fit."""
    keeps = np.zeros(sizes.shape, np.bool_)
    fewest = min(_FEWEST_A_ROW, sizes.shape[-1])
    for head, keep in zip(sizes, keeps, strict=True):
        first = np.argpartition(head, -fewest, axis=-1)[:, -fewest:]
        np.put_along_axis(keep, first, True, axis=-1)
    others = sizes[~keeps]
    count = min(room, others.size - 1)
    if count <= 0:
        return keeps
    ranked = np.sort(np.partition(others, -count - 1)[-count - 1 :])[::-1]
    while count > 0:
        trial: npt.NDArray[np.bool_] = keeps | (sizes > ranked[count])
        excess = sum(int(np.sum(_gaps(head)[1])) for head in trial) - room
        if excess <= 0:
            return trial
        count -= excess
    return keeps
