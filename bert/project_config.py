"""One YAML file for a whole project: what to train on, with which weights, and what to show afterwards.

`ProjectConfig` is the file's schema; `read` reports every problem at once, with file, line and key. Leaves to others:
the training that it describes (`project`), what a method is (`explain`). Relative paths count from the current folder.
"""

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

import pydantic
import yaml

from bert import config as config_lib
from bert import files
from bert import options as options_lib
from bert import yaml_mapping

RESOLVED_FILE = "resolved_config.yaml"  # not config.yaml, which the user may have put there
_DATA_PATHS = ("data_path", "dev_path", "test_path")
_FLAGS = {  # key -> the option of `RunConfig` that it sets; the other keys bear the option's name
    "data_path": "train_file",
    "dev_path": "dev_file",
    "test_path": "test_file",
    "batch_size": "train_batch_size",
    "num_epochs": "num_train_epochs",
}


class ConfigError(ValueError):
    """What is wrong with a project's config, one line a problem."""


def _option(name: str) -> Any:
    """Return the field of `RunConfig`, so that default, bounds and description are written once."""
    return options_lib.RunConfig.model_fields[name]


class ProjectConfig(pydantic.BaseModel):
    """The keys of a config.yaml."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = pydantic.Field(
        min_length=1,
        description="Pretrained weights: a name (minilm-l6, uncased_L-2_H-128_A-2, ...), a local folder, or a Hugging "
        "Face id.",
    )
    data_path: str = pydantic.Field(
        min_length=1, description="Training file (.csv, .tsv or .jsonl) with a text and a label."
    )
    output_dir: str = pydantic.Field(
        min_length=1, description="Folder of the trained model and of visualizations/."
    )
    batch_size: int = pydantic.Field(ge=1, description="Examples in a training batch.")
    num_epochs: float = pydantic.Field(gt=0, description="Passes over the training set.")
    attention_layers: tuple[int, ...] = pydantic.Field(
        description="Layers whose attention is drawn: 0 is the first, -1 the last; [] draws none."
    )

    dev_path: str | None = pydantic.Field(
        None, description="File to evaluate on; unset: a part of data_path is held out for it."
    )
    dev_fraction: float = pydantic.Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of each label's rows in data_path that is held out where there is no dev_path; 0: none.",
    )
    test_path: str | None = pydantic.Field(
        None, description="File to evaluate on once, after everything else."
    )
    text_column: str | None = pydantic.Field(
        None, description="Column of the text; unset: text, sentence or review."
    )
    text_b_column: str | None = _option("text_b_column")
    label_column: str | None = pydantic.Field(
        None, description="Column of the label; unset: label or sentiment."
    )
    label_map: str | None = _option("label_map")
    max_seq_length: int = _option("max_seq_length")
    truncation: config_lib.Truncation = _option("truncation")
    learning_rate: float = _option("learning_rate")
    warmup_proportion: float = _option("warmup_proportion")
    save_checkpoints_steps: int = _option("save_checkpoints_steps")
    seed: int = _option("seed")

    method: tuple[str, ...] = pydantic.Field(
        ("integrated_gradients",),
        min_length=1,
        description="Methods that explain an answer, one or a list.",
    )
    method_options: dict[str, dict[str, Any]] = pydantic.Field(
        {},
        description="Options of methods: method: {option: value}, as integrated_gradients: {baseline: mask}.",
    )
    target: str = pydantic.Field(
        "predicted",
        description="What is explained: predicted, a label, a-b for the lead of label a over b, or all labels in turn.",
    )
    word_scores: Literal["sum", "mean", "max"] = pydantic.Field(
        "sum", description="How the scores of a word's pieces become the word's."
    )
    long_text: Literal["cut", "window"] = pydantic.Field(
        "cut", description="A longer text is cut, or read in overlapping windows."
    )

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("must not be true or false, as YAML also reads yes, no, on and off")
        return value

    @pydantic.field_validator("method", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return split_names(value) if isinstance(value, str) else value

    @pydantic.field_validator("target", mode="before")
    @classmethod
    def _spell_label(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value  # YAML reads the label 1 as a number

    @pydantic.field_validator("model", "output_dir", *_DATA_PATHS)
    @classmethod
    def _expand_home(cls, path: str | None) -> str | None:
        return path and os.path.expanduser(path)

    @pydantic.field_validator("output_dir")
    @classmethod
    def _check_folder(cls, path: str) -> str:
        if "://" in path or set(path) & set("*?[]"):  # TensorFlow takes them for patterns
            raise ValueError("must be a local folder without * ? [ ] in its name")
        return path

    def options(self) -> options_lib.RunConfig:
        """Return the same training as options of `run_classifier.py`."""
        values = {_FLAGS.get(name, name): value for name, value in self if value is not None}
        known = {
            name: values[name] for name in values if name in options_lib.RunConfig.model_fields
        }
        return options_lib.RunConfig.parse({**known, "do_train": True})

    def changed(self, **values: Any) -> Self:
        """Return the config with other values, which are not checked again."""
        return self.model_copy(update=values)

    def save(self, path: files.Path) -> None:
        """Write every key, so that the file says what a training was."""
        values = self.model_dump(mode="json", exclude_none=True)
        text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        if "\x85" in text:  # PyYAML takes it for the end of a line, which comes back as a space
            text = yaml.safe_dump(values, sort_keys=False)
        files.write_text(path, text)


def split_names(text: str) -> tuple[str, ...]:
    """Return the names of a list with commas.

    >>> split_names("rollout, random")
    ('rollout', 'random')
    """
    return tuple(name for part in text.split(",") if (name := part.strip()))


def read(
    path: files.Path,
    *,
    count_layers: Callable[[str], int] | None = None,
    methods: Collection[str] = (),
    reads_data: bool = False,
) -> ProjectConfig:
    """Read and check a config file.

    Args:
      count_layers: tells how many layers a `model` has, so that `attention_layers` can be checked; unset: they are not.
      methods: the names that `method` may hold beside package.module:function; none: any name passes.
      reads_data: whether the data files must be there.

    Raises:
      ConfigError: the file is no YAML mapping, or a key or value is wrong; every problem is told, one line each.
    """
    values, lines, problems = _load(path)
    try:
        config = ProjectConfig(**values)
    except pydantic.ValidationError as error:
        problems += [_told(problem) for problem in error.errors()]
    problems += [*_unknown_methods(values, methods)]
    if reads_data:
        problems += [*_missing_files(values)]
    if count_layers is not None:
        problems += [*_layers_out_of_range(values, count_layers)]
    if problems:
        ordered = sorted(problems, key=lambda problem: lines.get(problem[0], 0))
        raise ConfigError("\n".join(_line(path, lines, *problem) for problem in ordered))
    return config


def resolve_layers(layers: Sequence[int], count: int) -> tuple[int, ...]:
    """Return layer numbers as 0 to count - 1, each once, in the order given.

    Raises:
      ConfigError: the model has no such layer.

    >>> resolve_layers([0, -1, 5], 6)
    (0, 5)
    """
    wrong = [layer for layer in layers if not -count <= layer < count]
    if wrong:
        raise ConfigError(f"attention_layers: {_out_of_range(wrong, count)}")
    return tuple(dict.fromkeys(layer % count for layer in layers))


def options_of_methods(
    config: ProjectConfig,
    asked: Sequence[str],
    known: Collection[str],
    bind: Callable[[Sequence[str], Mapping[str, Mapping[str, Any]]], Sequence[Any]],
) -> dict[str, dict[str, Any]]:
    """Return the config's options of the methods asked for; those of other known methods are checked as well.

    Args:
      bind: `explain.methods.bind`, which finds methods and refuses what they cannot have.

    Raises:
      ConfigError: a method or an option that is none, or a value that an option cannot have.
    """
    others = [name for name in config.method_options if name in known and name not in asked]
    try:
        bound = bind([*asked, *others], config.method_options)
    except ValueError as error:
        raise ConfigError(f"method, method_options: {error}") from None
    names = [method.name for method in bound[: len(asked)]]
    return {name: config.method_options[name] for name in names if name in config.method_options}


def describe() -> str:
    """Return a table of the keys for a command's --help: name, default, what it means."""
    lines = []
    for name, field in ProjectConfig.model_fields.items():
        default = field.get_default()
        shown = ", ".join(default) if isinstance(default, tuple) else default
        is_unset = shown is None or shown == {}
        told = "required" if field.is_required() else f"default {'unset' if is_unset else shown}"
        lines.append(f"  {name} ({told}): {field.description}")
    return "\n".join(lines)


_Problem = tuple[str, str]  # key, message


def _load(path: files.Path) -> tuple[dict[str, Any], dict[str, int], list[_Problem]]:
    """Return the values, the line of each key, and the keys that stand twice."""
    try:
        values, lines_of_keys = yaml_mapping.read(path)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from None
    lines: dict[str, int] = {}
    problems = []
    for key, line in lines_of_keys:
        if key in lines:
            problems.append((key, f"stands twice, first in line {lines[key]}"))
        lines[key] = line
    return values, lines, problems


def _told(problem: Mapping[str, Any]) -> _Problem:
    key = str(problem["loc"][0])
    if problem["type"] == "missing":
        field = ProjectConfig.model_fields[key]
        return key, f"is required; add `{key}: ...` ({field.description})"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, ProjectConfig.model_fields, n=1)
        legal = f"did you mean {near[0]!r}?" if near else f"{', '.join(ProjectConfig.model_fields)}"
        return key, f"unknown key; {legal if near else f'the keys are {legal}'}"
    message = str(problem["msg"]).removeprefix("Value error, ").replace("tuple", "list")
    message = re.sub("^(Input|String|Tuple) should", "must", message)
    return key, f"{message}, got {problem['input']!r:.200}"


def _unknown_methods(values: Mapping[str, Any], methods: Collection[str]) -> Iterator[_Problem]:
    given = values.get("method", ())
    names = split_names(given) if isinstance(given, str) else given
    for name in names if isinstance(names, list | tuple) else ():
        if methods and isinstance(name, str) and name not in methods and ":" not in name:
            near = difflib.get_close_matches(name, methods, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield "method", f"must be of {', '.join(methods)}, got {name!r}{hint}"


def _missing_files(values: Mapping[str, Any]) -> Iterator[_Problem]:
    for key in _DATA_PATHS:
        path = values.get(key)
        if isinstance(path, str) and path and not _is_file(path):
            where = "" if os.path.isabs(path) else f" in {os.getcwd()}"
            yield key, f"must be a file, got {path!r}, which is not there{where}"


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(os.path.expanduser(path))
    except ValueError:  # no user's name after the ~ has a NUL or half a character
        return False


def _layers_out_of_range(
    values: Mapping[str, Any], count_layers: Callable[[str], int]
) -> Iterator[_Problem]:
    model, layers = values.get("model"), values.get("attention_layers")
    if not (isinstance(model, str) and model and isinstance(layers, list)):
        return
    try:
        count = count_layers(model)
    except (ValueError, OSError) as error:
        yield "model", str(error)
        return
    numbers = [layer for layer in layers if type(layer) is int]
    if wrong := [layer for layer in numbers if not -count <= layer < count]:
        yield "attention_layers", _out_of_range(wrong, count)


def _out_of_range(wrong: Sequence[int], count: int) -> str:
    return (
        f"must be from {-count} to {count - 1} in a model of {count} layers, got "
        f"{', '.join(map(str, wrong))}"
    )


def _line(path: files.Path, lines: Mapping[str, int], key: str, message: str) -> str:
    where = f"{path}:{lines[key]}" if key in lines else f"{path}"
    shown = key if key.isprintable() else repr(key)
    return f"{where}: {shown:.80}: {message}"
