"""Points that stand for texts or tokens: brought down to two or three numbers, or written for TensorBoard's projector.

Leaves to others: where the points come from (`inspector`), the page that shows them (`views`).
Sources: Pearson 1901 (PCA); McInnes et al. 2018 (UMAP).
"""

import os
import pathlib
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from bert import files

Floats = npt.NDArray[np.float32]
Reduction = Literal["pca", "umap"]

_TENSORS, _METADATA = "tensors.tsv", "metadata.tsv"
_PROJECTOR_CONFIG = "projector_config.pbtxt"  # the name that TensorBoard looks for
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NO_TEXT = (
    "(empty)"  # the projector skips blank lines, and would name every point after one wrongly
)
_UMAP_NEIGHBOURS = 15  # umap-learn's default


class Reduced(NamedTuple):
    """Points that can be drawn.

    Attributes:
      points: float32[n, 2] or float32[n, 3].
      axes: a name each.
      note: what was done to them, and what was lost.
    """

    points: Floats
    axes: tuple[str, ...]
    note: str


def checked(points: npt.ArrayLike, *aligned: Sequence[str]) -> Floats:
    """Return points as float32[n, d], each with its label and its text.

    Raises:
      ValueError: they have another shape, or are not finite; or `aligned` are not one a point.
    """
    values = np.asarray(points, np.float32)
    if values.ndim != 2 or not len(values) or values.shape[1] < 2:
        raise ValueError(
            f"points must be float32[n, d] with two numbers or more a point, got shape {values.shape}; stack one "
            "vector a text or token"
        )
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"points must be finite numbers, got {values[~np.isfinite(values)][0]}; a model whose training diverged "
            "gives such"
        )
    counts = [len(names) for names in aligned]
    if any(count != len(values) for count in counts):
        raise ValueError(
            f"labels and texts must be one a point, got {' and '.join(map(str, counts))} for {len(values)} points"
        )
    return values


def reduce(
    points: Floats, dimensions: int = 3, method: Reduction = "pca", *, seed: int = 0
) -> Reduced:
    """Return points of at most `dimensions` numbers; those that have no more stay as they are.

    Args:
      points: float32[n, d].
      method: "pca" keeps directions of the largest variance; "umap" keeps neighbours, not distances, and needs
        umap-learn, an optional requirement.
      seed: of UMAP; PCA draws nothing.

    Raises:
      ValueError: `dimensions` is neither 2 nor 3, an unknown method, or umap-learn is not installed.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"dimensions must be 2 or 3, got {dimensions}")
    if method not in get_args(Reduction):
        raise ValueError(f"reduce must be one of {', '.join(get_args(Reduction))}; got {method!r}")
    width = points.shape[1]
    if width <= dimensions:
        axes = tuple(f"dimension {axis}" for axis in range(width))
        return Reduced(points, axes, "The coordinates are the points' own.")
    return _pca(points, dimensions) if method == "pca" else _umap(points, dimensions, seed)


def write_projector(
    folder: files.Path, points: npt.ArrayLike, labels: Sequence[str], texts: Sequence[str]
) -> None:
    r"""Write points for TensorBoard's projector, which reduces them itself: `tensorboard --logdir FOLDER`.

    Numbers come back as the same float32. Tabs, line ends and backslashes of texts are written `\t`, `\n`, `\r` and
    `\\`.

    Args:
      points: float32[n, d].

    Raises:
      ValueError: as `checked`.
    """
    values = checked(points, labels, texts)
    place = pathlib.Path(os.fspath(folder))
    with files.draft(place / _TENSORS) as draft:
        np.savetxt(draft, values, fmt="%.9g", delimiter="\t")  # 9 digits: what a float32 takes
    rows = zip(["text", *texts], ["label", *labels], strict=True)
    lines = (f"{_cell(text)}\t{_cell(label)}\n" for text, label in rows)
    files.write_text(place / _METADATA, "".join(lines))
    # last: who finds it finds what it names
    files.write_text(
        place / _PROJECTOR_CONFIG,
        'embeddings {\n  tensor_name: "embeddings"\n'
        f'  tensor_path: "{_TENSORS}"\n  metadata_path: "{_METADATA}"\n}}\n',
    )


def _cell(text: str) -> str:
    escaped = text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode("utf-8")
    return escaped if escaped.strip() else _NO_TEXT


def _pca(points: Floats, dimensions: int) -> Reduced:
    centred = points.astype(np.float64) - np.mean(points, axis=0, dtype=np.float64)
    sizes, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    kept = directions[:, : -dimensions - 1 : -1]
    largest = np.take_along_axis(kept, np.argmax(np.abs(kept), axis=0)[None], axis=0)
    coordinates = centred @ (kept * np.sign(largest))  # else the sign is the library's whim
    total = float(np.sum(np.maximum(sizes, 0)))
    shares = np.maximum(sizes[: -dimensions - 1 : -1], 0) / (total or 1.0)
    return Reduced(
        coordinates.astype(np.float32),
        tuple(f"PC {number} ({share:.1%})" for number, share in enumerate(shares, start=1)),
        f"Reduced from {points.shape[1]} to {dimensions} dimensions by PCA, which keeps {np.sum(shares):.1%} of the "
        "variance.",
    )


def _umap(points: Floats, dimensions: int, seed: int) -> Reduced:
    try:
        import umap
    except ImportError as error:
        raise ValueError(
            "reduce='umap' needs umap-learn, which is not installed; pip install umap-learn, or use reduce='pca'"
        ) from error
    neighbours = min(_UMAP_NEIGHBOURS, len(points) - 1)
    if neighbours <= dimensions:
        raise ValueError(
            f"reduce='umap' needs more than {dimensions + 1} points, got {len(points)}; use reduce='pca'"
        )
    # one thread: only so does a seed repeat a picture
    reducer = umap.UMAP(
        n_components=dimensions, n_neighbors=neighbours, random_state=seed, n_jobs=1
    )
    found = np.asarray(reducer.fit_transform(points), np.float32)
    return Reduced(
        found,
        tuple(f"UMAP {number}" for number in range(1, dimensions + 1)),
        f"Reduced from {points.shape[1]} to {dimensions} dimensions by UMAP (seed {seed}), which keeps neighbours: "
        "distances between far points mean nothing, and no share of the variance is kept.",
    )
