"""Explain every text of a file: a record a text and method, a page of the first ones, and how often the model is right.

    python scripts/explain_file.py --config scripts/config.yaml --input_file data/sample_reviews/test.tsv --labels label
    python scripts/explain_file.py --model_dir out/reviews --input_file more.csv --output_dir out/more --method rollout

<output_dir>/explanations.jsonl (`explain.explanation.read_jsonl` reads it) appears when it is whole; texts are read and
explained 64 at a time, so that memory does not grow with the file. Options left out come from the config, if given.
"""

import argparse
import dataclasses
import itertools
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import datasets
from bert import failures
from bert import files
from bert import model_folder
from bert import options as options_lib
from bert import project
from bert import project_config
from bert import windows
from explain import explainer as explainer_lib
from explain import explanation
from explain import highlight
from explain import methods
from explain import model

TEXTS_AT_ONCE = 64


@dataclasses.dataclass
class Tally:
    """What has been explained so far; `shown` holds the records of the first `show` texts."""

    show: int
    texts: int = 0
    written: int = 0
    labelled: int = 0
    right: int = 0
    shown: list[explanation.Explanation] = dataclasses.field(default_factory=list)

    def add(self, records: Sequence[explanation.Explanation]) -> None:
        """Count the records of one text."""
        if self.texts < self.show:
            self.shown += records
        self.texts += 1
        self.written += len(records)
        self.labelled += records[0].gold is not None
        self.right += records[0].gold == records[0].predicted


def explained(
    explainer: explainer_lib.Explainer, examples: Iterable[datasets.InputExample], target: str
) -> Iterator[list[explanation.Explanation]]:
    """Yield the records of each example, under its own guid."""
    examples = iter(examples)
    while chunk := list(itertools.islice(examples, TEXTS_AT_ONCE)):
        texts = [e.text_a if e.text_b is None else (e.text_a, e.text_b) for e in chunk]
        records = explainer(texts, target, labels=[e.label for e in chunk])
        of_texts = itertools.groupby(records, key=lambda record: record.guid)
        for example, (_, of_text) in zip(chunk, of_texts, strict=True):
            yield [dataclasses.replace(record, guid=example.guid) for record in of_text]


def reader(
    config: project_config.ProjectConfig, options: argparse.Namespace, labels: Sequence[str]
) -> datasets.FileProcessor:
    """Return what reads the file.

    Raises:
      ValueError: a column is not there.
    """
    found = project.header(options.input_file)
    names = [name for name in (options.text_column, config.text_column) if name]
    columns = {
        "text_column": project.usual_column(
            options.input_file, found, "--text_column", names[:1] or project.TEXT_COLUMNS
        ),
        "text_b_column": options.text_b_column or config.text_b_column,
    }
    if options.labels is not None:
        project.usual_column(options.input_file, found, "--labels", [options.labels])
        columns["label_map"] = config.label_map
    return datasets.FileProcessor(options_lib.DataConfig.model_validate(columns), labels)


def first(
    source: datasets.FileProcessor, options: argparse.Namespace
) -> Iterator[datasets.InputExample]:
    """Yield the examples of the file, --max_examples at most, labelled only where --labels names a column."""
    found = source.examples(str(options.input_file), "test", options.labels)
    return itertools.islice(found, options.max_examples)


def require_explainable(
    examples: Iterable[datasets.InputExample],
    parts: model_folder.Parts,
    target: str,
    long_text: explainer_lib.LongText,
) -> int:
    """Count the examples; what would end the run halfway is told before anything heavy.

    Raises:
      ValueError: a true label that the target needs is missing, or a pair cannot be read in windows.
    """
    tokenizer, count = parts.tokenizer(), 0
    lead_of_gold = target.startswith("gold-") or target.endswith("-gold")
    needs_gold = target == "gold" or (lead_of_gold and target not in parts.labels)
    for example in examples:
        count += 1
        if needs_gold and example.label is None:
            raise ValueError(
                f"{example.guid}: must have a true label for the target {target!r}, got none; name their column with "
                "--labels, and label or remove the row"
            )
        if long_text == "window" and example.text_b is not None:
            try:
                windows.split(
                    tokenizer, example.text_a, example.text_b, parts.record.max_seq_length
                )
            except ValueError as error:
                raise ValueError(f"{example.guid}: {error}") from None
    return count


def main(options: argparse.Namespace) -> None:
    """Explain the file and print what was written and, with labels, the accuracy."""
    config = project_config.ProjectConfig.model_construct()  # the defaults
    if options.config is not None:
        config = project_config.read(options.config, methods=methods.METHODS)
    asked = options.method or config.method
    method_options = project_config.options_of_methods(config, asked, methods.METHODS, methods.bind)
    model_dir = options.model_dir or config.output_dir
    folder = options.output_dir or pathlib.Path(config.output_dir) / "explanations"
    parts = model_folder.load(model_dir)
    source = reader(config, options, parts.labels)
    target, long_text = options.target or config.target, options.long_text or config.long_text
    count = require_explainable(first(source, options), parts, target, long_text)
    explainer = model.load_explainer(
        model_dir,
        asked,
        method_options=method_options,
        word_scores=config.word_scores,
        long_text=long_text,
    )
    tally = Tally(options.report_examples)

    def records() -> Iterator[explanation.Explanation]:
        of_texts = explained(explainer, first(source, options), target)
        for of_text in tqdm.tqdm(of_texts, "explaining", total=count, unit="text", disable=None):
            tally.add(of_text)
            yield from of_text

    explanation.save_jsonl(records(), folder / "explanations.jsonl")
    print(f"{folder / 'explanations.jsonl'}: {tally.written} explanations of {tally.texts} texts")
    if tally.shown:
        page = highlight.report(tally.shown, f"What counted in {options.input_file.name}")
        files.write_text(folder / "report.html", page)
        print(f"{folder / 'report.html'}: the first {min(tally.show, tally.texts)}")
    if tally.labelled:
        accuracy = tally.right / tally.labelled
        print(f"accuracy: {accuracy:.4f} ({tally.right} of {tally.labelled})")


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_dir", help="a trained folder or Hugging Face classifier")
    parser.add_argument("--config", type=pathlib.Path, help="its output_dir is the model")
    parser.add_argument("--input_file", type=pathlib.Path, required=True, help=".tsv .csv .jsonl")
    parser.add_argument(
        "--output_dir", type=pathlib.Path, help="unset: explanations/ in that of the config"
    )
    parser.add_argument(
        "--method",
        type=project_config.split_names,
        help=f"one or more, with commas: {', '.join(methods.METHODS)}, or your own as package.module:function",
    )
    parser.add_argument(
        "--target", help="predicted, gold, a label, a-b for the lead of a over b, or all"
    )
    parser.add_argument("--text_column", help="unset: text, sentence or review")
    parser.add_argument("--text_b_column", help="of the second text, for pairs")
    parser.add_argument("--labels", metavar="COLUMN", help="of the true labels, for the accuracy")
    parser.add_argument("--max_examples", type=int, help="only the first so many")
    parser.add_argument("--long_text", choices=("cut", "window"), help="(cut)")
    parser.add_argument("--report_examples", type=int, default=100, help="in the page (100)")
    options = parser.parse_args(arguments)
    if options.config is None and None in (options.model_dir, options.output_dir):
        parser.error("--config, or both of --model_dir and --output_dir, is required")
    if options.max_examples is not None and options.max_examples < 1:
        parser.error(f"--max_examples must be at least 1, got {options.max_examples}")
    if options.report_examples < 0:
        parser.error(f"--report_examples must be at least 0, got {options.report_examples}")
    sys.path.insert(0, os.getcwd())  # where a module of one's own usually is
    return failures.exit_status(
        "explain_file.py", lambda: main(options), (project_config.ConfigError,)
    )


if __name__ == "__main__":
    sys.exit(cli_main())
