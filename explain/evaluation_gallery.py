"""What an evaluation leaves in a folder beside its JSON: tables, figures, files for ERASER's scorer.

Leaves to others: the figures' looks (`evaluation_plots`), the tables' (`results_page`).
"""

import glob
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from bert import files
from explain import corpus
from explain import eraser_files
from explain import evaluation
from explain import evaluation_files
from explain import evaluation_plots
from explain import explanation
from explain import faithfulness
from explain import gallery
from explain import rationales as rationales_lib
from explain import results as results_lib
from explain import results_page
from explain import statistics

_CURVES = (  # protocol, metric, places, what they are, what is followed
    ("deletion", "curve", faithfulness.CURVE_SHARES, "words removed, %", "probability"),
    ("insertion", "curve", faithfulness.CURVE_SHARES, "words back, %", "probability"),
    (
        "word_deletion",
        "kept",
        range(faithfulness.MOST_DELETED_WORDS + 1),
        "words removed",
        "share still right",
    ),
)
_OF_ALL = ("agreement", "heads_gradient", "heads_ablation", "words_[0-9]*")
_INTERVAL, _FLOOR = ("value", "low", "high"), ("floor", "floor_low", "floor_high")


def write_tables(results: results_lib.Results, path: pathlib.Path, title: str) -> pathlib.Path:
    """Write <path>.md."""
    target = path.with_suffix(".md")
    files.write_text(target, results_page.to_markdown(results, title))
    return target


def draw(
    results: results_lib.Results, lines: pathlib.Path, path: pathlib.Path
) -> list[pathlib.Path]:
    """Write <path>_<name>.png for each figure that the results allow, and return their paths.

    Figures of earlier results that these do not allow are removed.

    Args:
      lines: the evaluation's file of lines.
    """
    written = []
    for name, figure in _figures(results, lines):
        written.append(path.with_name(f"{path.stem}_{name}.png"))
        gallery.save_figure(figure, written[-1])
    names = [*_OF_ALL, *(protocol for protocol, *_ in _CURVES)]
    names += [f"{protocol}_methods" for protocol in results_lib.HEADLINES]
    for name in names:
        _remove_others(path.parent, f"{glob.escape(path.stem)}_{name}.png", written)
    return written


def write_eraser(
    results: results_lib.Results,
    lines: pathlib.Path,
    path: pathlib.Path,
    labels: Sequence[str],
    marked: Mapping[str, rationales_lib.Rationale],
    top_k: rationales_lib.TopK,
) -> list[pathlib.Path]:
    """Write <path>_eraser/, which ERASER's scorer reads: the data as split `test`, and <method>.jsonl for each method.

    Its IOU is then that of merged spans, the means of our `iou_precision` and `iou_recall`. What the model answers
    without the rationale is there where `evaluation.with_hard_rationale` asked for it.
    """
    folder = path.with_name(f"{path.stem}_eraser")
    count = results["texts"]
    read = [marked[line["guid"]] for line in evaluation_files.lines_of(lines, count)]
    eraser_files.write_data(folder, "test", [item for item in read if any(item.mask)])
    written = [folder / "test.jsonl"]
    for method in dict.fromkeys(row["method"] for row in results["rows"]):
        found = evaluation_files.lines_of(lines, count)
        predictions = _predictions(found, method, labels, marked, top_k)
        written.append(folder / f"{method}.jsonl")
        eraser_files.write_predictions(written[-1], predictions)
    _remove_others(folder, "*.jsonl", written)
    return [folder]


def _remove_others(folder: pathlib.Path, pattern: str, written: Sequence[pathlib.Path]) -> None:
    for path in folder.glob(pattern):
        if path not in written:
            path.unlink()


def _predictions(
    lines: Iterable[evaluation.Line],
    method: str,
    labels: Sequence[str],
    marked: Mapping[str, rationales_lib.Rationale],
    top_k: rationales_lib.TopK,
) -> Iterator[eraser_files.Prediction]:
    for line in lines:
        item = marked[line["guid"]]
        if any(item.mask):
            records = evaluation_files.records([line], labels)
            record = next(record for record in records if record.method == method)
            scores = rationales_lib.token_scores(item.tokens, record.words, record.scores)
            spans = rationales_lib.spans(rationales_lib.hard_rationale(scores, top_k))
            answers = _answers(record, line["measures"][method].get("hard_rationale"))
            yield eraser_files.Prediction(record.guid, scores, spans, answers)


def _answers(
    record: explanation.Explanation, measured: faithfulness.Metrics | None
) -> eraser_files.Answers | None:
    """Return what was answered to parts of a text; of a text without words there is no part but itself."""
    if measured is None:
        return None
    bins = len(faithfulness.ERASER_BINS)
    found = measured.get("probabilities", [record.probabilities] * (3 + 2 * bins))
    rows = np.reshape(found, (3 + 2 * bins, len(record.labels))).tolist()
    full, without, only, *parts = (dict(zip(record.labels, row, strict=True)) for row in rows)
    steps = zip(faithfulness.ERASER_BINS, parts[:bins], parts[bins:], strict=True)
    thresholds = tuple(eraser_files.Threshold(percent / 100, *pair) for percent, *pair in steps)
    return eraser_files.Answers(record.predicted, full, without, only, thresholds)


def _figures(
    results: results_lib.Results, lines: pathlib.Path
) -> Iterator[tuple[str, evaluation_plots.Figure]]:
    for protocol, metric, places, x_label, y_label in _CURVES:
        found = evaluation_files.lines_of(lines, results["texts"])
        curves = results_lib.curves(found, protocol, metric)
        floor = curves.pop(results_lib.FLOOR, None)
        if curves:
            yield (
                protocol,
                evaluation_plots.deletion_curves(
                    curves, places, floor, title=protocol, x_label=x_label, y_label=y_label
                ),
            )
    for protocol, headline in results_lib.HEADLINES.items():
        rows = [
            row
            for row in results["rows"]
            if (row["protocol"], row["metric"]) == (protocol, headline.metric) and row["n"]
        ]
        if rows and "floor" in rows[0]:
            yield (
                f"{protocol}_methods",
                evaluation_plots.method_comparison(
                    {row["method"]: _interval(row, _INTERVAL) for row in rows},
                    _interval(rows[0], _FLOOR),
                    title=protocol,
                    x_label=f"{headline.metric}: {headline.means}",
                ),
            )
    for way, heads in results.get("heads", {}).items():
        means = np.array(heads["mean"])
        yield f"heads_{way}", evaluation_plots.head_importance(means, title=f"Heads, by {way}")
    yield from _word_figures(results)
    found = results["agreement"]
    grid = corpus.Grid(
        tuple(found["methods"]), np.array(found["spearman"]), np.array(found["texts"])
    )
    yield (
        "agreement",
        evaluation_plots.correlation_grid(
            grid, title="Agreement of methods", meaning="Spearman's rho", counted="texts"
        ),
    )


def _word_figures(results: results_lib.Results) -> Iterator[tuple[str, evaluation_plots.Figure]]:
    """Yield the words of each class by the first method whose scores have a sign, or the first of all."""
    if "words" not in results:
        return
    methods = sorted(results["words"].items(), key=lambda item: not results["signed"][item[0]])
    for method, classes in methods[:1]:
        for name, sides in classes.items():
            index = results["settings"]["labels"].index(name)
            table = corpus.WordTable(
                *(
                    tuple(corpus.WordRow(row["word"], _interval(row, _INTERVAL)) for row in rows)
                    for rows in sides.values()
                )
            )
            if table.top:
                yield (
                    f"words_{index}",
                    evaluation_plots.word_table(table, title=f"Words of {name}, by {method}"),
                )


def _interval(row: results_lib.Results, names: Sequence[str]) -> statistics.Interval:
    mean, low, high = (row[name] for name in names)
    return statistics.Interval(mean, low, high, row["n"])
