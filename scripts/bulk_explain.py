r"""Explain or classify any number of texts, on one machine or many: files in, shards of records out (Apache Beam).

    python scripts/bulk_explain.py --model_dir out/demo --input 'texts/*.jsonl' --output out/bulk/run \
        --dead_letters out/bulk/run-dead.jsonl --methods gradient_x_input
    python scripts/bulk_explain.py --model_dir out/demo --input more.tsv.gz --output out/bulk/more \
        --dead_letters out/bulk/more-dead.jsonl --methods none --output_format parquet \
        --direct_running_mode=multi_processing --direct_num_workers=2

Reads .tsv, .csv, .jsonl and .tfrecord files, each also .gz; TFRecords hold tf.train.Examples with bytes features `text`
and, where there are, `text_b`, `id` and the one that --labels names. <output>-00000-of-00007.jsonl and so on
(`explain.explanation.read_jsonl` reads them) appear when the last text is done. Rows that cannot be explained go to the
dead letters with file, line and reason. A run that was stopped goes on when the same command is given again; a complete
one is refused. Options that are not listed here are Beam's: --runner (DirectRunner), --direct_running_mode,
--direct_num_workers, --job_endpoint, --environment_type ... Needs `pip install -r requirements-beam.txt`.
"""

import argparse
import glob
import logging
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn, get_args

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import failures
from bert import project_config
from explain import explainer
from explain import methods

_log = logging.getLogger(__name__)


def matched(patterns: list[str]) -> tuple[str, ...]:
    """Return the files of one or more globs, each once, in the order of their names.

    Raises:
      ValueError: a glob has none.
    """
    found = set()
    for pattern in patterns:
        names = glob.glob(pattern, recursive=True)
        if not names:
            raise ValueError(f"--input must match at least one file, got none for {pattern!r}")
        found.update(names)
    return tuple(sorted(found))


def require_known(arguments: Sequence[str]) -> None:
    """Refuse options that are not Beam's either; Beam would go on without them.

    Raises:
      ValueError: there is one.
    """
    from apache_beam.options import pipeline_options

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    groups = {str(group): group for group in pipeline_options.PipelineOptions.__subclasses__()}
    for group in groups.values():
        group._add_argparse_args(parser)  # type: ignore[arg-type]  # any parser will do
    _, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise ValueError(
            f"options must be this command's or Beam's, got {' '.join(unknown)}; see --help"
        )


def end(status: int, line: str) -> NoReturn:
    """End this process at once: Beam's local workers would be waited for, and some never answer again."""
    _log.error("bulk_explain.py: %s", line)
    os._exit(status)


def end_with_a_worker(failed: threading.ExceptHookArgs) -> None:
    """End where a worker process has ended: Beam only tells so in a thread, and waits on."""
    if "Worker subprocess exited" in str(failed.exc_value):
        end(1, f"a worker was stopped ({failed.exc_value}); run again to go on from what is done")
    threading.__excepthook__(failed)


def main(options: argparse.Namespace, beam_arguments: list[str]) -> None:
    """Run the job and print what was written."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # a fault of a worker is told below
    logging.disable(logging.WARNING)  # Beam misses Google's libraries, which nothing here needs
    try:
        from explain import bulk
        from explain import bulk_answers
        from explain import bulk_rows
        from explain import bulk_shards
    except ModuleNotFoundError as error:
        raise ValueError(
            f"scripts/bulk_explain.py needs {error.name}; pip install -r requirements-beam.txt"
        ) from None
    finally:
        logging.disable(logging.NOTSET)
    require_known(beam_arguments)
    text_columns = (options.text_column,) if options.text_column else bulk_rows.TEXT_COLUMNS
    job = bulk_shards.Job(
        bulk_answers.Question(
            options.model_dir, options.methods, options.target, options.long_text
        ),
        matched(options.input),
        options.output,
        options.dead_letters,
        bulk_rows.Columns(text_columns, options.text_b_column, options.labels),
        options.output_format,
        options.rows_per_shard,
    )
    published = bulk.run(job, beam_arguments)
    counts = published.counts
    print(
        f"{published.shards[0]}: the first of {len(published.shards)} shards, {counts.records} records"
    )
    print(f"{options.dead_letters}: {counts.dead} dead letters")
    print(f"read {counts.read}, explained {counts.explained}, dead {counts.dead}")


def method_names(text: str) -> tuple[str, ...]:
    """Return the methods of a list with commas; "none" or nothing is none."""
    names = project_config.split_names(text)
    return () if names == ("none",) else names


def whole_number(text: str) -> int:
    """Return a number of a command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model_dir", required=True, help="a trained folder or Hugging Face classifier"
    )
    parser.add_argument("--input", nargs="+", required=True, metavar="GLOB", help="files")
    parser.add_argument("--output", required=True, metavar="PREFIX", help="of the shards' names")
    parser.add_argument("--dead_letters", required=True, metavar="PATH", help="JSON lines")
    parser.add_argument(
        "--methods",
        type=method_names,
        required=True,
        help=f"one or more, with commas: {', '.join(methods.METHODS)}, or your own as package.module:function; none: "
        "probabilities alone",
    )
    parser.add_argument(
        "--target",
        default="predicted",
        help="predicted, gold, a label, a-b for the lead of a over b, or all (predicted)",
    )
    parser.add_argument("--text_column", help="unset: text, sentence or review")
    parser.add_argument("--text_b_column", help="of the second text, for pairs")
    parser.add_argument("--labels", metavar="COLUMN", help="of the true labels")
    parser.add_argument(
        "--long_text", choices=get_args(explainer.LongText), default="cut", help="(cut)"
    )
    parser.add_argument(
        "--output_format", choices=("jsonl", "parquet"), default="jsonl", help="(jsonl)"
    )
    parser.add_argument(
        "--rows_per_shard", type=whole_number, default=1000, help="packed files are one (1000)"
    )
    options, beam_arguments = parser.parse_known_args(arguments)
    return failures.exit_status("bulk_explain.py", lambda: main(options, beam_arguments))


if __name__ == "__main__":
    # for worker processes: this project, and the folder where a module of one's own usually is
    paths = [sys.path[0], os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, os.getcwd())
    threading.excepthook = end_with_a_worker
    signal.signal(signal.SIGINT, lambda *_: end(130, "stopped"))
    sys.exit(cli_main())
