"""Two sides that take turns: medians, ranges, what is refused, and tables.

Standard library only. Leaves to others: the processes that do the work (`benchmark_processes`), which cases there are
(`benchmark_suites`).
"""

import collections
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import benchmark_processes

Ask: TypeAlias = Callable[[], benchmark_processes.Answer]
Outcome: TypeAlias = list[benchmark_processes.Answer] | str | None
"""What a side answered in its turns; why it could not; None where nobody asked it."""

MISSING = "not available: "
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}


class Row(NamedTuple):
    """A line of a table.

    Attributes:
      ours: median; or "not available: ..."; or None where it was not asked.
      ratio: median over the turns of ours / peer; the larger the better where the unit is a rate, else the smaller.
      low: the smallest such ratio.
    """

    suite: str
    case: str
    ours: float | str | None
    peer: float | str | None
    unit: str
    ratio: float | None
    low: float | None
    high: float | None


class Figure(NamedTuple):
    """How an answer becomes a number.

    Attributes:
      name: told behind the case.
      key: of the answer.
      per: what was done in these seconds, for a rate; 0 leaves the number as it is.
    """

    unit: str = "s"
    name: str = ""
    key: str = "seconds"
    per: float = 0.0

    def of(self, answer: benchmark_processes.Answer) -> float:
        """Return the number."""
        value = float(answer[self.key])
        return self.per / value if self.per else value


def take_turns(
    asks: Sequence[Ask | None], repeats: int, *, warm_ups: int = 1, seconds: float = float("inf")
) -> list[Outcome]:
    """Ask the sides one after the other, again and again: A B A B.

    Args:
      asks: None for a side that is left out.
      warm_ups: first turns, which do not count.
      seconds: no turn begins after so long, but one turn always counts.
    """
    start = time.monotonic()
    outcomes: list[Outcome] = [None if ask is None else [] for ask in asks]
    for turn in range(warm_ups + repeats):
        if turn > warm_ups and time.monotonic() - start > seconds:
            break
        for place, ask in enumerate(asks):
            found = outcomes[place]
            if ask is None or not isinstance(found, list):
                continue
            try:
                answer = ask()
            except benchmark_processes.Unavailable as reason:
                outcomes[place] = MISSING + str(reason)
            else:
                if turn >= warm_ups:
                    found.append(answer)
    return outcomes


def row(suite: str, case: str, figure: Figure, ours: Outcome, peer: Outcome) -> Row:
    """Return the medians of both sides, and the median and the range of the turns' ratios."""
    numbers = [
        [figure.of(answer) for answer in side] if isinstance(side, list) else None
        for side in (ours, peer)
    ]
    medians = [
        side if found is None else statistics.median(found)
        for side, found in zip((ours, peer), numbers, strict=True)
    ]
    ratio = low = high = None
    if numbers[0] and numbers[1]:
        ratios = [a / b for a, b in zip(numbers[0], numbers[1], strict=True)]
        ratio, low, high = statistics.median(ratios), min(ratios), max(ratios)
    name = f"{case}: {figure.name}" if figure.name else case
    first, second = medians
    return Row(suite, name, first, second, figure.unit, ratio, low, high)  # type: ignore[arg-type]


def check_probabilities(
    ours: Sequence[Sequence[float]], peer: Sequence[Sequence[float]], precision: str
) -> None:
    """Refuse to time two models that differ.

    Raises:
      ValueError: some probability differs by more than the precision explains.
    """
    differences = [
        abs(a - b)
        for first, second in zip(ours, peer, strict=True)
        for a, b in zip(first, second, strict=True)
    ]
    # not any(">"): NaN must not pass
    if not all(difference <= TOLERANCES[precision] for difference in differences):
        raise ValueError(
            f"both sides must give the same probabilities within {TOLERANCES[precision]:g} in {precision}, but they "
            f"differ by {max(differences):.2g}; nothing is timed, for it would be two different models"
        )


def forward_flops(config: Mapping[str, int], batch: int, tokens: int) -> int:
    """Return the floating-point operations of a forward pass, a multiplication and an addition counted as two.

    2 x matmul parameters x tokens + attention 4 x b x t^2 x d x layers, where a layer has 4 d^2 + 2 d f matmul
    parameters, and scores and mixing take 2 b t^2 d each. Embeddings, pooler, softmax, GELU and LayerNorm are left out.

    >>> forward_flops({"layers": 2, "width": 3, "feed_forward": 12}, batch=5, tokens=7)
    21000
    """
    layers, width, feed_forward = (config[name] for name in ("layers", "width", "feed_forward"))
    parameters = layers * (4 * width**2 + 2 * width * feed_forward)
    return 2 * parameters * batch * tokens + 4 * batch * tokens**2 * width * layers


HEADER = "| case | ours | peer | unit | ours / peer | range |\n|---|---:|---:|---|---:|---:|"


def line(found: Row) -> str:
    """Return a row of the table."""
    ratio = f"**{_told(found.ratio)}**" if found.ratio is not None else ""
    spread = f"{_told(found.low)} to {_told(found.high)}" if found.ratio is not None else ""
    cells = (found.case, _told(found.ours), _told(found.peer), found.unit, ratio, spread)
    return f"| {' | '.join(cells)} |"


def tables(rows: Iterable[Row]) -> dict[str, str]:
    """Return the Markdown of every suite; a row of suite "machine" begins a new table of the suites after it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    told, open_suite = "", ""
    for item in rows:
        if item.suite == "machine":
            told, open_suite = item.case, ""
            continue
        if item.suite != open_suite:
            open_suite = item.suite
            found[open_suite].append(f"\n{told}\n\n{HEADER}")
        found[open_suite].append(line(item))
    return {suite: "\n".join(lines).strip() for suite, lines in found.items()}


def fill(text: str, found: Mapping[str, str]) -> str:
    """Return a document with each suite's tables between its two marks.

    Raises:
      ValueError: a suite has no marks.
    """
    for suite, table in found.items():
        begin, end = f"<!-- {suite} -->", f"<!-- end of {suite} -->"
        before, mark, rest = text.partition(begin)
        _, end_mark, after = rest.partition(end)
        if not (mark and end_mark):
            raise ValueError(
                f"the document must hold {begin} and {end}; add them where the table goes"
            )
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def read(paths: Iterable[pathlib.Path]) -> Iterator[Row]:
    """Yield the rows of files that --json wrote."""
    for path in paths:
        for values in json.loads(path.read_text(encoding="utf-8")):
            yield Row(**values)


def write(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Write rows as a JSON list."""
    path.write_text(
        json.dumps([item._asdict() for item in rows], indent=1) + "\n", encoding="utf-8"
    )


def _told(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
