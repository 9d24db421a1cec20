"""Options and their files: every flag, its default and its help are written here once.

Holds the architecture (`BertConfig`, the release's `bert_config.json`), the options of a run (`RunConfig`, from
which `run_classifier.py` derives its flags) and what a trained folder must remember (`ClassifierConfig`). Leaves
to others: reading data (`datasets`), finding weights (`pretrained`).
"""

import importlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from bert import files

Pooling = Literal["default", "global_max_pool", "global_average_pool"]

CONFIG_FILE = "bert_config.json"
CLASSIFIER_FILE = "classifier_config.json"
VOCAB_FILE = "vocab.txt"


def explain_problems(error: pydantic.ValidationError, title: str) -> str:
    """Return every problem of a failed validation, one line each, under `title`."""
    lines = [f"{title}: {error.error_count()} problem(s)"]
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "options"
        lines.append(f"  {where}: {problem['msg']}, got {problem['input']!r}")
    return "\n".join(lines)


def import_object(path: str, option: str) -> Any:
    """Return what `package.module:name` names, for the options that take a class or function of the user's own.

    Raises:
      ValueError: it cannot be imported; the message names the option.
    """
    module_name, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{option} must be importable as package.module:name, got {path!r} ({error}); run from the folder that "
            "holds the module or put it on PYTHONPATH"
        ) from None


class BertConfig(pydantic.BaseModel):
    """The architecture, in the keys and defaults of the release's `bert_config.json`; unknown keys are kept."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    vocab_size: int = pydantic.Field(gt=0)
    hidden_size: int = pydantic.Field(768, gt=0)
    num_hidden_layers: int = pydantic.Field(12, ge=1)
    num_attention_heads: int = pydantic.Field(12, ge=1)
    intermediate_size: int = pydantic.Field(3072, gt=0)
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = pydantic.Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = pydantic.Field(0.1, ge=0, lt=1)
    max_position_embeddings: int = pydantic.Field(512, gt=0)
    type_vocab_size: int = pydantic.Field(16, gt=0)
    initializer_range: float = pydantic.Field(0.02, ge=0)
    layer_norm_eps: float = pydantic.Field(1e-12, gt=0, exclude_if=lambda value: value == 1e-12)

    def __init__(self, vocab_size: int | None = None, /, **values: Any) -> None:
        """Accept the vocabulary size by position, as the release's class does."""
        if vocab_size is not None:
            values["vocab_size"] = vocab_size
        try:
            super().__init__(**values)
        except pydantic.ValidationError as error:
            raise ValueError(explain_problems(error, CONFIG_FILE)) from None

    @pydantic.model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size must be a multiple of num_attention_heads, got {self.hidden_size} and "
                f"{self.num_attention_heads}"
            )
        return self

    @property
    def size_per_head(self) -> int:
        """Width of one attention head."""
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
        return cls(**read_json(json_file))

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
    text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{error.lineno}: must be JSON, got {error.msg} at column {error.colno}"
        ) from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}:1: must hold a JSON object, got a {type(values).__name__}")
    return values


class ClassifierConfig(pydantic.BaseModel):
    """What a trained folder remembers beside its checkpoint, so that later loaders need only that folder."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    labels: tuple[str, ...] = pydantic.Field(min_length=2)
    do_lower_case: bool = True
    max_seq_length: int = pydantic.Field(128, ge=3)
    pooling: Pooling = "default"

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


class DataConfig(pydantic.BaseModel):
    """Where the examples come from and how they become tokens."""

    data_dir: str | None = pydantic.Field(
        None, description="Folder with the task's files (train.tsv, dev.tsv, test.tsv)."
    )
    task_name: str | None = pydantic.Field(
        None,
        description="Name of the task to train, such as imdb; --processor takes a class instead.",
    )
    processor: str | None = pydantic.Field(
        None, description="Your own DataProcessor as package.module:Class, in place of --task_name."
    )
    vocab_file: str | None = pydantic.Field(
        None, description="Vocabulary file of the BERT model; --model fills it in."
    )
    do_lower_case: bool = pydantic.Field(
        True, description="Lower-case the text: True for uncased models, False for cased ones."
    )
    max_seq_length: int = pydantic.Field(
        128,
        ge=3,
        description="Longest input in tokens, [CLS] and [SEP] counted; longer is cut, shorter padded.",
    )


class TrainConfig(pydantic.BaseModel):
    """How training runs."""

    model: str | None = pydantic.Field(
        None,
        description="Named pretrained weights (minilm-l6) or a local Google or Hugging Face folder; fills in "
        "--bert_config_file, --vocab_file, --init_checkpoint and the recommended pooling.",
    )
    bert_config_file: str | None = pydantic.Field(
        None, description="The config JSON of the pretrained BERT; --model fills it in."
    )
    init_checkpoint: str | None = pydantic.Field(
        None,
        description="Checkpoint to start from, usually a pretrained BERT; --model fills it in.",
    )
    classifier_head_config: Pooling | None = pydantic.Field(
        None,
        description="What the classifier reads: default ([CLS] through the pooler), global_max_pool or "
        "global_average_pool over the real tokens. Unset: what --model recommends, else default.",
    )
    train_batch_size: int = pydantic.Field(32, ge=1, description="Examples in a training batch.")
    learning_rate: float = pydantic.Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    num_train_epochs: float = pydantic.Field(3.0, gt=0, description="Passes over the training set.")
    warmup_proportion: float = pydantic.Field(
        0.1,
        ge=0,
        le=1,
        description="Share of the steps over which the learning rate rises linearly.",
    )
    save_checkpoints_steps: int = pydantic.Field(
        1000, ge=1, description="Steps between checkpoints."
    )
    iterations_per_loop: int = pydantic.Field(
        1000, ge=1, description="Steps in each TPU estimator call."
    )
    seed: int = pydantic.Field(
        12345,
        ge=0,
        lt=2**31,
        description="Seed of initial weights, data order and dropout; the same seed, the same run.",
    )


class DeviceConfig(pydantic.BaseModel):
    """The release's TPU flags."""

    use_tpu: bool = pydantic.Field(False, description="Use a TPU (not in this version) or CPU/GPU.")
    tpu_name: str | None = pydantic.Field(None, description="Name of the Cloud TPU.")
    tpu_zone: str | None = pydantic.Field(None, description="GCE zone of the Cloud TPU.")
    gcp_project: str | None = pydantic.Field(None, description="Project name of the Cloud TPU.")
    master: str | None = pydantic.Field(None, description="TensorFlow master URL.")
    num_tpu_cores: int = pydantic.Field(
        8, ge=1, description="TPU cores to use when use_tpu is set."
    )


class RunConfig(DataConfig, TrainConfig, DeviceConfig):
    """Every option of `run_classifier.py`: google-research/bert's 25 flags and this project's own."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    output_dir: str | None = pydantic.Field(
        None,
        description="Folder for checkpoints, results and, with --attn_processor_fn, the pages.",
    )
    do_train: bool = pydantic.Field(False, description="Fine-tune on the training set.")
    do_eval: bool = pydantic.Field(False, description="Evaluate on the dev set.")
    do_predict: bool = pydantic.Field(False, description="Predict the test set.")
    eval_batch_size: int = pydantic.Field(8, ge=1, description="Examples in an evaluation batch.")
    predict_batch_size: int = pydantic.Field(8, ge=1, description="Examples in a prediction batch.")
    attn_processor_fn: str | None = pydantic.Field(
        None,
        description="With --do_predict: a processor of explain.attention, such as average_last_layer_by_head, or "
        "package.module:function; its result goes under `attention` and into report.html and attention.png.",
    )
    report_examples: int = pydantic.Field(
        200, ge=0, description="Most examples that report.html shows."
    )
    results_header: bool = pydantic.Field(
        False,
        description="Begin test_results.tsv with a header and add guid and predicted label to each row.",
    )

    @pydantic.model_validator(mode="after")
    def _has_work_and_its_inputs(self) -> Self:
        problems = [
            f"--{name} is required"
            for name in ("data_dir", "output_dir")
            if getattr(self, name) is None
        ]
        if not (self.task_name or self.processor):
            problems.append("--task_name (or --processor) is required")
        if not (self.do_train or self.do_eval or self.do_predict):
            problems.append("at least one of --do_train, --do_eval or --do_predict must be set")
        if self.use_tpu:
            problems.append(
                "--use_tpu is not supported in this version; leave it out to use CPU or GPU"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Validate the options of a run; every problem is in the one error.

        Raises:
          ValueError: an unknown option, a value out of range, or a combination that cannot run.
        """
        try:
            return cls(**values)
        except pydantic.ValidationError as error:
            problems = [_one_problem(problem) for problem in error.errors()]
            raise ValueError("; ".join(problems)) from None


def _one_problem(problem: Mapping[str, Any]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = ".".join(str(part) for part in problem["loc"])
    return f"--{name}: {message}, got {problem['input']!r}"
