"""Write vocabulary and config of a small BERT over whole words, for `run_classifier.py` to train from nothing.

    python scripts/prepare_nano.py --train_file out/data/imdb/train.tsv --output_dir out/nano \
      --n_layer 1 --n_head 1 --n_embed 3 --max_seq_len 128
    python run_classifier.py --vocab_file out/nano/vocab.txt --bert_config_file out/nano/bert_config.json \
      --train_file out/data/imdb/train.tsv --do_train --output_dir out/nano_imdb --max_seq_length 128 \
      --learning_rate 1e-3 --train_batch_size 64 --classifier_head_config global_average_pool

The words are those of the training file and of no other: [PAD], [CLS], [SEP], [UNK] and [MASK], then the words in
Unicode order. The sizes are nano-BERT's (StepanTita/nano-BERT); any will do whose heads divide the width.
"""

import argparse
import pathlib
import sys
from collections.abc import Iterator, Mapping

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import nano
from bert import tables


def read_texts(path: pathlib.Path, columns: Mapping[str, str]) -> Iterator[str]:
    """Yield the texts of some columns of a table, row by row; `columns`: name -> the flag that names it."""
    for _, row in tables.read_table(path, columns):
        yield from (row[column] for column in columns)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 success, 1 a failure told in one line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train_file", type=pathlib.Path, required=True, help=".tsv, .csv, .jsonl")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--text_column", default="text", help="column of the text (text)")
    parser.add_argument("--text_b_column", help="column of the second text, for pairs")
    parser.add_argument("--n_layer", type=int, default=1, help="layers (1)")
    parser.add_argument("--n_head", type=int, default=1, help="attention heads a layer (1)")
    parser.add_argument("--n_embed", type=int, default=3, help="width, a multiple of n_head (3)")
    parser.add_argument("--dropout", type=float, default=0.1, help="share of values (0.1)")
    parser.add_argument(
        "--layer_norm_eps", type=float, default=1.0, help="see bert/nano.py; the release: 1e-12 (1)"
    )
    parser.add_argument("--max_seq_len", type=int, default=128, help="longest input, tokens (128)")
    parser.add_argument(
        "--min_count", type=int, default=1, help="rarer words are not known (1: all words are)"
    )
    parser.add_argument("--max_words", type=int, help="keep so many, the most frequent (all)")
    options = vars(parser.parse_args(arguments))
    path, folder = options.pop("train_file"), options.pop("output_dir")
    flags = ("text_column", "text_b_column")
    columns = {column: f"--{flag}" for flag in flags if (column := options.pop(flag))}
    try:
        config = nano.write(folder, read_texts(path, columns), **options)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"prepare_nano.py: {error}\n")
        return 1
    sys.stdout.write(f"{folder}: vocab.txt with {config.vocab_size} tokens, bert_config.json\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
