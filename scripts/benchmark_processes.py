"""The processes of a benchmark: they answer one case at a time, and tell what machine they ran on.

Standard library only, for the processes of both sides read their cases with `serve`.
"""

import contextlib
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Answer: TypeAlias = Mapping[str, Any]
_FAULTS: tuple[type[Exception], ...] = (  # a side that fails is a row that says so
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_SKIPPED = 4  # ends: the first that counts begins at the fifth
_FLAGS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


class Material:
    """What both sides of a benchmark work on, as `benchmark_material` wrote it."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read the file."""
        self._found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))

    def __getitem__(self, name: str) -> Any:
        """Return what goes by a name."""
        return self._found[name]

    def texts(self, name: str, count: int) -> list[str]:
        """Return the first texts of that name."""
        found: list[str] = self._found[name][:count]
        return found

    def pool(self, start: int, count: int) -> list[str]:
        """Return texts one after the other, from the first again where there are no more."""
        pool = self._found["pool"]
        return [pool[index % len(pool)] for index in range(start, start + count)]


class Unavailable(Exception):
    """A side cannot run a case; the message says why."""


class Worker:
    """A process that answers one case at a time, and waits in between."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it; it is ready when the first answer comes."""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},  # what is printed and said stays in order
        )

    def ask(self, case: str, **options: object) -> Answer:
        """Return what the process answers.

        Raises:
          Unavailable: it cannot run the case, or has died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            print(json.dumps({"case": case, **options}), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = [text for text in self._errors.read().splitlines() if text.strip()][-1:]
            raise Unavailable(f"the process ended: {' '.join(last) or self._process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        return answer

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Let the process end."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._errors.close()


def serve(
    jobs: Mapping[str, Callable[..., Answer]], faults: tuple[type[Exception], ...] = ()
) -> None:
    """Answer cases from stdin until it closes; what libraries print goes to stderr.

    Args:
      faults: of the side's own libraries, beyond Python's, that make a case unavailable.
    """
    caught = (*_FAULTS, *faults)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        options = json.loads(line)
        case = options.pop("case")
        try:
            answer: Answer = (
                jobs[case](**options) if case in jobs else {"unavailable": f"no {case}"}
            )
        except caught as fault:
            told = " ".join(str(fault).split())
            answer = {"unavailable": f"{type(fault).__name__}: {told[:500]}"}
        print(json.dumps(answer), file=answers, flush=True)


def run_command(command: Sequence[str]) -> dict[str, float]:
    """Run a whole command and return its seconds and its largest memory.

    Raises:
      RuntimeError: it failed; the message ends as its own last words.
    """
    mebibytes = 0.0
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            mebibytes = max(mebibytes, _peak_mebibytes(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        seconds = time.perf_counter() - start
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command[:3])}: {errors.read().strip()[-200:]}")
    return {"seconds": seconds, "mebibytes": mebibytes}


def _peak_mebibytes(process: int) -> float:
    """Return the largest resident memory of a running process; rusage would count its parent's in."""
    with contextlib.suppress(OSError):  # it may have ended this moment
        status = pathlib.Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) / 1024
    return 0.0


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that it took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rate(ends: Sequence[float], amount: float) -> float:
    """Return how much was done a second, from the ends of steps; the first five, which build graphs, do not count.

    >>> rate([0.0, 9.0, 9.0, 9.0, 10.0, 12.0, 14.0], amount=8)
    4.0
    """
    return amount * (len(ends) - 1 - _SKIPPED) / (ends[-1] - ends[_SKIPPED])


def percentiles(seconds: Sequence[float], name: str) -> dict[str, float]:
    """Return the median and the 95th percentile of calls that took so long, as `p50_<name>` and `p95_<name>`."""
    ordered = sorted(seconds)
    last = min(len(ordered) - 1, int(0.95 * len(ordered)))
    return {f"p50_{name}": statistics.median(ordered), f"p95_{name}": ordered[last]}


def machine(threads: int) -> str:
    """Return what the figures depend on."""
    lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    present = set(facts.get("flags", "").split())
    has = [name for name in _FLAGS if name in present]
    lacks = [name for name in _FLAGS[:2] if name not in present]
    return (
        f"{facts.get('model name', platform.machine())}, {os.cpu_count()} cores, {threads} threads, "
        f"{' '.join(has)}{' (no ' + ' '.join(lacks) + ')' if lacks else ''}"
    )
