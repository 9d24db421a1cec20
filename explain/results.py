"""What the lines of an evaluation amount to: means with intervals, floors, differences between methods.

Leaves to others: measuring (`evaluation`), tables (`results_page`), pictures (`evaluation_plots`).
"""

import array
import collections
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from explain import corpus
from explain import explanation
from explain import rationales
from explain import statistics

Results: TypeAlias = dict[str, Any]
"""As it goes to JSON: settings, accuracy, calibration, rows, curves, pairs."""
_Key: TypeAlias = tuple[str, str, str]  # method, protocol, metric
_Figures: TypeAlias = Mapping[_Key, npt.NDArray[np.float64]]  # one number a text
FLOOR = ""  # in the place of a method
ALPHA = 0.05
_F1 = np.vectorize(rationales.f1)
MARGIN = 0.01  # what differs from chance by less is of no use, however sure the difference


class Headline(NamedTuple):
    """The figure by which a protocol compares methods.

    Attributes:
      means: what it says, for a table's reader.
      beside: other figures by which methods are told apart, and whether higher is better.
    """

    metric: str
    is_higher_better: bool
    means: str
    beside: Mapping[str, bool] = {}


HEADLINES = {
    "decompx": Headline(
        "aopc",
        True,
        "fall of the probability without the top 10 to 90 % of words",
        {"accuracy": False},
    ),
    "eraser_comprehensiveness": Headline(
        "aopc",
        True,
        "fall of the probability without the top 1 to 50 % of words",
        {"aopc_paper": True},
    ),
    "eraser_sufficiency": Headline(
        "aopc",
        False,
        "fall of the probability with the top 1 to 50 % of words alone",
        {"aopc_paper": False},
    ),
    "deletion": Headline("auc", False, "probability while words go, the top first"),
    "insertion": Headline("auc", True, "probability while words come, the top first"),
    "word_deletion": Headline("mean", False, "share still right without the top 1 to 10 words"),
    "leave_one_out": Headline("tau_b", True, "rank correlation with what each word's absence does"),
    "faithfulness_correlation": Headline(
        "pearson", True, "correlation of scores' sums with the fall of the logit"
    ),
    "infidelity": Headline(
        "infidelity_scaled", False, "squared error of scores' sums as forecasts of the fall"
    ),
    "hard_rationale": Headline(
        "comprehensiveness",
        True,
        "fall of the probability without the hard rationale",
        {"sufficiency": False},
    ),
    "rationales": Headline(
        "auprc",
        True,
        "area under precision and recall of the marked words",
        {"token_f1": True, "iou_f1": True, "eraser_iou_f1": True},
    ),
}
_OF_MEANS = {"eraser_iou_f1": ("eraser_iou_precision", "eraser_iou_recall")}
"""ERASER's own IOU-F1 is the F1 of two means, and so has no value a text."""


def summarise(lines: Iterable[Mapping[str, Any]], settings: Mapping[str, Any]) -> Results:
    """Join the lines of a file; memory is that of their figures, not of the texts.

    Args:
      settings: the file's own; `seed` is the bootstrap's too.
    """
    values: dict[_Key, array.array[float]] = collections.defaultdict(lambda: array.array("d"))
    lists: dict[_Key, list[array.array[float]]] = collections.defaultdict(list)
    texts: list[tuple[int | None, Sequence[float]]] = []
    for index, line in enumerate(lines):
        texts.append((line["gold"], line["probabilities"]))
        for key, value in _metrics(line):
            if isinstance(value, list):
                lists[key].append(array.array("d", value))
            else:
                values[key].extend([math.nan] * (index - len(values[key])))
                values[key].append(value)
    count, seed = len(texts), int(settings["seed"])
    figures = {
        key: np.array([*found, *[math.nan] * (count - len(found))]) for key, found in values.items()
    }
    keys = [*figures, *_joined(figures)]
    rows = [_row(key, figures, settings, seed) for key in keys if key[0] != FLOOR]
    _hold_together(rows)
    return {
        "settings": dict(settings),
        "texts": count,
        **_accuracy(texts, seed),
        "rows": rows,
        "curves": [_curve(key, np.array(found), seed) for key, found in lists.items()],
        "pairs": list(_pairs(figures, seed)),
    }


def of_words(
    records: Iterable[explanation.Explanation],
    polarity: tuple[str, Mapping[str, float]] | None = None,
    *,
    number: int = 30,
    min_count: int = 5,
    seed: int = 0,
) -> Results:
    """Return by method and class the words that drive it, and how far their signs agree with a lexicon's.

    Args:
      polarity: a class, and word: above 0 where it speaks for that class, below where against; compared with the
        scores for that class only. Scores without a sign have an AUC alone.
    """
    signed: dict[str, bool] = {}

    def watched() -> Iterator[explanation.Explanation]:
        for record in records:
            signed[record.method] = record.signed
            yield record

    found: Results = {"words": {}, "polarity": {}}
    for (method, name), scores in corpus.word_scores(watched()).items():
        table = corpus.word_table(scores, number=number, min_count=min_count, seed=seed)
        found["words"].setdefault(method, {})[name] = {
            side: [{"word": row.word, **_interval(row.score)} for row in getattr(table, side)]
            for side in table._fields
        }
        means = corpus.word_means(scores, min_count)
        if polarity and name == polarity[0] and means.keys() & polarity[1].keys():
            checked = corpus.polarity_check(means, polarity[1], seed)
            found["polarity"][method] = {
                "right_sign": _interval(checked.right) if signed[method] else None,
                "majority": checked.majority,
                "auc": checked.auc,
                "positive": checked.positive,
                "negative": checked.negative,
            }
    return found | {"signed": signed}


def of_agreement(records: Iterable[explanation.Explanation]) -> Results:
    """Return how alike the methods rank words: the mean Spearman correlation of each two, over so many texts."""
    grid = corpus.agreement(records)
    return {
        "agreement": {
            "methods": list(grid.names),
            "spearman": grid.values.tolist(),
            "texts": grid.counts.tolist(),
        }
    }


def of_heads(importance: Mapping[str, npt.NDArray[np.float32]], seed: int = 0) -> Results:
    """Return each head's mean importance and interval by every way of weighing it, and the ways' rank correlation.

    Args:
      importance: way: float32[n, l, h].
    """
    found: Results = {}
    for way, values in importance.items():
        rows = {
            (row.layer, row.head): row.importance
            for row in corpus.head_table(values.astype(np.float64), seed)
        }
        layers, heads = values.shape[1:]
        found[way] = {
            name: [
                [getattr(rows[layer, head], name) for head in range(heads)]
                for layer in range(layers)
            ]
            for name in ("mean", "low", "high")
        } | {"n": len(values)}
    means = [np.ravel(of_way["mean"]) for of_way in found.values()]
    pairs = itertools.combinations(zip(found, means, strict=True), 2)
    return {
        "heads": found,
        "heads_spearman": {f"{a}, {b}": statistics.spearman(x, y) for (a, x), (b, y) in pairs},
    }


def curves(
    lines: Iterable[Mapping[str, Any]], protocol: str, metric: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Return a metric that is a list of numbers, float[n, k] by method, and by `FLOOR` of random rankings."""
    rows: dict[str, list[list[float]]] = {}
    for line in lines:
        for method, protocols in (*line["measures"].items(), (FLOOR, line["floor"])):
            if metric in protocols.get(protocol, {}):
                rows.setdefault(method, []).append(protocols[protocol][metric])
    return {method: np.array(found) for method, found in rows.items()}


def _metrics(line: Mapping[str, Any]) -> Iterator[tuple[_Key, Any]]:
    for method, protocols in (*line["measures"].items(), (FLOOR, line["floor"])):
        for protocol, metrics in protocols.items():
            for metric, value in metrics.items():
                if metric != "probabilities":  # for ERASER's files
                    yield (method, protocol, metric), value


def _accuracy(texts: Sequence[tuple[int | None, Sequence[float]]], seed: int) -> Results:
    known = [(gold, row) for gold, row in texts if gold is not None]
    if not known:
        return {}
    gold = np.array([label for label, _ in known])
    probabilities = np.array([row for _, row in known])
    is_right = (np.argmax(probabilities, axis=1) == gold).astype(np.float64)
    error = statistics.expected_calibration_error(probabilities, gold)
    return {
        "accuracy": _interval(statistics.bootstrap_mean(is_right, seed)),
        "expected_calibration_error": error,
    }


def _hold_together(rows: Sequence[Results]) -> None:
    """Give every row that stands beside a floor the p-value that holds for all methods of its protocol and metric."""
    groups: dict[tuple[str, str], list[Results]] = {}
    for row in rows:
        if "p_floor" in row:
            groups.setdefault((row["protocol"], row["metric"]), []).append(row)
    for group in groups.values():
        for row, p in zip(group, statistics.holm([row["p_floor"] for row in group]), strict=True):
            row["p_floor_holm"] = p


def _interval(found: statistics.Interval) -> dict[str, float]:
    return {"value": found.mean, "low": found.low, "high": found.high, "n": found.n}


def _joined(figures: _Figures) -> Iterator[_Key]:
    """Yield the figures that are made of several means."""
    for metric, (first, *_) in _OF_MEANS.items():
        yield from ((m, protocol, metric) for m, protocol, name in figures if name == first)


def _columns(figures: _Figures, key: _Key) -> list[npt.NDArray[np.float64]]:
    """Return the columns of texts that a figure is made of; none where there is no such figure."""
    method, protocol, metric = key
    keys = [(method, protocol, name) for name in _OF_MEANS.get(metric, (metric,))]
    return [figures[key] for key in keys if key in figures]


def _estimate(columns: Sequence[npt.NDArray[np.float64]], seed: int) -> statistics.Interval:
    if len(columns) == 1:
        return statistics.bootstrap_mean(columns[0], seed)
    return statistics.bootstrap_of_means(columns, _F1, seed)


def _compare(
    ours: Sequence[npt.NDArray[np.float64]], theirs: Sequence[npt.NDArray[np.float64]], seed: int
) -> statistics.Difference:
    if len(ours) == 1:
        return statistics.paired_difference(ours[0], theirs[0], seed)
    return statistics.paired_difference_of_means(ours, theirs, _F1, seed)


def _row(key: _Key, figures: _Figures, settings: Mapping[str, Any], seed: int) -> Results:
    method, protocol, metric = key
    ours, floor = _columns(figures, key), _columns(figures, (FLOOR, protocol, metric))
    row: Results = {"method": method, "protocol": protocol, "metric": metric}
    row |= _interval(_estimate(ours, seed))
    if floor and metric != "infidelity":  # random scores are not in units of the logit
        of_floor, beside = _estimate(floor, seed), _compare(ours, floor, seed)
        row |= {"floor": of_floor.mean, "floor_low": of_floor.low, "floor_high": of_floor.high}
        row |= {"over_floor": beside.difference, "p_floor": beside.p}
        row |= {"over_floor_low": beside.low, "over_floor_high": beside.high}
    return row | {"settings": _settings(protocol, settings)}


def _settings(protocol: str, settings: Mapping[str, Any]) -> Results:
    found = dict(settings["protocols"].get(protocol, {}))
    if protocol in ("rationales", "hard_rationale"):
        found["hard_rationale"] = settings["rationale"]
    return found


def _curve(key: _Key, found: npt.NDArray[np.float64], seed: int) -> Results:
    points = [statistics.bootstrap_mean(column, seed) for column in found.T]
    method, protocol, metric = key
    return {
        "method": method or "random",
        "protocol": protocol,
        "metric": metric,
        "values": [point.mean for point in points],
        "low": [point.low for point in points],
        "high": [point.high for point in points],
        "n": len(found),
    }


def _pairs(figures: _Figures, seed: int) -> Iterator[Results]:
    known = [method for method in dict.fromkeys(key[0] for key in figures) if method != FLOOR]
    for protocol, headline in HEADLINES.items():
        for metric in (headline.metric, *headline.beside):
            columns = {method: _columns(figures, (method, protocol, metric)) for method in known}
            methods = [method for method in known if columns[method]]
            for a, b in itertools.combinations(methods, 2):
                found = _compare(columns[a], columns[b], seed)
                pair = {"protocol": protocol, "metric": metric, "a": a, "b": b}
                yield pair | found._asdict()
