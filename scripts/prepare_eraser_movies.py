"""Write ERASER's movie reviews as tables for `run_classifier.py` and as rationales for `evaluate_explanations.py`.

    python scripts/prepare_eraser_movies.py --output_dir out/data/movies --input movies.tar.gz
    python run_classifier.py --train_file out/data/movies/train.tsv --dev_file out/data/movies/dev.tsv ...

The input is the archive of movies from https://www.eraserbenchmark.com, or the folder in it: docs/ and those of
train.jsonl, val.jsonl and test.jsonl that there are. Each split becomes a table with the header `id text label` (NEG or
POS; val is written as dev), its text the tokens joined by spaces, and JSON lines of id, label, tokens and mask in the
same order.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from explain import rationale_files
from explain import rationales


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument(
        "--input", type=pathlib.Path, required=True, help="local archive or unpacked folder"
    )
    options = parser.parse_args(arguments)
    try:
        splits = rationale_files.read_eraser(options.input)
        for split, documents in splits.items():
            paths = rationale_files.write_split(options.output_dir, split, documents)
            print(f"{' and '.join(map(str, paths))}: {rationales.lengths(documents)}")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"prepare_eraser_movies.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
