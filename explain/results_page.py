"""Results of an evaluation as a page of Markdown tables, one a protocol, the best method first.

Leaves to others: the figures (`results`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from explain import results as results_lib
from explain import statistics

_WORDS_TOLD = 10
_BESIDE_FLOOR = {"over_floor": "+", "p_floor_holm": ""}  # with the sign that it is told with


def to_markdown(results: results_lib.Results, title: str) -> str:
    """Return the tables of results, one a protocol, the best method first, and what to make of each."""
    parts = [f"# {title}", _facts(results)]
    for protocol, headline in results_lib.HEADLINES.items():
        rows = [row for row in results["rows"] if row["protocol"] == protocol]
        of_metric = [row for row in rows if row["metric"] == headline.metric and row["n"]]
        if of_metric:
            parts.append(_protocol_table(results, protocol, headline, rows, of_metric))
    others = {
        row["protocol"]: None
        for row in results["rows"]
        if row["protocol"] not in results_lib.HEADLINES
    }
    for protocol in others:
        rows = [row for row in results["rows"] if row["protocol"] == protocol]
        metrics = list(dict.fromkeys(row["metric"] for row in rows))
        table = [["method", *metrics]]
        for method in dict.fromkeys(row["method"] for row in rows):
            mine = {row["metric"]: row for row in rows if row["method"] == method}
            table.append([f"`{method}`", *(_told(mine.get(metric)) for metric in metrics)])
        parts += [f"## {protocol}", _markdown(table)]
    parts += _word_parts(results)
    return "\n\n".join(parts) + "\n"


def _facts(results: results_lib.Results) -> str:
    lines = [f"{results['texts']:,} texts."]
    if "accuracy" in results:
        lines.append(
            f"Accuracy {_told(results['accuracy'])}; expected calibration error "
            f"{results['expected_calibration_error']:.3f}."
        )
    if any(row["protocol"] == "rationales" for row in results["rows"]):
        lines.append(f"Hard rationales hold the top {results['settings']['rationale']}.")
    lines.append(
        "Intervals are bootstrap intervals of 95 % over the texts (of words: over their occurrences). `=` marks "
        f"methods that are not told apart from the best (paired bootstrap over texts, p >= {results_lib.ALPHA}), in "
        "the columns by which a table is not sorted the best too; "
        "p-values hold for all methods of a table together (Holm). The floor is the mean of "
        f"{results['settings']['draws']} random rankings."
    )
    return " ".join(lines)


def _protocol_table(
    results: results_lib.Results,
    protocol: str,
    headline: results_lib.Headline,
    rows: Sequence[results_lib.Results],
    of_metric: Sequence[results_lib.Results],
) -> str:
    sign = -1 if headline.is_higher_better else 1
    ranked = sorted(of_metric, key=lambda row: sign * row["value"])
    alike = _not_told_apart(results, ranked[0])
    more = list(dict.fromkeys(row["metric"] for row in rows if row["metric"] != headline.metric))
    table = [["method", headline.metric, "from floor", "p", "texts", *more]]
    like_best = {
        metric: _like_best([row for row in rows if row["metric"] == metric], results, is_higher)
        for metric, is_higher in headline.beside.items()
    }
    for row in ranked:
        mine = {other["metric"]: other for other in rows if other["method"] == row["method"]}
        mark = " =" if row["method"] in alike else ""
        over, p = (_number(row.get(name), sign) for name, sign in _BESIDE_FLOOR.items())
        others = (
            _number(mine.get(metric, {}).get("value"))
            + (" =" if row["method"] in like_best.get(metric, ()) else "")
            for metric in more
        )
        table.append([f"`{row['method']}`{mark}", _told(row), over, p, f"{row['n']:,}", *others])
    floor = ranked[0].get("floor")
    removal = results["settings"]["protocols"].get(protocol, {}).get("removal")
    told = f"{headline.means[0].upper()}{headline.means[1:]}" + (
        f" (by {removal})" if removal else ""
    )
    text = f"{told}. {'Higher' if headline.is_higher_better else 'Lower'} is better."
    if floor is not None:
        table.append(["random (floor)", _number(floor), *[""] * (3 + len(more))])
        if all(_most_gained(row, sign) < results_lib.MARGIN for row in ranked):
            text += (
                f" **No method is better than chance by {results_lib.MARGIN} or more: here explanations say nothing "
                "of what the model reads.**"
            )
        elif not any(_beats_chance(row, sign) for row in ranked):
            text += " **No method can be told from chance by so few texts.**"
        if worse := [row["method"] for row in ranked if _beats_chance(row, -sign)]:
            text += f" **Worse than chance: {', '.join(f'`{name}`' for name in worse)}.**"
    return "\n\n".join([f"## {protocol}", text, _markdown(table)])


def _like_best(
    rows: Sequence[results_lib.Results], results: results_lib.Results, is_higher_better: bool
) -> set[str]:
    """Return the best method by a figure and those that are not told apart from it."""
    known = [row for row in rows if row["n"]]
    if len(known) < 2:
        return set()
    best = (max if is_higher_better else min)(known, key=lambda row: row["value"])
    return {best["method"], *_not_told_apart(results, best)}


def _not_told_apart(results: results_lib.Results, best: results_lib.Results) -> set[str]:
    """Return the methods whose figures may be the best one's, all comparisons with it taken together."""
    pairs = [
        pair
        for pair in results["pairs"]
        if all(pair[name] == best[name] for name in ("protocol", "metric"))
        and best["method"] in (pair["a"], pair["b"])
    ]
    held = statistics.holm([pair["p"] for pair in pairs])
    return {
        pair["b"] if pair["a"] == best["method"] else pair["a"]
        for pair, p in zip(pairs, held, strict=True)
        if not p < results_lib.ALPHA  # NaN: no text in common
    }


def _most_gained(row: results_lib.Results, sign: int) -> float:
    """Return the upper end of the interval of what a row gains over its floor."""
    return float(row["over_floor_high"] if sign < 0 else -row["over_floor_low"])


def _beats_chance(row: results_lib.Results, sign: int) -> bool:
    """Tell whether a row is surely better than its floor, where `sign` is -1 if higher is better."""
    gain: float = -sign * row["over_floor"]
    return gain >= results_lib.MARGIN and bool(row["p_floor_holm"] < results_lib.ALPHA)


def _word_parts(results: results_lib.Results) -> Iterator[str]:
    """Yield the words that drive each class, and whether their signs are a lexicon's."""
    table = [["method", "class", "words, the highest mean first", "the lowest first"]]
    for method, classes in results.get("words", {}).items():
        for name, sides in classes.items():
            ends = (_in_cell(_words(sides[side])) for side in ("top", "bottom"))
            table.append([f"`{method}`", _in_cell(name), *ends])
    if len(table) > 1:
        yield "## words"
        yield "Mean score of a word where its class is explained, and how often it stands in the texts."
        yield _markdown(table)
    table = [["method", "right sign", "by chance", "AUC", "words"]]
    for method, row in results.get("polarity", {}).items():
        count = row["positive"] + row["negative"]
        told = (_told(row["right_sign"]), _number(row["majority"]), _number(row["auc"]))
        table.append([f"`{method}`", *told, f"{count:,}"])
    if len(table) > 1:
        yield "## polarity"
        yield "Share of the lexicon's words whose mean score has their sign."
        yield _markdown(table)


def _words(rows: Sequence[results_lib.Results]) -> str:
    return ", ".join(
        f"{row['word']} ({row['value']:.2g}, {row['n']})" for row in rows[:_WORDS_TOLD]
    )


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _told(row: Mapping[str, Any] | None) -> str:
    if row is None or not row["n"]:
        return ""
    if row["low"] is None:
        return _number(row["value"])
    return f"{_number(row['value'])} [{_number(row['low'])}, {_number(row['high'])}]"


def _number(value: float | None, sign: str = "") -> str:
    if value is None or math.isnan(value):
        return ""
    return format(value, f"{sign}.3f" if abs(value) < 1000 else f"{sign}.3g")


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *body = table
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ruler, *body))
