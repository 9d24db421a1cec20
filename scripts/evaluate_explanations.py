"""Measure which explanations of a model can be believed: every method, on the texts of a file, beside chance.

    python scripts/evaluate_explanations.py --model_dir out/reviews --data_file data/sample_reviews/test.tsv \
        --methods gradient_x_input,integrated_gradients,rollout --max_examples 100 --output out/reviews/evaluation.json
    python scripts/evaluate_explanations.py --model_dir out/hatexplain --rationales dev.jsonl --output out/hate.json

Texts are taken in an order drawn by --seed, so that the first so many are a sample of a file that is sorted. Beside
<output>.json come <output>.md (tables) and <output>_*.png (figures). What was measured of each text is kept in
<output>.lines.jsonl: the same command goes on where it was stopped, and --max_examples may grow.
"""

import argparse
import hashlib
import inspect
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tqdm

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import alterations
from bert import datasets
from bert import failures
from bert import options as options_lib
from bert import project
from bert import project_config
from explain import corpus
from explain import eraser_files
from explain import evaluation
from explain import evaluation_files
from explain import evaluation_gallery
from explain import explainer as explainer_lib
from explain import explanation
from explain import faithfulness
from explain import methods
from explain import model
from explain import predictor as predictor_lib
from explain import rationale_files
from explain import rationales
from explain import removal
from explain import results as results_lib

NEARBY = 5  # explainers whose word embeddings are moved
_NO_VERDICT = (
    "no word of it stands in the texts --min_count times or more; there is no table of polarity"
)
RADIUS = 0.02  # of their mean length; Captum's default is as small, in units of the input


def read(
    options: argparse.Namespace, labels: Sequence[str]
) -> tuple[list[datasets.InputExample], dict[str, rationales.Rationale]]:
    """Return the examples, a sample where --max_examples asks for one, and what people marked in them, by guid."""
    marked: dict[str, rationales.Rationale] = {}
    if options.rationales is None:
        examples = _table(options, labels)
    else:
        items = rationale_files.read_rationales(options.rationales, labels)
        examples = (datasets.InputExample(i.guid, i.text, None, i.label) for i in items)
        marked = {item.guid: item for item in items}
    sample = evaluation.sample(examples, options.seed, options.max_examples)
    # now, and not when all is measured
    eraser_files.require_documents(item for item in marked.values() if any(item.mask))
    return sample, marked


def _table(options: argparse.Namespace, labels: Sequence[str]) -> Iterator[datasets.InputExample]:
    header = project.header(options.data_file)
    named = [options.text_column] if options.text_column else project.TEXT_COLUMNS
    columns = {
        "text_column": project.usual_column(options.data_file, header, "--text_column", named),
        "text_b_column": options.text_b_column,
        "label_map": options.label_map,
    }
    column = options.labels
    if column is not None:
        project.usual_column(options.data_file, header, "--labels", [column])
    elif "label" in header:
        column = "label"
    config = options_lib.DataConfig.model_validate(columns)
    reader = datasets.FileProcessor(config, labels)
    return reader.examples(str(options.data_file), "test", column)


def settings_of(
    options: argparse.Namespace, predictor: predictor_lib.Predictor, plan: evaluation.Plan
) -> dict[str, Any]:
    """Return whatever the figures depend on."""
    source = options.rationales or options.data_file
    return {
        "weights_sha256": predictor.weights_sha256,
        "parts_sha256": predictor.parts_sha256,
        "labels": predictor.labels,
        "reads": predictor.reads,
        "data": source.name,
        "data_sha256": _sha256(source),
        "columns": [options.text_column, options.text_b_column, options.labels, options.label_map],
        "methods": {bound.name: _stated(bound) for bound in methods.bind(options.methods)},
        "records_sha256": [_sha256(path) for path in options.records],
        "protocols": {protocol.name: {"removal": protocol.removal} for protocol in plan.protocols},
        "draws": options.draws,
        "seed": options.seed,
        "precision": options.precision,
        "sanity_examples": options.sanity_examples,
        "nearby": [NEARBY, RADIUS],
        "rationale": str(plan.top_k),
    }


def protocols_of(options: argparse.Namespace) -> list[faithfulness.Protocol]:
    """Return the protocols, with the removal that --removal asks for."""
    chosen = [faithfulness.PROTOCOLS[name] for name in options.protocols]
    if options.removal is None:
        return chosen
    return [protocol._replace(removal=options.removal) for protocol in chosen]


def _stated(bound: methods.Bound) -> dict[str, Any]:
    """Return a method's options and, if it is a user's own, the digest of its file."""
    if bound.name in methods.METHODS:
        return dict(bound.options)
    return {**bound.options, "sha256": _sha256(pathlib.Path(inspect.getfile(bound.method.explain)))}


def _sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sides_of(options: argparse.Namespace) -> evaluation.Sides:
    """Load what explains and what answers; the altered models only where they are asked."""
    explainer = model.load_explainer(options.model_dir, options.methods)
    predictor = model.load_predictor(options.model_dir, precision=options.precision)
    others = evaluation_files.read_records(options.records)
    if not options.sanity_examples:
        return evaluation.Sides(explainer, predictor, others=others)
    layers, seed = predictor.layers, options.seed

    def altered(alter: alterations.Alter) -> explainer_lib.Explainer:
        return model.load_explainer(options.model_dir, options.methods, alter=alter)

    randomised = {
        f"top_{count}_of_{layers}": altered(alterations.randomised(count, seed))
        for count in dict.fromkeys((0, layers // 2, layers))
    }
    randomised["all"] = altered(alterations.randomised(layers, seed, embeddings=True))
    return evaluation.Sides(
        explainer,
        predictor,
        randomised,
        [altered(alterations.nearby(RADIUS, options.seed + index)) for index in range(NEARBY)],
        others,
    )


def weigh_heads(
    options: argparse.Namespace, examples: Sequence[datasets.InputExample]
) -> dict[str, Any]:
    """Return what each head counts for in the predicted logits of texts, by its gradient and by its absence."""
    predictor = model.load_predictor(options.model_dir)  # float32, as that without heads
    texts = [e.text_a if e.text_b is None else (e.text_a, e.text_b) for e in examples]
    rows = [units.ids for units in predictor.units(texts)]
    targets = predictor.logits(rows).argmax(axis=1).tolist()
    ways = {
        "gradient": predictor.head_importance(rows, targets),
        "ablation": model.head_ablation(options.model_dir, rows, targets),
    }
    return results_lib.of_heads({way: np.abs(found) for way, found in ways.items()}, options.seed)


def polarity_of(
    options: argparse.Namespace, labels: Sequence[str]
) -> tuple[str, dict[str, float]] | None:
    """Return the lexicon, and the class that it speaks for or against."""
    if not options.lexicon:
        return None
    name = options.lexicon_class or labels[-1]
    if name not in labels:
        raise ValueError(f"--lexicon_class must be one of {', '.join(labels)}; got {name!r}")
    return name, corpus.read_lexicon(*options.lexicon)


def main(options: argparse.Namespace) -> None:
    """Measure, and write what it amounts to."""
    methods.bind(options.methods)
    sides = sides_of(options)
    labels = sides.predictor.labels
    examples, marked = read(options, labels)
    polarity = polarity_of(options, labels)
    lengths = rationales.lengths(marked.values())
    mean = lengths.mean_tokens if lengths.marked else 5  # as HateXplain, where nobody marked a word
    top_k = rationales.TopK(mean if options.top_k is None else options.top_k)
    protocols = protocols_of(options)
    if marked:
        protocols = evaluation.with_hard_rationale(protocols, top_k)
    plan = evaluation.Plan(protocols, options.draws, options.seed, options.sanity_examples, top_k)
    lines = options.output.with_suffix(".lines.jsonl")
    settings = settings_of(options, sides.predictor, plan)
    measured = evaluation_files.run(sides, plan, examples, marked, lines, settings)
    shown = tqdm.tqdm(measured, "measuring", total=len(examples), unit="text", disable=None)
    results = results_lib.summarise(shown, settings)

    def records() -> Iterator[explanation.Explanation]:
        found = evaluation_files.lines_of(lines, results["texts"])
        return evaluation_files.records(found, labels)

    results |= results_lib.of_agreement(records())
    if not marked:  # such data sets are collections of what should not be repeated
        results |= results_lib.of_words(
            records(), polarity, min_count=options.min_count, seed=options.seed
        )
    if polarity and not results.get("polarity"):
        sys.stderr.write(f"--lexicon: {_NO_VERDICT}\n")
    if weighed := examples[: options.head_examples]:
        known = evaluation_files.heads(options.output, settings, len(weighed))
        results |= known or weigh_heads(options, weighed)
    evaluation_files.save(results, options.output)
    title = f"Explanations of {options.model_dir}"
    written = [options.output, evaluation_gallery.write_tables(results, options.output, title)]
    written += evaluation_gallery.draw(results, lines, options.output)
    if marked:
        written += evaluation_gallery.write_eraser(
            results, lines, options.output, labels, marked, top_k
        )
    for path in written:
        print(path)


def names(legal: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """Return a reader of names with commas, in which "all" stands for every legal one."""

    def split(text: str) -> Sequence[str]:
        return list(legal) if text == "all" else project_config.split_names(text)

    return split


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model_dir", required=True, help="a trained folder or Hugging Face classifier"
    )
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--data_file", type=pathlib.Path, help=".tsv .csv .jsonl")
    data.add_argument(
        "--rationales",
        type=pathlib.Path,
        help="texts and what people marked in them, as prepare_*.py write them",
    )
    parser.add_argument("--output", type=pathlib.Path, required=True, help="a .json file")
    parser.add_argument(
        "--methods",
        type=names(list(methods.METHODS)),
        default=[name for name, method in methods.METHODS.items() if not method.needs_logit],
        help=f"with commas, or all: {', '.join(methods.METHODS)} (all but the LRP family, which is patented)",
    )
    parser.add_argument(
        "--records",
        type=pathlib.Path,
        nargs="+",
        default=[],
        help="explanations made elsewhere, as JSON lines of explain.explanation, measured beside ours",
    )
    parser.add_argument(
        "--protocols",
        type=names(list(faithfulness.PROTOCOLS)),
        default="all",
        help=f"with commas, or all: {', '.join(faithfulness.PROTOCOLS)}",
    )
    parser.add_argument(
        "--removal", choices=get_args(removal.Removal), help="of all protocols (each its own)"
    )
    parser.add_argument("--max_examples", type=int, help="a sample of so many")
    parser.add_argument(
        "--sanity_examples", type=int, default=0, help="explained by altered weights, too (0)"
    )
    parser.add_argument(
        "--head_examples", type=int, default=0, help="texts that heads are weighed on; slow (0)"
    )
    parser.add_argument("--draws", type=int, default=20, help="random rankings of the floor (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws and the bootstrap (0)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of answers to texts without words",
    )
    parser.add_argument(
        "--top_k", type=float, help="words of a hard rationale (mean length of people's)"
    )
    _add_data_arguments(parser)
    return parser


def _add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lexicon",
        type=pathlib.Path,
        nargs=2,
        metavar=("POSITIVE", "NEGATIVE"),
        help="words that speak for the last class and against it, one a line",
    )
    parser.add_argument("--lexicon_class", help="that they speak for or against (the last)")
    parser.add_argument(
        "--min_count", type=int, default=5, help="times that a word of a table stands in them (5)"
    )
    parser.add_argument("--text_column", help="unset: text, sentence or review")
    parser.add_argument("--text_b_column", help="of the second text, for pairs")
    parser.add_argument(
        "--labels", metavar="COLUMN", help="of the true labels (label, if there is one)"
    )
    parser.add_argument("--label_map", help="what its values mean, as 0=negative,1=positive")


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.protocols if name not in faithfulness.PROTOCOLS]:
        parser.error(
            f"--protocols must be of {', '.join(faithfulness.PROTOCOLS)}; got {', '.join(unknown)}"
        )
    for name, least in (
        ("max_examples", 1),
        ("sanity_examples", 0),
        ("head_examples", 0),
        ("draws", 1),
        ("min_count", 1),
    ):
        if (value := getattr(options, name)) is not None and value < least:
            parser.error(f"--{name} must be at least {least}, got {value}")
    if options.output.suffix != ".json":
        parser.error(f"--output must end in .json, got {options.output}")
    sys.path.insert(0, os.getcwd())  # where a module of one's own usually is
    return failures.exit_status("evaluate_explanations.py", lambda: main(options))


if __name__ == "__main__":
    sys.exit(cli_main())
