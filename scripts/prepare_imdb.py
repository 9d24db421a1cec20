"""Write IMDb reviews as train.tsv, dev.tsv and test.tsv for `run_classifier.py --task_name=imdb`.

    python scripts/prepare_imdb.py --output_dir out/data/imdb                    # downloads aclImdb (80 MB)
    python scripts/prepare_imdb.py --output_dir out/data/imdb --input aclImdb    # a local folder, or its .tar.gz
    python scripts/prepare_imdb.py --output_dir out/data/imdb --input reviews    # train*.jsonl[.gz], test*.jsonl[.gz]

The header is `id label text`, label 1 = positive; texts are kept to the byte, quoted as pandas does. Part of the
training set becomes dev.tsv; `--dev_fraction=0` leaves all 25,000 in train.tsv and writes no dev.tsv.
"""

import argparse
import json
import pathlib
import random
import sys
import tarfile
import zlib
from collections.abc import Iterator

import pooch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import files
from bert import tables

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
_LABELS = {"neg": "0", "pos": "1"}

Row = tuple[str, ...]
"""(id, label, text)."""


def from_folder(folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Yield (id, label, text) of `<split>/pos/*.txt` and `<split>/neg/*.txt`, positives first, by name."""
    for name in ("pos", "neg"):
        for path in sorted((folder / split / name).glob("*.txt")):
            yield path.stem, _LABELS[name], path.read_bytes().decode("utf-8")


def from_archive(archive: pathlib.Path, split: str) -> Iterator[Row]:
    """Yield (id, label, text) of the same files inside a tar archive, which is not unpacked."""
    with tarfile.open(archive) as tar:
        members = {pathlib.PurePosixPath(member.name): member for member in tar if member.isfile()}
        chosen = [
            path for path in members if path.suffix == ".txt" and path.parts[-3:-2] == (split,)
        ]
        for path in sorted(chosen, key=lambda path: (path.parts[-2] != "pos", path.name)):
            content = tar.extractfile(members[path])
            if path.parts[-2] in _LABELS and content is not None:
                yield path.stem, _LABELS[path.parts[-2]], content.read().decode("utf-8")


def from_jsonl(folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Yield (id, label, text) of `<split>*.jsonl` or `<split>*.jsonl.gz`, whose lines have those keys."""
    for path in sorted(folder.glob(f"{split}*.jsonl*")):
        for number, line in tables.read_lines(path):
            yield _json_row(f"{path}:{number}", line, f"{path.name}-{number}")


def _json_row(where: str, line: str, default_id: str) -> Row:
    try:
        row = json.loads(line)
        label, text = str(row["label"]), row["text"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{where}: must be a JSON object with label and text, got {error!r}"
        ) from None
    label = _LABELS.get(label, label)
    if label not in _LABELS.values() or not isinstance(text, str):
        raise ValueError(
            f"{where}: label must be 0, 1, 'neg' or 'pos' and text a string, got {row['label']!r} and {text!r:.40}"
        )
    return str(row.get("id", default_id)), label, text


def read_split(source: pathlib.Path, split: str) -> list[Row]:
    """Return the rows of one split, whatever the source is.

    Raises:
      FileNotFoundError: the source is not there or holds no such reviews.
    """
    if source.is_file():
        rows = list(from_archive(source, split))
    elif (source / split).is_dir():
        rows = list(from_folder(source, split))
    else:
        rows = list(from_jsonl(source, split))
    if not rows:
        raise FileNotFoundError(
            f"{source} must hold {split} reviews: {split}/pos/*.txt and {split}/neg/*.txt, or "
            f"{split}*.jsonl; found none"
        )
    return rows


def hold_out(rows: list[Row], count: int, seed: int) -> tuple[list[Row], list[Row]]:
    """Split rows into (kept, held out): `count` rows as evenly over the labels as can be, order kept."""
    labels = sorted({row[1] for row in rows})
    held: set[int] = set()
    for number, label in enumerate(labels):
        indices = [index for index, row in enumerate(rows) if row[1] == label]
        quota = count // len(labels) + (number < count % len(labels))
        held |= set(random.Random(seed).sample(indices, min(quota, len(indices))))
    kept = [row for index, row in enumerate(rows) if index not in held]
    return kept, [row for index, row in enumerate(rows) if index in held]


def _cell(text: str) -> str:
    # as pandas and csv quote, but for the carriage return, which they leave bare and then read as a line end
    needs_quotes = any(character in text for character in '"\t\n\r')
    return '"' + text.replace('"', '""') + '"' if needs_quotes else text


def write_tsv(path: pathlib.Path, rows: list[Row]) -> None:
    """Write rows with the header `id label text`; quotes, tabs and newlines inside a text survive."""
    lines = ["\t".join(map(_cell, row)) + "\n" for row in [("id", "label", "text"), *rows]]
    files.write_text(path, "".join(lines))
    sys.stdout.write(f"{path}: {len(rows)} reviews\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument(
        "--input", type=pathlib.Path, help="local folder or archive; unset downloads"
    )
    parser.add_argument("--dev_fraction", type=float, default=0.1, help="share of train (0.1)")
    parser.add_argument("--max_examples", type=int, help="sample of train+dev, and of test")
    parser.add_argument("--seed", type=int, default=12345, help="of the samples (12345)")
    options = parser.parse_args(arguments)
    if not 0 <= options.dev_fraction < 1:
        parser.error(f"--dev_fraction must be at least 0 and below 1, got {options.dev_fraction}")
    if options.max_examples is not None and options.max_examples < 2:
        parser.error(f"--max_examples must be at least 2, got {options.max_examples}")
    source = options.input
    try:
        source = source or pathlib.Path(pooch.retrieve(URL, SHA256, progressbar=True))
        rows = {split: read_split(source, split) for split in ("train", "test")}
        if options.max_examples is not None:
            for split in rows:
                _, rows[split] = hold_out(rows[split], options.max_examples, options.seed)
        dev_count = (
            int(len(rows["train"]) * options.dev_fraction / 2) * 2
        )  # as many of either label
        train, dev = hold_out(rows["train"], dev_count, options.seed)
        write_tsv(options.output_dir / "train.tsv", train)
        if dev:
            write_tsv(options.output_dir / "dev.tsv", dev)
        else:  # an older one would hold rows that are now in train.tsv
            (options.output_dir / "dev.tsv").unlink(missing_ok=True)
        write_tsv(options.output_dir / "test.tsv", rows["test"])
    except (EOFError, zlib.error, tarfile.TarError) as error:
        sys.stderr.write(
            f"prepare_imdb.py: {source} must be a whole archive, got {error}; fetch it again\n"
        )
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"prepare_imdb.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
