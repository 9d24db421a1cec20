"""Interactive views of attention: one offline HTML file each, which opens at once and runs no script but its own.

Takes arrays, returns `str`; entry points write files. What is drawn lies in `templates/views/`, colours in `palette`;
how numbers go into a page, and at what cost, in `packing`. The page states that cost.
After: Vig 2019 (BertViz); relevance as in Chefer et al. 2021.
"""

import base64
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bert import tokenization
from explain import explanation as explanation_lib
from explain import highlight
from explain import packing
from explain import palette

_FOLDER = pathlib.Path(highlight.__file__).parent / "templates" / "views"
# A page of 12 layers, 12 heads and 512 tokens is to stay below 2 MB: base64 takes 4 bytes for 3, and the script, the
# tokens and the layout take the rest.
_BYTES = 1_440_000
_SCRIPTS = {
    "head": "arrays painters figure profile_view head_view start",
    "model": "arrays painters figure model_view start",
    "neuron": "arrays painters figure neuron_view start",
}


def head_view(
    attention: packing.Floats,
    tokens: Sequence[str],
    *,
    segments: Sequence[int] | None = None,
    relevance: packing.Floats | None = None,
    exact: bool = False,
    title: str = "Attention, head by head",
) -> str:
    """Return a page with a line from each token to those it attends to, by layer and heads.

    Args:
      attention: float32[l, h, t, t], weights after the softmax.
      segments: 0 or 1 a token; filters the lines from and to each text of a pair.
      relevance: float32[l, h, t, t], such as attention x gradient; signed. Shown first, the attention on request, and
        summed by layer.
      exact: keep every float32; else each page stays below 2 MB at 12 layers, 12 heads and 512 tokens.

    Raises:
      ValueError: an array has another shape, or numbers that are no weights.
    """
    return _page(_head_part(attention, tokens, segments, relevance, exact, title, _BYTES))


def model_view(
    attention: packing.Floats,
    tokens: Sequence[str],
    *,
    exact: bool = False,
    title: str = "Attention, every head of every layer",
) -> str:
    """Return a page with a small heat map of each head, layers down, heads across; each can be enlarged.

    Args:
      attention: float32[l, h, t, t], weights after the softmax.
      exact: as for `head_view`.

    Raises:
      ValueError: the array has another shape, or numbers that are no weights.
    """
    attention = _weights(attention, tokens, "attention")
    packed = packing.pack(attention, _BYTES, exact)
    data = _sizes(attention, tokens, title) | {"arrays": {"attention": packed.data}}
    return _page(_View("model", title, [_note("weights", packed)], _json(data)))


def neuron_view(
    queries: packing.Floats,
    keys: packing.Floats,
    tokens: Sequence[str],
    *,
    title: str = "One head: query, key and their product",
) -> str:
    """Return a page that follows one head from query and keys to the weights of a token.

    Args:
      queries: float32[t, e] of the head, kept to the bit.
      keys: float32[t, e].

    Raises:
      ValueError: an array has another shape, or numbers that are not finite.
    """
    for name, values in (("queries", queries), ("keys", keys)):
        if np.ndim(values) != 2 or len(values) != len(tokens) or np.shape(values) != queries.shape:
            raise ValueError(
                f"{name} must be float32[t, e] of one head for {len(tokens)} tokens, got shape {np.shape(values)}; "
                "choose a layer and a head"
            )
        _require_finite(values, name)
    data = {
        "title": title,
        "tokens": list(tokens),
        "width": queries.shape[1],
        "queries": packing.to_base64(queries.astype("<f4")),
        "keys": packing.to_base64(keys.astype("<f4")),
    }
    note = (
        "Blue is above 0, orange below. The softmax counts all tokens: a mask or a bias added to the sums does not "
        "show here."
    )
    return _page(_View("neuron", title, [note], _json(data)))


def report(
    explanations: Sequence[explanation_lib.Explanation], title: str = "Why these answers"
) -> str:
    """Return a page with each text's answer, its words as every method scores them, side by side, and its attention.

    The attention shows where a record carries all of it: float32[l, h, t, t].

    Raises:
      ValueError: there are no records, or an attention holds numbers that are no weights.
    """
    carried = len({(record.guid, record.texts) for record in explanations if _has_layers(record)})

    def inside(records: Sequence[explanation_lib.Explanation]) -> _View | None:
        record = next(filter(_has_layers, records), None)
        if record is None or record.attention is None:
            return None
        segments = _segments(record.tokens) if len(record.texts) > 1 else None
        name = f"Attention in {record.guid}"
        room = _BYTES // carried
        return _head_part(record.attention, record.tokens, segments, None, False, name, room)

    return highlight.page(
        "views/report.html",
        explanations,
        title,
        inside=inside,
        **_outside("head", "report.css"),
    )


def frame(page: str, *, height_px: int = 720, title: str = "interactive view") -> str:
    """Return a page as a frame to show in a notebook: `IPython.display.HTML(views.frame(page))`."""
    return highlight.TEMPLATES.get_template("views/frame.html").render(
        page=page, height=height_px, title=title
    )


class _View(NamedTuple):
    """One picture of a page.

    Attributes:
      data: JSON, no character of which could be read as markup.
    """

    kind: str
    title: str
    notes: list[str]
    data: str


def _head_part(
    attention: packing.Floats,
    tokens: Sequence[str],
    segments: Sequence[int] | None,
    relevance: packing.Floats | None,
    exact: bool,
    title: str,
    room: int,
) -> _View:
    attention = _weights(attention, tokens, "attention")
    if segments is not None and len(segments) != len(tokens):
        raise ValueError(
            f"segments must name the text of each of {len(tokens)} tokens, got {len(segments)}"
        )
    arrays = {"attention": attention}
    if relevance is not None:
        relevance = _weights(relevance, tokens, "relevance")
        if relevance.shape != attention.shape:
            raise ValueError(
                f"relevance must have the attention's shape {attention.shape}, got {relevance.shape}"
            )
        arrays["relevance"] = relevance
    packed = {
        name: packing.pack(values, room // len(arrays), exact) for name, values in arrays.items()
    }
    data = _sizes(attention, tokens, title) | {
        "segments": None if segments is None else [int(segment) for segment in segments],
        "special": [i for i, token in enumerate(tokens) if tokenization.is_special(token)],
        "arrays": {name: part.data for name, part in packed.items()},
        "profile": _spread(attention) if relevance is None else _depth(relevance),
    }
    notes = [_note(name, part) for name, part in packed.items()]
    return _View("head", title, notes, _json(data))


def _sizes(attention: packing.Floats, tokens: Sequence[str], title: str) -> dict[str, object]:
    layers, heads = attention.shape[:2]
    return {"title": title, "tokens": list(tokens), "layers": layers, "heads": heads}


def _spread(attention: packing.Floats) -> dict[str, object]:
    """Return how many tokens a token attends to, by layer: e to the mean entropy of the rows."""
    layers = []
    for layer in attention:
        rows = layer / np.maximum(np.sum(layer, axis=-1, keepdims=True), np.finfo(np.float32).tiny)
        entropy = -np.sum(rows * np.log(np.maximum(rows, np.finfo(np.float32).tiny)), axis=-1)
        layers.append([float(np.exp(np.mean(entropy)))])
    return {
        "title": "How many tokens a token attends to, by layer",
        "names": ["tokens"],
        "layers": layers,
    }


def _depth(relevance: packing.Floats) -> dict[str, object]:
    """Return where in depth the decision forms: the relevance above and below 0, summed by layer."""
    layers = [
        [float(np.sum(layer, where=layer > 0)), float(np.sum(layer, where=layer < 0))]
        for layer in relevance
    ]
    return {
        "title": "Where in depth the decision forms: relevance by layer",
        "names": ["towards the target", "away from it"],
        "layers": layers,
    }


def _note(name: str, packed: packing.Packed) -> str:
    what = name.capitalize()
    if packed.data["kind"] == "float32":
        return f"{what}: every number is the array's own."
    text = (
        f"{what}: numbers are stored in steps of 1/{127 if packed.data['signed'] else 255} of their row's largest; the "
        f"largest error is {packed.error:.2g}."
    )
    if packed.cut:
        text += (
            f" Of {packed.total:,} numbers this page keeps the {packed.kept:,} largest: the greatest left out is "
            f"{packed.cut:.3g}, and what is left out of a row is {packed.mean_share:.1%} of its sum on average, "
            f"{packed.largest_share:.1%} at most. exact=True keeps all."
        )
    return text


def _weights(values: npt.ArrayLike, tokens: Sequence[str], name: str) -> packing.Floats:
    """Return the numbers of every layer and head as float32, of whatever precision they come."""
    values = np.asarray(values, np.float32)
    wanted = (len(tokens), len(tokens))
    if np.ndim(values) != 4 or values.shape[2:] != wanted or not values.size:
        raise ValueError(
            f"{name} must be float32[layers, heads, {wanted[0]}, {wanted[0]}] for {len(tokens)} tokens, got shape "
            f"{np.shape(values)}; keep every layer and head, and cut off padding"
        )
    _require_finite(values, name)
    if name == "attention" and np.min(values) < 0:
        raise ValueError(
            f"attention must be weights of 0 or more, got {np.min(values)}; signed numbers go into relevance"
        )
    return values


def _require_finite(values: packing.Floats, name: str) -> None:
    if not np.all(np.isfinite(values)):
        raise ValueError(
            f"{name} must be finite numbers, got {values[~np.isfinite(values)][0]}; a model whose training diverged "
            "gives such"
        )


def _has_layers(record: explanation_lib.Explanation) -> bool:
    return record.attention is not None and record.attention.ndim == 4


def _segments(tokens: Sequence[str]) -> list[int]:
    ended = np.cumsum([token == tokenization.SEP for token in tokens])
    return [int(count > 0) for count in [0, *ended[:-1]]]


def _json(data: Mapping[str, object]) -> str:
    """Return JSON in ASCII with no sign of markup: it cannot end the element it stands in."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _page(view: _View) -> str:
    template = highlight.TEMPLATES.get_template("views/page.html")
    return highlight.encodable(template.render(view=view, **_outside(view.kind, "page.css")))


def _outside(kind: str, layout: str) -> dict[str, object]:
    """Return what stands around the pictures: colours, style, script, and the hash that lets it run."""
    script = '"use strict";\n' + "".join(
        (_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS[kind].split()
    )
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
    return {
        "colours": {"light": "; ".join(_colours(False)), "dark": "; ".join(_colours(True))},
        "style": "".join(
            (_FOLDER / name).read_text(encoding="utf-8") for name in (layout, "views.css")
        ),
        "script": script,
        "script_hash": f"sha256-{digest}",
    }


def _colours(on_dark: bool) -> Iterator[str]:
    sequential = palette.sequential_on_dark if on_dark else palette.sequential
    diverging = palette.diverging_on_dark if on_dark else palette.diverging
    named = (palette.DARK_PAGE if on_dark else palette.PAGE) | {
        "low": sequential(0.0)[0],
        "high": sequential(1.0)[0],
        "towards": diverging(1.0)[0],
        "away": diverging(-1.0)[0],
        "head-colours": str(len(palette.HEADS)),
        **{f"head-{number}": colour for number, colour in enumerate(palette.HEADS)},
    }
    yield from (f"--{name}: {value}" for name, value in named.items())
