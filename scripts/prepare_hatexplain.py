"""Write HateXplain as tables for `run_classifier.py` and as rationales for `evaluate_explanations.py`.

    python scripts/prepare_hatexplain.py --output_dir out/data/hatexplain --input HateXplain/Data
    python run_classifier.py --train_file out/data/hatexplain/train.tsv --dev_file out/data/hatexplain/dev.tsv ...

The input folder holds dataset.json and post_id_divisions.json, from Data/ of https://github.com/hate-alert/HateXplain,
or those of train.jsonl, val.jsonl and test.jsonl, plain or .gz, that there are. Each split becomes a table with the
header `id text label` (normal, offensive or hatespeech; val is written as dev), and JSON lines of id, label, tokens and
mask in the same order. The texts are real hate speech: this command shows counts and never a text.
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
    parser.add_argument("--input", type=pathlib.Path, required=True, help="local folder")
    parser.add_argument(
        "--min_annotators",
        type=int,
        default=1,
        help="how many annotators must have marked a token (1: their union, as the owners score)",
    )
    options = parser.parse_args(arguments)
    try:
        splits = rationale_files.read_hatexplain(options.input, options.min_annotators)
        for split, documents in splits.items():
            paths = rationale_files.write_split(options.output_dir, split, documents)
            print(f"{' and '.join(map(str, paths))}: {rationales.lengths(documents)}")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"prepare_hatexplain.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
