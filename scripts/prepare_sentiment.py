r"""Write SST, Yelp and SemEval as files that `run_classifier.py --task_name=TASK` reads, from their owners' downloads.

    python scripts/prepare_sentiment.py --task sst3 --output_dir data/sst3 \
      --train trees/train.txt --dev trees/dev.txt --test trees/test.txt
    python scripts/prepare_sentiment.py --task yelp5 --output_dir data/yelp5 \
      --train yelp_review_full_csv/train.csv --test yelp_review_full_csv/test.csv --max_examples 25000
    python scripts/prepare_sentiment.py --task semeval --output_dir data/semeval \
      --train twitter-201?train-A.txt --dev twitter-2016dev-A.txt --test twitter-2016test-A.txt

Sources:
    sst2, sst3, sst5: trees (nlp.stanford.edu/sentiment/trainDevTestTrees_PTB.zip), or lines `3 text` (0 to 4) or
      `__label__4<TAB>text` (1 to 5)
    yelp2, yelp5: `"label","text"` with labels from 1 and no header (Zhang et al. 2015:
      s3.amazonaws.com/fast-ai-nlp/yelp_review_polarity_csv.tgz, yelp_review_full_csv.tgz)
    semeval: `id<TAB>label<TAB>text` of subtask A (alt.qcri.org/semeval2017/task4, "data and tools")

Files may be gzipped. SST: classes 0 and 1 are negative, 3 and 4 positive; the neutral 2 is a class of sst3 and left out
of sst2. Labels of the written files are those of `bert/tasks.py`. Without `--dev`, part of the training set becomes it.
"""

import argparse
import csv
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import prepare_imdb

from bert import files
from bert import tables
from bert import tasks
from explain import sentiment_trees

Row = tuple[str, ...]
"""(text, what the written file says of its label)."""

SST_CLASSES = {
    "sst2": {0: "0", 1: "0", 3: "1", 4: "1"},
    "sst3": {0: "0", 1: "0", 2: "2", 3: "1", 4: "1"},
    "sst5": {label: str(label) for label in range(5)},
}
_TREEBANK_SPELLING = {"-LRB-": "(", "-RRB-": ")", r"\/": "/", r"\*": "*"}
_ESCAPED = re.compile(r'\\(n|")')
_CODE_POINT = re.compile(r"\\u((?![dD][89a-fA-F])[0-9a-fA-F]{4})")  # no half of a pair
_FLAT = re.compile(r"(?:__label__([1-5])\t|([0-4]) )(.*)")


def sst_rows(path: pathlib.Path, task: str, with_phrases: bool) -> Iterator[Row]:
    """Yield sentences, or each different phrase of trees; a neutral text is no example of sst2."""
    classes, seen = SST_CLASSES[task], set()
    for text, label in _sst_phrases(path, with_phrases):
        if label in classes and not (with_phrases and text in seen):
            seen.add(text)
            yield text, classes[label]


def _sst_phrases(path: pathlib.Path, with_phrases: bool) -> Iterator[tuple[str, int]]:
    _, first = next(tables.read_lines(path), (0, ""))
    if with_phrases or first.startswith("("):
        for phrases in sentiment_trees.read_trees(path):
            for phrase in phrases if with_phrases else phrases[:1]:
                yield _plain(phrase.text), phrase.label
        return
    for line, text in tables.read_lines(path):
        found = _FLAT.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{path}:{line}: must be `3 text` (0 to 4), `__label__4<TAB>text` (1 to 5) or, as all lines, a tree; "
                f"got {text!r:.60}; is this the file?"
            )
        yield found[3], int(found[2]) if found[2] else int(found[1]) - 1


def _plain(text: str) -> str:
    return re.sub(
        "|".join(map(re.escape, _TREEBANK_SPELLING)), lambda m: _TREEBANK_SPELLING[m[0]], text
    )


def yelp_rows(path: pathlib.Path, task: str) -> Iterator[Row]:
    """Yield reviews with their label as the file writes it; its escaped newlines and quotes become themselves."""
    legal = tasks.TASKS[task].train.label_values or {}
    for line, cells in tables.read_rows(path, '"', ","):
        if len(cells) != 2 or cells[0] not in legal:
            raise _refusal(f"{path}:{line}", '"label","text"', legal, cells)
        yield _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else '"', cells[1]), cells[0]


def semeval_rows(path: pathlib.Path) -> Iterator[Row]:
    r"""Yield tweets; `\u2019` becomes the character, and an empty cell at the end is left out."""
    labels = {"negative": "0", "neutral": "1", "positive": "2"}
    for line, cells in tables.read_rows(path):
        if len(cells) not in (3, 4) or cells[1] not in labels or any(cells[3:]):
            raise _refusal(f"{path}:{line}", "id<TAB>label<TAB>text", labels, cells)
        yield _CODE_POINT.sub(lambda found: chr(int(found[1], 16)), cells[2]), labels[cells[1]]


def _refusal(where: str, layout: str, labels: Mapping[str, str], cells: list[str]) -> ValueError:
    legal = ", ".join(labels)
    return ValueError(f"{where}: must be {layout} with a label of {legal}; got {cells!r:.60}")


def write_rows(path: pathlib.Path, has_header: bool, rows: list[Row]) -> None:
    """Write rows with the header `text,label` and all cells quoted, or as lines `label text`."""
    with files.draft(path) as target, target.open("w", encoding="utf-8", newline="") as file:
        if has_header:
            delimiter = "," if path.suffix == ".csv" else "\t"
            table = csv.writer(
                file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n"
            )
            table.writerows([("text", "label"), *rows])
        else:
            file.writelines(f"{label} {text}\n" for text, label in rows)
    sys.stdout.write(f"{path}: {len(rows)} texts\n")


def read(task: str, paths: list[pathlib.Path], with_phrases: bool = False) -> list[Row]:
    """Return the rows of some files of a task's owner.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: a line of another layout; the message names file and line.
    """
    if task in SST_CLASSES:
        found = [row for path in paths for row in sst_rows(path, task, with_phrases)]
    elif task == "semeval":
        found = [row for path in paths for row in semeval_rows(path)]
    else:
        found = [row for path in paths for row in yelp_rows(path, task)]
    if not found:
        raise ValueError(f"{', '.join(map(str, paths))} must hold texts, got none")
    return found


def prepare(options: argparse.Namespace) -> None:
    """Write the files that the options ask for; all are read before the first is written."""
    given = {"train": options.train, "dev": options.dev, "test": options.test}
    splits = {
        split: read(options.task, paths, options.phrases and split == "train")
        for split, paths in given.items()
        if paths
    }
    if options.max_examples is not None:
        for split, rows in splits.items():
            splits[split] = prepare_imdb.hold_out(rows, options.max_examples, options.seed)[1]
    row = tasks.TASKS[options.task]
    if options.task == "sst2":
        (row,) = row.layouts  # GLUE's test file has no labels
    if "train" in splits and "dev" not in splits:
        count = int(len(splits["train"]) * options.dev_fraction)
        kept, held = prepare_imdb.hold_out(splits["train"], count, options.seed)
        splits |= {"train": kept, "dev": held}
    for split, rows in splits.items():
        columns = {"train": row.train, "dev": row.dev, "test": row.test}[split]
        assert columns is not None  # each of these tasks has three files
        path = options.output_dir / columns.file
        if rows:
            write_rows(path, columns.has_header, rows)
        else:  # an older dev file would hold rows that are now in the training set
            path.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--task", required=True, choices=[*SST_CLASSES, "yelp2", "yelp5", "semeval"]
    )
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    for split in ("train", "dev", "test"):
        parser.add_argument(f"--{split}", type=pathlib.Path, nargs="+", metavar="FILE", default=[])
    parser.add_argument("--phrases", action="store_true", help="train on every phrase of the trees")
    parser.add_argument(
        "--dev_fraction", type=float, default=0.1, help="share of train, labels balanced (0.1)"
    )
    parser.add_argument("--max_examples", type=int, help="sample of each set, labels balanced")
    parser.add_argument("--seed", type=int, default=12345, help="of the samples (12345)")
    options = parser.parse_args(arguments)
    if not (options.train or options.dev or options.test):
        parser.error("at least one of --train, --dev and --test must name a file, got none")
    if not 0 <= options.dev_fraction < 1:
        parser.error(f"--dev_fraction must be at least 0 and below 1, got {options.dev_fraction}")
    if options.max_examples is not None and options.max_examples < 2:
        parser.error(f"--max_examples must be at least 2, got {options.max_examples}")
    if options.phrases and options.task not in SST_CLASSES:
        parser.error(f"--phrases needs trees, which only SST has; got --task {options.task}")
    if options.phrases and options.train and not options.dev and options.dev_fraction:
        parser.error(
            "--phrases needs --dev or --dev_fraction 0: phrases of held-out sentences would stay in the training set"
        )
    try:
        prepare(options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"prepare_sentiment.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
