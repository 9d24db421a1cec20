"""Look for bytes that break a reader, with a fuzzer that follows which lines of the code they reach (atheris).

    pip install -r requirements-fuzz.txt
    python scripts/fuzz.py --target table --seconds 300

A finding ends the run with another status than 0; what counts as one is in `fuzz_targets.py`, and 5 seconds for one
input. The input is left in --output_dir: mend the reader and copy it to tests/fuzz/TARGET, where every run begins and
which a test reads. Inputs that reached new lines are kept in --output_dir/TARGET, and the next run begins there too.
"""

import argparse
import functools
import multiprocessing
import pathlib
import sys
import tempfile
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

CORPUS = ROOT / "tests" / "fuzz"
MEMORY = pathlib.Path("/dev/shm")  # a disk takes 20 times as long to write a file over


def fuzz(target: str, arguments: Sequence[str], folder: pathlib.Path, found: pathlib.Path) -> None:
    """Run the fuzzer, which ends the process.

    Args:
      folder: for the files of the readers.
      found: file for an input that is a finding.
    """
    import atheris  # here, for who only asks for --help

    with atheris.instrument_imports(include=["bert", "explain", "yaml"]):
        import fuzz_targets
    read = functools.partial(fuzz_targets.TARGETS[target], folder)

    def check(data: bytes) -> None:
        try:
            read(data)
        except Exception:
            found.write_bytes(data)
            raise

    atheris.Setup(["fuzz.py", *arguments], check)
    atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0: nothing was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    targets = sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
    parser.add_argument("--target", choices=targets, required=True)
    parser.add_argument("--seconds", type=int, default=60, help="(60)")
    parser.add_argument("--output_dir", type=pathlib.Path, default="out/fuzz", help="(out/fuzz)")
    options = parser.parse_args(arguments)
    kept = options.output_dir / options.target
    kept.mkdir(parents=True, exist_ok=True)
    given = ["-timeout=5", f"-max_total_time={options.seconds}", f"-dict={CORPUS / 'words.dict'}"]
    given += [f"-artifact_prefix={kept}-", str(kept), str(CORPUS / options.target)]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        # a process of its own: the fuzzer ends the one that it runs in, and the folder would stay
        found = kept.with_name(f"{options.target}-found")
        child = multiprocessing.Process(
            target=fuzz, args=(options.target, given, pathlib.Path(folder), found)
        )
        child.start()
        child.join()
    return child.exitcode or 0


if __name__ == "__main__":
    sys.exit(main())
