"""A project that a config file describes: its examples, its training, its evaluation.

`scripts/train.py` and the notebooks run it. Leaves to others: the file (`project_config`), the course of a training
(`training`), what a model's folder holds (`model_folder`).
"""

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import checkpoints
from bert import datasets
from bert import estimator as estimator_lib
from bert import files
from bert import hooks as hooks_lib
from bert import input_fn as input_fn_lib
from bert import model_folder
from bert import options as options_lib
from bert import project_config
from bert import tables
from bert import tokenization
from bert import training

TEXT_COLUMNS = ("text", "sentence", "review")
LABEL_COLUMNS = ("label", "sentiment")
_SPLIT_KEYS = (
    "data_path",
    "dev_path",
    "dev_fraction",
    "seed",
)  # what decides which rows are held out

_log = logging.getLogger(__name__)

Examples = Sequence[datasets.InputExample]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How many answers were right.

    Attributes:
      confusion: int64[c, c], rows the true class, columns the predicted one.
    """

    confusion: npt.NDArray[np.int64]

    @property
    def right(self) -> int:
        """How many answers were right."""
        return int(np.trace(self.confusion))

    @property
    def count(self) -> int:
        """Of how many."""
        return int(np.sum(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.count


@dataclasses.dataclass(frozen=True)
class Project:
    """Everything that a training and its evaluation need.

    Attributes:
      dev: a file's examples, or those held out of the training file; none where there are neither.
    """

    config: project_config.ProjectConfig
    options: options_lib.RunConfig
    processor: datasets.FileProcessor
    parts: model_folder.Parts
    tokenizer: tokenization.FullTokenizer
    train: Examples
    dev: Examples

    @property
    def folder(self) -> pathlib.Path:
        """The output_dir."""
        return pathlib.Path(self.config.output_dir)

    def plan(self) -> training.Plan:
        """Return how far the training is and how far it goes."""
        return training.plan(self.options, len(self.train))


def prepare(config: project_config.ProjectConfig) -> Project:
    """Read the training and dev examples and find the weights; nothing is written.

    Raises:
      ValueError, OSError: data or weights that cannot be used, or a folder that was trained in another way.
    """
    _check_same_split(config)
    options = with_columns(config).options()
    sources = model_folder.gather(options)
    processor = datasets.FileProcessor(options, sources.labels)
    parts = model_folder.resolve(options, sources, processor.get_labels())
    train: Examples = processor.get_train_examples("")
    if config.dev_path is not None:
        dev: Examples = processor.get_dev_examples("")
    else:
        train, dev = hold_out(train, config.dev_fraction, config.seed)
    return Project(config, options, processor, parts, parts.tokenizer(), train, dev)


def run(
    project: Project,
    report: Callable[[int, float], object],
    hooks: Sequence[tf.compat.v1.train.SessionRunHook] = (),
) -> training.Plan:
    """Train as far as the config says, from the folder's newest checkpoint where it has one.

    Args:
      report: called after every step with (steps done, loss).
      hooks: of your own.

    Returns:
      The plan as it stands at the end.

    Raises:
      ValueError: another process trains in the folder, or it was trained in another way.
    """
    with files.claimed(project.folder):
        _check_same_split(project.config)  # again: another process may have begun a training since
        project.config.save(project.folder / project_config.RESOLVED_FILE)
        return training.train(
            project.parts,
            project.tokenizer,
            project.train,
            project.dev,
            project.options,
            report,
            hooks,
        )


def evaluate(project: Project, examples: Examples, name: str = "eval") -> Evaluation:
    """Evaluate the folder's model and write `<name>_results.txt`.

    Raises:
      ValueError: an example has no label.
    """
    unlabelled = [example.guid for example in examples if example.label is None]
    if unlabelled:
        raise ValueError(
            f"examples to evaluate on must have labels, got none for {unlabelled[0]}; label or remove it"
        )
    parts, batch_size = project.parts, project.options.eval_batch_size
    input_fn = input_fn_lib.from_examples(
        examples,
        parts.labels,
        parts.record.max_seq_length,
        project.tokenizer,
        project.folder / f"{name}.tf_record",
        batch_size=batch_size,
        truncation=parts.record.truncation,
    )
    model = estimator_lib.model_of(parts, project.folder)
    hook = hooks_lib.ConfusionHook()
    results = estimator_lib.build_estimator(project.folder, model).evaluate(
        input_fn,
        steps=-(-len(examples) // batch_size),
        hooks=[hook],
        name=None if name == "eval" else name,
    )
    lines = [f"{key} = {value}\n" for key, value in sorted(results.items())]
    files.write_text(project.folder / f"{name}_results.txt", "".join(lines))
    return Evaluation(hook.counts)


def hold_out(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Return (train, dev), each in the order given: `fraction` of every label's examples, drawn by the seed.

    A label of two examples or more keeps one and gives one at least; a fraction of 0 gives none.
    """
    by_label: dict[str | None, list[int]] = {}
    for index, example in enumerate(examples):
        by_label.setdefault(example.label, []).append(index)
    rng = np.random.default_rng(seed)
    held: set[int] = set()
    for indices in by_label.values():
        count = min(max(1, round(fraction * len(indices))), len(indices) - 1) if fraction else 0
        held |= {int(index) for index in rng.permutation(indices)[:count]}
    train = [example for index, example in enumerate(examples) if index not in held]
    return train, [examples[index] for index in sorted(held)]


def with_columns(config: project_config.ProjectConfig) -> project_config.ProjectConfig:
    """Return the config with the columns named that it leaves to the training file's header.

    Raises:
      ValueError: the header has none of the usual names.
    """
    found = header(config.data_path)
    return config.changed(
        text_column=config.text_column
        or usual_column(config.data_path, found, "text_column", TEXT_COLUMNS),
        label_column=config.label_column
        or usual_column(config.data_path, found, "label_column", LABEL_COLUMNS),
    )


def header(path: files.Path) -> list[str]:
    """Return the names of a data file's columns.

    Raises:
      ValueError: it has no row.
    """
    names = tables.column_names(path)
    if not names:
        raise ValueError(
            f"{path} must hold a header and at least one row, got none; check the file"
        )
    return names


def usual_column(path: files.Path, found: Sequence[str], key: str, usual: Sequence[str]) -> str:
    """Return the first usual name that a file has.

    Raises:
      ValueError: it has none; the message names the key that takes another name.
    """
    for name in usual:
        if name in found:
            return name
    raise ValueError(
        f"{path}:1: must have a column named {' or '.join(map(repr, usual))}, found "
        f"{', '.join(map(repr, found))}; name yours with {key}"
    )


def _check_same_split(config: project_config.ProjectConfig) -> None:
    """Refuse to go on with other rows held out: the model would be judged by what it has learned."""
    path = pathlib.Path(config.output_dir) / project_config.RESOLVED_FILE
    if not path.is_file() or checkpoints.latest_step(config.output_dir) is None:
        return
    before = project_config.read(path)
    differing = [
        f"{key} ({getattr(before, key)!r} there, {getattr(config, key)!r} now)"
        for key in _SPLIT_KEYS
        if getattr(before, key) != getattr(config, key)
    ]
    if differing:
        raise ValueError(
            f"{config.output_dir} must be gone on with as it was begun, but the configs differ in "
            f"{', '.join(differing)}; restore it or use another output_dir"
        )
