"""Time this project against its peers, case by case, on the same weights, texts and threads.

    python scripts/benchmark.py --suite predict --peer_python .venv-peers/bin/python --json predict.json
    python scripts/benchmark.py --suite predict --peer_python .venv-peers/bin/python --quick
    python scripts/benchmark.py --size minilm --batch_size 8 --tokens 128
    python scripts/benchmark.py --report predict.json explain.json --into BENCHMARKS.md

Ours and the peer are processes that take turns, A B A B, while the other waits; a first turn does not count. A row has
both medians, and the median and the range of the turns' ratios, ours / peer: where the unit is a rate, larger is
better, else smaller. Nothing is timed where the two give different probabilities. Without --peer_python the peer's
column stays empty; BENCHMARKS.md says how to make that environment. The third command is suite "explain" alone: what
every method costs in units of our own prediction.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import benchmark_bench
import benchmark_processes
import benchmark_suites
import benchmark_turns

HERE = pathlib.Path(__file__).resolve().parent
SIZES = ("tiny", "minilm", "base")
_QUICK = {"repeats": 3, "examples": 12, "reviews": 500, "steps": 8}
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
}


def main(options: argparse.Namespace) -> None:
    """Print the tables, a row as soon as it is measured.

    Raises:
      ValueError: the two sides differ.
      Unavailable: our side cannot even begin.
    """
    if options.report:
        _report(options)
        return
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    os.sched_setaffinity(0, cores)  # the workers inherit it
    threads = str(len(cores))
    os.environ |= _ENVIRONMENT | {"OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    rows: list[benchmark_turns.Row] = []
    with tempfile.TemporaryDirectory() as folder:
        pythons = {"ours": sys.executable, "peers": options.peer_python}

        def start(side: str) -> benchmark_processes.Worker | None:
            if not pythons[side]:
                return None
            script = str(HERE / f"benchmark_{side}.py")
            return benchmark_processes.Worker([pythons[side], script, folder, threads])

        settings = _settings(options)
        preparing = start("ours")
        assert preparing is not None
        material = preparing.ask("prepare", **_material(options, settings))
        told = [preparing.ask("versions")]
        preparing.close()
        bench = benchmark_bench.Bench(
            settings, {**material, **told[0]}, start, lambda row: _tell(rows, row, options.json)
        )
        if versions := bench.side("peers", "versions"):
            told.append(versions())
        line = _line(len(cores), material, [answer["told"] for answer in told], options)
        rows.append(benchmark_turns.Row("machine", line, None, None, "", None, None, None))
        print(f"{line}\n", flush=True)
        try:
            for suite in options.suite:
                function, seconds = benchmark_suites.SUITES[suite]
                bench.begin(suite, min(options.seconds, seconds if options.quick else float("inf")))
                print(f"**{suite}**\n\n{benchmark_turns.HEADER}", flush=True)
                function(bench)
                print()
        finally:
            bench.close()


def _settings(options: argparse.Namespace) -> benchmark_bench.Settings:
    chosen = {name: getattr(options, name) for name in _QUICK}
    if options.quick:
        chosen = {name: min(value, _QUICK[name]) for name, value in chosen.items()}
    return benchmark_bench.Settings(
        **chosen,
        batch_size=options.batch_size,
        tokens=options.tokens,
        recipes=tuple(options.recipes),
        engine=options.engine,
        quick=options.quick,
        methods=tuple(options.methods or ()),
    )


def _material(options: argparse.Namespace, settings: benchmark_bench.Settings) -> dict[str, object]:
    return {
        "size": "" if options.model_dir else options.size,
        "model_dir": options.model_dir,
        "texts_file": options.texts,
        "examples": settings.examples,
        "cut": max(8, settings.batch_size),
        "cut_to": sorted({32, 128, 512, settings.tokens}),
        "for_peers": bool(options.peer_python),
        "methods": settings.methods,
    }


def _line(
    threads: int,
    material: benchmark_processes.Answer,
    versions: Sequence[str],
    options: argparse.Namespace,
) -> str:
    config, lengths = material["config"], material["lengths"]
    weights = options.model_dir or f"random, {options.size}"
    engine = "" if options.engine == "tensorflow" else f"; ours on {options.engine}"
    return (
        f"{benchmark_processes.machine(threads)}; {', '.join(versions)}; {config['layers']} layers, width "
        f"{config['width']} ({pathlib.Path(weights).name}){engine}; {len(lengths)} texts of "
        f"{min(lengths)} to {max(lengths)} tokens, "
        f"{sum(lengths) / len(lengths):.0f} on average{'; --quick' if options.quick else ''}"
    )


def _tell(
    rows: list[benchmark_turns.Row], row: benchmark_turns.Row, file: pathlib.Path | None
) -> None:
    rows.append(row)
    if file:  # at once: a run that is stopped has told what it measured
        benchmark_turns.write(file, rows)
    print(benchmark_turns.line(row), flush=True)


def _report(options: argparse.Namespace) -> None:
    found = benchmark_turns.tables(benchmark_turns.read(options.report))
    if options.into:
        text = options.into.read_text(encoding="utf-8")
        options.into.write_text(benchmark_turns.fill(text, found), encoding="utf-8")
        return
    for suite, table in found.items():
        print(f"**{suite}**\n\n{table}\n")


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    suites = list(benchmark_suites.SUITES)
    parser.add_argument("--suite", nargs="+", choices=suites, default=["explain"])
    parser.add_argument("--peer_python", default="", help="python of requirements-peers.txt")
    parser.add_argument("--quick", action="store_true", help="at most 3 minutes a suite")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows here")
    parser.add_argument(
        "--report", type=pathlib.Path, nargs="+", help="print the tables of such files"
    )
    parser.add_argument("--into", type=pathlib.Path, help="put them into this document instead")
    parser.add_argument(
        "--model_dir", default="", help="a trained classifier, or an encoder (else --size)"
    )
    parser.add_argument("--size", choices=SIZES, default="minilm", help="of a random model")
    parser.add_argument(
        "--texts", default="", help="table with a column text ($BERT_DATA_DIR's IMDb, or a sample)"
    )
    parser.add_argument("--examples", type=int, default=64, help="of these texts")
    parser.add_argument("--threads", type=int, help="(all cores)")
    parser.add_argument("--engine", choices=("tensorflow", "openvino"), default="tensorflow")
    parser.add_argument("--repeats", type=int, default=7, help="turns that count")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="no turn of a case begins after so long"
    )
    parser.add_argument("--reviews", type=int, default=5000, help="of suites agreement and file")
    parser.add_argument("--steps", type=int, default=16, help="of suite train; more than 5")
    recipes = benchmark_suites.RECIPES
    parser.add_argument("--recipes", nargs="+", choices=recipes, default=recipes, help="of predict")
    parser.add_argument("--batch_size", type=int, default=8, help="of the methods' costs")
    parser.add_argument("--tokens", type=int, default=128, help="of the methods' costs")
    parser.add_argument("--methods", type=lambda text: text.split(","), help="with commas (all)")
    try:
        main(parser.parse_args(arguments))
    except KeyboardInterrupt:
        print("benchmark.py: stopped", file=sys.stderr)
        return 130
    except (
        ValueError,
        OSError,
        benchmark_processes.Unavailable,
        subprocess.SubprocessError,
    ) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(cli_main())
