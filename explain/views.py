"""Interactive views of attention and embeddings: one offline HTML file each, which runs no script but its own.

Takes arrays, returns `str`; entry points write files. Layers and heads count from 0. What is drawn lies in
`templates/views/`; how numbers go into a page, and at what cost, in `packing`, and the page states that cost. Leaves to
others: where arrays come from (`inspector`), what stands around the pictures (`view_page`).
After: Vig 2019 (BertViz); relevance as in Chefer et al. 2021.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bert import tokenization
from explain import embeddings
from explain import explanation as explanation_lib
from explain import highlight
from explain import packing
from explain import view_page

# A page of 12 layers, 12 heads and 512 tokens is to stay below 2 MB: base64 takes 4 bytes for 3, and the script, the
# tokens and the layout take the rest.
_BYTES = 1_440_000
_SIGNS = ["towards the target", "away from it"]


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
    return view_page.page(_head_part(attention, tokens, segments, relevance, exact, title, _BYTES))


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
    return view_page.page(view_page.View("model", title, [_note("weights", packed)], data))


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
    return view_page.page(view_page.View("neuron", title, [note], data))


def embedding_view(
    points: npt.ArrayLike,
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    title: str = "Embeddings",
    meaning: str = "",
    dimensions: int = 3,
    reduce: embeddings.Reduction = "pca",
    seed: int = 0,
) -> str:
    """Return a page of points in space, coloured and shaped by label; pointing at one shows its text.

    The page carries plotly.js, an optional requirement of 5 MB; `embeddings.write_projector` is the light way.

    Args:
      points: float32[n, d]; more numbers than `dimensions` are reduced as `embeddings.reduce` does, and the page says
        how and what was lost.
      labels: one a point; texts alike.
      meaning: what the points are, such as "Pooled output of layer 5": a line above the picture.
      seed: of UMAP.

    Raises:
      ValueError: `points` have another shape, or are not finite; labels or texts are not one a point; plotly, or
        umap-learn where it is asked for, is not installed.
    """
    values = embeddings.checked(points, labels, texts)
    reduced = embeddings.reduce(values, dimensions, reduce, seed=seed)
    try:
        from plotly import offline
    except ImportError as error:
        raise ValueError(
            "embedding_view needs plotly, which is not installed; pip install plotly, or use embeddings.write_projector"
        ) from error
    names = list(dict.fromkeys(labels))
    numbers = {name: number for number, name in enumerate(names)}
    data = {
        "title": title,
        "axes": reduced.axes,
        "points": packing.to_base64(reduced.points.astype("<f4")),
        "labels": names,
        "label_of": [numbers[label] for label in labels],
        "texts": list(texts),
    }
    notes = [*filter(None, [meaning]), reduced.note]
    view = view_page.View("embedding", title, notes, data)
    return view_page.page(view, offline.get_plotlyjs())


def report(
    explanations: Sequence[explanation_lib.Explanation], title: str = "Why these answers"
) -> str:
    """Return a page with each text's answer, its words as every method scores them, side by side, and its attention.

    The attention shows where a record carries all of it, float32[l, h, t, t]; where in depth the decision forms, where
    it carries layer scores.

    Raises:
      ValueError: there are no records, an attention holds numbers that are no weights, or layer scores are not finite.
    """
    carried = len({(record.guid, record.texts) for record in explanations if _has_layers(record)})

    def inside(records: Sequence[explanation_lib.Explanation]) -> list[view_page.View]:
        found = [_profile(record) for record in records if record.layer_scores is not None]
        record = next(filter(_has_layers, records), None)
        if record is None or record.attention is None:
            return found
        segments = _segments(record.tokens) if len(record.texts) > 1 else None
        name, room = f"Attention in {record.guid}", _BYTES // carried
        head = _head_part(record.attention, record.tokens, segments, None, False, name, room)
        return [*found, head]

    around = view_page.around("head", "report.css")
    return highlight.page("views/report.html", explanations, title, inside=inside, **around)


def frame(page: str, *, height_px: int = 720, title: str = "interactive view") -> str:
    """Return a page as a frame to show in a notebook: `IPython.display.HTML(views.frame(page))`."""
    return highlight.TEMPLATES.get_template("views/frame.html").render(
        page=page, height=height_px, title=title
    )


def _head_part(
    attention: packing.Floats,
    tokens: Sequence[str],
    segments: Sequence[int] | None,
    relevance: packing.Floats | None,
    exact: bool,
    title: str,
    room: int,
) -> view_page.View:
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
    return view_page.View("head", title, notes, data)


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
        "ticks": list(map(str, range(len(layers)))),
        "layers": layers,
    }


def _depth(relevance: packing.Floats) -> dict[str, object]:
    """Return where in depth the decision forms: the relevance above and below 0, summed by layer."""
    return {
        "title": "Where in depth the decision forms: relevance by layer",
        "names": _SIGNS,
        "ticks": list(map(str, range(len(relevance)))),
        "layers": [_above_and_below(layer) for layer in relevance],
    }


def _profile(record: explanation_lib.Explanation) -> view_page.View:
    """Return where in depth the decision forms: how much of a record's relevance lies on its words, by layer."""
    scores = np.asarray(record.layer_scores, np.float32)
    _require_finite(scores, "layer_scores")
    is_special = [tokenization.is_special(token) for token in record.tokens]
    on_words = scores[:, ~np.array(is_special, np.bool_)]
    layers = [_above_and_below(layer) for layer in on_words]
    target = f" for {record.target}" if record.target else ""
    title = f"{record.method}{target}: where in depth the decision forms"
    data = {
        "title": title,
        "names": _SIGNS if record.signed else ["relevance"],
        "ticks": ["in", *map(str, range(len(layers) - 1))],
        "layers": layers if record.signed else [layer[:1] for layer in layers],
    }
    note = (
        "A bar is the relevance on words, where they enter layer 0 and after each layer; the rest of it lies on "
        "special tokens, or is left on the model's biases."
    )
    return view_page.View("profile", title, [note], data)


def _above_and_below(scores: packing.Floats) -> list[float]:
    return [float(np.sum(scores, where=scores > 0)), float(np.sum(scores, where=scores < 0))]


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
