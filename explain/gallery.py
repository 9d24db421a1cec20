"""What a command leaves in a folder: heat maps with their numbers, pictures of a training and of every explanation.

A picture of your own is a function of an `Explanation` that returns a figure. Leaves to others: figures (`plots`),
pages (`highlight`), the form of the records (`explanation`).
"""

import dataclasses
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bert import config
from bert import files
from explain import explanation
from explain import highlight
from explain import plots
from explain import training_plots

Picture: TypeAlias = Callable[[explanation.Explanation], plots.Figure]

PICTURES: dict[str, Picture] = {"token_importance": plots.token_importance}
"""Pictures of one explanation, by name."""


def find_picture(name: str) -> Picture:
    """Return the picture of that name, or the function that package.module:function names.

    Raises:
      ValueError: there is none.
    """
    if name in PICTURES:
        return PICTURES[name]
    if ":" not in name:
        raise ValueError(
            f"picture must be one of {', '.join(PICTURES)}, or a function of your own as package.module:function; got "
            f"{name!r}"
        )
    found: Picture = config.import_object(name, "picture")
    return found


def save_attention(
    attention: npt.NDArray[np.float32],
    tokens: Sequence[str],
    layers: Sequence[int],
    start: files.Path,
    title: str,
) -> list[pathlib.Path]:
    """Write `<start>.npz` with the numbers, and `<start>_layer_<i>.png` of each of `layers`; return the paths.

    The file holds `attention` as it is, its `mean_over_heads` [n, q, k] of `layers`, which is drawn, and `tokens`.

    Args:
      attention: float32[l, h, q, k] of every layer.
      layers: counted from 0.
      title: begins that of every picture.
    """
    start, means = pathlib.Path(start), np.asarray(attention).mean(axis=1)[list(layers)]
    paths = [start.with_name(f"{start.name}.npz")]
    with files.draft(paths[0]) as draft, open(draft, "wb") as file:
        np.savez_compressed(
            file,
            attention=attention,
            mean_over_heads=means,
            layers=np.array(layers, np.int64),
            tokens=np.array(tokens),
        )
    largest = float(means.max()) if len(means) else None  # one scale, so that layers compare
    for layer, mean in zip(layers, means, strict=True):
        named = f"{title}: layer {layer}, mean over heads"
        figure = plots.attention_heatmap(mean, tokens, named, vmax=largest)
        paths.append(start.with_name(f"{start.name}_layer_{layer}.png"))
        save_figure(figure, paths[-1])
    return paths


def save_training(
    curves: training_plots.Curves,
    confusions: Mapping[str, npt.NDArray[np.int64]],
    labels: Sequence[str],
    folder: files.Path,
) -> list[pathlib.Path]:
    """Write training_curves.png and, of each data set that was evaluated, confusion_<name>.png; return the paths.

    Args:
      curves: as `training_log.curves` returns them; without a measurement there is no picture.
      confusions: data set: int64[c, c], rows the true class.
    """
    figures = {}
    if any(points for of_sets in curves.values() for points in of_sets.values()):
        figures["training_curves"] = training_plots.training_curves(curves, "Training")
    for name, counts in confusions.items():
        title = f"{name}: {np.trace(counts)} of {np.sum(counts)} right"
        figures[f"confusion_{name}"] = training_plots.confusion_matrix(counts, labels, title)
    paths = []
    for name, figure in figures.items():
        paths.append(pathlib.Path(folder) / f"{name}.png")
        save_figure(figure, paths[-1])
    return paths


def save_explanations(
    records: Sequence[explanation.Explanation],
    folder: files.Path,
    title: str,
    picture: Picture = plots.token_importance,
) -> list[pathlib.Path]:
    """Write a picture of each record, explanation.html and explanation.jsonl; return the paths.

    A picture's file bears the function's name; where there are several texts, methods or targets of a text, also the
    text's number, the method's name and the target's number, as each first comes. A record with layer scores has
    layer_profile_<method>.png too. The records are written without attention, which `save_attention` writes.
    """
    folder = pathlib.Path(folder)
    page, lines = folder / "explanation.html", folder / "explanation.jsonl"
    paths = []
    for record in records:
        drawn = [(_picture_name(_name_of(picture), record, records), picture)]
        if record.layer_scores is not None:
            name = _picture_name("layer_profile", record, records, has_method=True)
            drawn.append((name, plots.layer_profile))
        for name, draw in drawn:
            save_figure(draw(record), folder / f"{name}.png")
            paths.append(folder / f"{name}.png")
    files.write_text(page, highlight.report(records, title))
    explanation.save_jsonl((dataclasses.replace(r, attention=None) for r in records), lines)
    return [*paths, page, lines]


def save_figure(figure: plots.Figure, path: files.Path) -> None:
    """Write a PNG."""
    with files.draft(path) as draft:
        figure.savefig(draft, format="png", dpi=120)


def remove_earlier(
    folder: files.Path, written: Sequence[pathlib.Path], picture: Picture = plots.token_importance
) -> None:
    """Remove what an earlier answer left in a folder: its heat maps and pictures, but for those just written."""
    names = ["attention.npz", "attention_layer_*.png", "layer_profile_*.png"]
    for drawn in {*PICTURES, _name_of(picture)}:
        names += [f"{drawn}.png", f"{drawn}_*.png"]
    for name in names:
        for path in pathlib.Path(folder).glob(name):
            if path not in written:
                path.unlink()


def _name_of(picture: Picture) -> str:
    return re.sub(r"\W+", "_", getattr(picture, "__name__", "picture"))


def _picture_name(
    kind: str,
    record: explanation.Explanation,
    records: Sequence[explanation.Explanation],
    *,
    has_method: bool = False,
) -> str:
    """Return a name that no other of the records has; numbers, as a label may hold what no file name can."""
    texts = list(dict.fromkeys((other.guid, other.texts) for other in records))
    text = (record.guid, record.texts)
    targets = list(
        dict.fromkeys(
            other.target
            for other in records
            if (other.guid, other.texts, other.method) == (*text, record.method)
        )
    )
    parts = [kind]
    if len(texts) > 1:
        parts.append(f"text_{texts.index(text)}")
    if has_method or len({other.method for other in records}) > 1:
        parts.append(record.method)
    if len(targets) > 1:
        parts.append(f"target_{targets.index(record.target)}")
    return re.sub(r"[^\w.-]+", "_", "_".join(parts))
