"""What stands beside a checkpoint: the architecture, and what a trained classifier must remember.

`BertConfig` is the release's `bert_config.json`, `ClassifierConfig` this project's own record. Leaves to others: the
options of a run (`options`), finding weights (`pretrained`).
"""

import importlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pydantic

from bert import files

POOLINGS = ("default", "global_max_pool", "global_average_pool")
Truncation = Literal["head", "tail", "head_tail"]

CONFIG_FILE = "bert_config.json"
CLASSIFIER_FILE = "classifier_config.json"
VOCAB_FILE = "vocab.txt"

_MOST = 2**31  # TensorFlow's ids and shapes are int32
# The deepest BERTs have 48; a list of the variables of 10**9 layers fills any memory.
_MOST_LAYERS = 1000
_LONGEST_WORD = 10_000  # the time to split a word grows with the square of its length


def explain_problems(error: pydantic.ValidationError, title: str) -> str:
    """Return every problem of a failed validation, one line each, under `title`."""
    lines = [f"{title}: {error.error_count()} problem(s)"]
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "options"
        lines.append(f"  {where:.200}: {problem['msg']}, got {problem['input']!r:.200}")
    return "\n".join(lines)


def import_object(path: str, option: str) -> Any:
    """Return what `package.module:name` names, for the options that take a class or function of the user's own.

    Raises:
      ValueError: it cannot be imported; the message names the option.
    """
    module_name, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    # TypeError: of a module whose name begins with a dot
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{option} must be importable as package.module:name, got {path!r} ({error}); run from the folder that "
            "holds the module or put it on PYTHONPATH"
        ) from None


def _check_pooling(name: str) -> str:
    if name not in POOLINGS and ":" not in name:
        raise ValueError(
            f"must be one of {', '.join(POOLINGS)}, or a head of your own as package.module:NAME"
        )
    return name


# With a bound, halves of characters are refused.
_Text = Annotated[str, pydantic.Field(min_length=0)]
Pooling = Annotated[_Text, pydantic.AfterValidator(_check_pooling)]


class BertConfig(pydantic.BaseModel):
    """The architecture, in the keys and defaults of the release's `bert_config.json`; unknown keys are kept."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    vocab_size: int = pydantic.Field(gt=0, lt=_MOST)
    hidden_size: int = pydantic.Field(768, gt=0, lt=_MOST)
    num_hidden_layers: int = pydantic.Field(12, ge=1, le=_MOST_LAYERS)
    num_attention_heads: int = pydantic.Field(12, ge=1, lt=_MOST)
    intermediate_size: int = pydantic.Field(3072, gt=0, lt=_MOST)
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = pydantic.Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = pydantic.Field(0.1, ge=0, lt=1)
    max_position_embeddings: int = pydantic.Field(512, gt=0, lt=_MOST)
    type_vocab_size: int = pydantic.Field(16, ge=0, lt=_MOST)
    initializer_range: float = pydantic.Field(0.02, ge=0)
    layer_norm_eps: float = pydantic.Field(1e-12, gt=0, exclude_if=lambda value: value == 1e-12)

    def __init__(self, /, *args: Any, **values: Any) -> None:
        """Accept values by position too, in the release's order: vocab_size, hidden_size, ..."""
        try:
            super().__init__(**dict(zip(type(self).model_fields, args, strict=False)), **values)
        except pydantic.ValidationError as error:
            raise ValueError(explain_problems(error, CONFIG_FILE)) from None

    @property
    def size_per_head(self) -> int:
        """Width of one attention head.

        Raises:
          ValueError: the heads do not divide the width; as in the release, such a config can be made but not run.
        """
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads, got {self.hidden_size} and "
                f"{self.num_attention_heads}"
            )
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_dict(cls, json_object: Mapping[str, Any]) -> Self:
        """Build a config from the release's keys."""
        return cls(**json_object)

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Self:
        """Read a `bert_config.json` or a Hugging Face `config.json` of a BERT.

        Raises:
          FileNotFoundError: the file is not there.
          ValueError: not JSON, or a value that no BERT can have; every problem is listed.
        """
        values = read_json(json_file)
        try:
            return cls(**values)
        except ValueError as error:
            told = str(error).removeprefix(CONFIG_FILE)
            raise ValueError(f"{json_file}{told}") from None

    def to_dict(self) -> dict[str, Any]:
        """Return the config as the release's keys plus any unknown ones that were read."""
        return self.model_dump()

    def to_json_string(self) -> str:
        """Return the JSON text in the release's layout: indented by 2, sorted keys, final newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
      FileNotFoundError: the file is not there.
      ValueError: the file holds no JSON object; the message gives line and column.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path} must be a JSON file, but there is none; check the path")
    try:
        values = json.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{error.lineno}: must be JSON, got {error.msg} at column {error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, thousands of digits or of brackets
        raise ValueError(f"{path}: must be JSON, got what its reader refuses ({error})") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}:1: must hold a JSON object, got a {type(values).__name__}")
    return values


class ClassifierConfig(pydantic.BaseModel):
    """What a model's folder remembers beside its checkpoint, so that later loaders need only that folder.

    Attributes:
      labels: names of the classes, in class order; none where the checkpoint holds an encoder only.
      strip_accents: None does as `do_lower_case` does, which is the release's rule.
      tokenize_chinese_chars: each Chinese character is a word of its own.
      max_input_chars_per_word: longer words become [UNK]; 200 in the release's last version, 100 in transformers.
      truncation: which part of a long text is read.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    labels: tuple[_Text, ...] = ()
    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    max_input_chars_per_word: int = pydantic.Field(200, ge=1, le=_LONGEST_WORD)
    max_seq_length: int = pydantic.Field(128, ge=3)
    truncation: Truncation = "head"
    pooling: Pooling = "default"

    @pydantic.field_validator("labels")
    @classmethod
    def _refuse_repeated(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise ValueError("must name each class once")
        return labels

    @classmethod
    def load(cls, model_dir: str | os.PathLike[str]) -> Self | None:
        """Read the record of a trained folder; None where the folder holds none."""
        path = pathlib.Path(model_dir) / CLASSIFIER_FILE
        if not path.is_file():
            return None
        try:
            return cls(**read_json(path))
        except pydantic.ValidationError as error:
            raise ValueError(explain_problems(error, str(path))) from None

    def save(self, model_dir: str | os.PathLike[str]) -> None:
        """Write the record into a trained folder."""
        text = json.dumps(self.model_dump(), indent=2, ensure_ascii=False) + "\n"
        files.write_text(pathlib.Path(model_dir) / CLASSIFIER_FILE, text)


class SourceModel(NamedTuple):
    """A model as read from a format that is not the release's.

    Attributes:
      vocabulary: text of the vocab.txt, one token a line.
      variables: float32 arrays under the release's names; kernels [in, out], `output_weights` [labels, hidden] and
        `output_bias` [labels] where the classifier is trained.
    """

    config: BertConfig
    record: ClassifierConfig
    vocabulary: str
    variables: dict[str, npt.NDArray[np.float32]]


def parse_label_map(text: str) -> dict[str, str]:
    """Return value -> label of `value=label` pairs with commas between.

    >>> parse_label_map("neg=0, pos=1")
    {'neg': '0', 'pos': '1'}

    Raises:
      ValueError: anything else, or a value twice.
    """
    label_values: dict[str, str] = {}
    for pair in text.split(","):
        value, _, label = (part.strip() for part in pair.partition("="))
        if not value or not label or "=" in label:
            raise ValueError(
                f"label_map must be value=label pairs with commas between, such as pos=1,neg=0; got {pair!r} in "
                f"{text!r}"
            )
        if value in label_values:
            raise ValueError(
                f"label_map must name each value once, got {value!r} twice in {text!r}"
            )
        label_values[value] = label
    return label_values
