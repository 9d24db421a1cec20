"""A benchmark's run: asks both sides, by processes that it starts when they are needed, and tells the rows.

Leaves to others: which cases there are (`benchmark_suites`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import benchmark_processes
import benchmark_turns


class Settings(NamedTuple):
    """How a suite runs.

    Attributes:
      examples: texts in their own lengths.
      reviews: texts that both precisions are compared on.
      steps: of a training.
      recipes: of the peers in suite "predict".
      methods: of the table of costs; none are all of them.
    """

    repeats: int
    examples: int
    batch_size: int
    tokens: int
    reviews: int
    steps: int
    recipes: Sequence[str]
    engine: str = "tensorflow"
    quick: bool = False
    methods: Sequence[str] = ()


class Bench:
    """Asks both sides and keeps the rows."""

    def __init__(
        self,
        settings: Settings,
        material: Mapping[str, Any],
        start: Callable[[str], benchmark_processes.Worker | None],
        tell: Callable[[benchmark_turns.Row], None],
    ) -> None:
        """Start nothing yet.

        Args:
          start: starts a process of a side, "ours" or "peers"; None where the side is left out.
          tell: gets every row as soon as it is measured.
        """
        self.settings, self.material = settings, material
        self._start, self._tell = start, tell
        self._workers: dict[str, benchmark_processes.Worker | None] = {}
        self.suite, self._seconds = "", float("inf")

    def begin(self, suite: str, seconds: float) -> None:
        """Name the suite that the next rows belong to, and how long each of its cases may take turns."""
        self.suite, self._seconds = suite, seconds

    def side(self, name: str, case: str, **options: Any) -> benchmark_turns.Ask | None:
        """Return how a side is asked; a name such as "peers:lxt" is a process of its own."""
        worker = self._workers.get(name)
        if name not in self._workers or (worker and worker.has_ended):
            worker = self._workers[name] = self._start(name.partition(":")[0])
        return None if worker is None else lambda: worker.ask(case, **options)

    def ours(
        self, case: str, precision: str = "float32", **options: Any
    ) -> benchmark_turns.Ask | None:
        """Return how our side is asked, by the chosen engine."""
        return self.side("ours", case, precision=precision, engine=self.settings.engine, **options)

    def fresh(self, name: str, case: str, **options: Any) -> benchmark_turns.Ask | None:
        """Return how a new process is asked each time.

        `import` is the time until it answers at all, `all` until its first text is answered.
        """
        if self.side(name, "versions") is None:
            return None

        def ask() -> benchmark_processes.Answer:
            worker = self._start(name)
            assert worker is not None
            begun = benchmark_processes.timed(lambda: worker.ask("versions"))
            answer = worker.ask(case, **options)
            worker.close()
            return {**answer, "import": begun, "all": begun + answer["load"] + answer["first"]}

        return ask

    def measure(
        self,
        case: str,
        ours: benchmark_turns.Ask | None,
        peer: benchmark_turns.Ask | None,
        *figures: benchmark_turns.Figure,
        repeats: int | None = None,
        warm_ups: int = 1,
    ) -> list[benchmark_turns.Row]:
        """Let two sides take turns and tell a row a figure."""
        return self.compare(ours, {case: peer}, *figures, repeats=repeats, warm_ups=warm_ups)

    def compare(
        self,
        ours: benchmark_turns.Ask | None,
        peers: Mapping[str, benchmark_turns.Ask | None],
        *figures: benchmark_turns.Figure,
        repeats: int | None = None,
        warm_ups: int = 1,
    ) -> list[benchmark_turns.Row]:
        """Let our side and several of the peer, by their cases, take turns, A B C A B C, and tell a row a figure."""
        first, *others = benchmark_turns.take_turns(
            (ours, *peers.values()),
            repeats or self.settings.repeats,
            warm_ups=warm_ups,
            seconds=self._seconds,
        )
        rows = [
            benchmark_turns.row(self.suite, case, figure, first, other)
            for case, other in zip(peers, others, strict=True)
            for figure in figures
        ]
        for row in rows:
            self._tell(row)
        return rows

    def leave_out(self, case: str, reason: str) -> None:
        """Tell that a peer was not timed."""
        self._tell(benchmark_turns.Row(self.suite, case, None, reason, "", None, None, None))

    def agree(self, precision: str) -> None:
        """Refuse to go on where the two sides give other probabilities; a side that has none is told in its rows.

        Raises:
          ValueError: they differ.
        """
        asked = {"texts": "texts", "count": min(16, self.settings.examples)}
        sides = (
            self.ours("probabilities", precision, **asked),
            self.side("peers", "probabilities", precision=precision, **asked),
        )
        found = benchmark_turns.take_turns(sides, 1, warm_ups=0)
        answers = [side[0]["probabilities"] for side in found if isinstance(side, list)]
        if len(answers) == 2:
            benchmark_turns.check_probabilities(answers[0], answers[1], precision)

    def close(self) -> None:
        """Let all processes end."""
        for worker in self._workers.values():
            if worker is not None:
                worker.close()
