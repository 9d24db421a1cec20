"""A job's parts written by the workers of an Apache Beam pipeline: on this machine, or wherever a runner has workers.

What travels through the pipeline is where parts begin, never a text: workers read, explain and write by themselves, so
that memory grows with no file, and need the model, the files and the output's folder under the same paths. Each worker
process keeps one warm model. Leaves to others: parts and shards (`bulk_shards`).
"""

import pathlib
import re
from collections.abc import Iterator, Sequence

import apache_beam as beam
import grpc
from apache_beam.metrics import metric
from apache_beam.options import pipeline_options
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.utils import shared

from explain import bulk_answers
from explain import bulk_rows
from explain import bulk_shards

_Place = tuple[str, int, int, int]  # a bulk_rows.Part, as Beam's coders know tuples
_FAULTS = (RuntimeError, ValueError, OSError, grpc.RpcError, grpc.FutureTimeoutError)


class _Cut(beam.DoFn):
    """Find the parts of a file."""

    def __init__(self, rows_per_shard: int) -> None:
        self._rows_per_shard = rows_per_shard

    def process(self, path: str) -> Iterator[_Place]:
        for part in bulk_rows.parts(path, self._rows_per_shard):
            yield part.path, part.offset, part.line, part.records


class _Explain(beam.DoFn):
    """Write a part."""

    def __init__(self, job: bulk_shards.Job, folder: pathlib.Path) -> None:
        self._job, self._folder = job, folder
        self._shared = shared.Shared()
        self._counters = {
            name: metric.Metrics.counter("bulk_explain", name)
            for name in bulk_shards.Counts._fields
        }

    def setup(self) -> None:
        self._answers = self._shared.acquire(lambda: bulk_answers.Answers(self._job.question))

    def process(self, place: _Place) -> None:
        part = bulk_rows.Part(*place)
        counts = bulk_shards.write(self._job, self._folder, part, self._answers)
        for name, count in counts._asdict().items():
            self._counters[name].inc(count)


def run(job: bulk_shards.Job, beam_arguments: Sequence[str] = ()) -> bulk_shards.Published:
    """Run a job to its end, from where an earlier run of it stopped.

    Args:
      beam_arguments: options of Beam's and of its runner, as `--runner=DirectRunner`.

    Raises:
      FileNotFoundError: an input or the model is not there.
      ValueError: as `bulk_shards.claimed`, or a worker failed, and what it said last.
    """
    options = pipeline_options.PipelineOptions(list(beam_arguments))
    with bulk_shards.claimed(job) as folder:
        pipeline = beam.Pipeline(_runner(options), options)
        _ = (
            pipeline
            | "Files" >> beam.Create(job.inputs)
            | "Parts" >> beam.ParDo(_Cut(job.rows_per_shard))
            | "To all workers" >> beam.Reshuffle()
            | "Explain" >> beam.ParDo(_Explain(job, folder))
        )
        try:
            pipeline.run().wait_until_finish()
        except _FAULTS as error:
            raise ValueError(f"the run must end without a fault, got {_told(error)}") from error
        return bulk_shards.publish(job, folder)


def _runner(
    options: pipeline_options.PipelineOptions,
) -> str | fn_runner.FnApiRunner:
    """Return the runner that was asked for.

    Beam's DirectRunner first looks for Prism, a program that it would fetch; what it falls back on is taken at once.
    """
    named = options.view_as(pipeline_options.StandardOptions).runner
    return fn_runner.FnApiRunner() if named in (None, "DirectRunner") else str(named)


def _told(error: BaseException) -> str:
    """Return the last that a worker said: its fault stands at the end of a traceback, before the name of the step."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    faults = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    last = (faults or lines or [type(error).__name__])[-1]
    return re.sub(r"\s*\[while running .*", "", last)
