"""Every option of a run: each flag, its default and its help are written here once.

`run_classifier.py` derives its flags from `RunConfig`, the README's table is checked against it. Leaves to others:
what a folder remembers (`config`), reading data (`datasets`), finding weights (`pretrained`).
"""

from collections.abc import Mapping
from typing import Any, Self

import pydantic

from bert import config as config_lib


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
    train_file: str | None = pydantic.Field(
        None,
        description="Your own training file (.tsv, .csv or .jsonl), in place of --data_dir and --task_name.",
    )
    dev_file: str | None = pydantic.Field(None, description="The file that --do_eval reads.")
    test_file: str | None = pydantic.Field(None, description="The file that --do_predict reads.")
    text_column: str = pydantic.Field("text", description="Column of the text in your own files.")
    text_b_column: str | None = pydantic.Field(
        None, description="Column of the second text, for pairs."
    )
    label_column: str = pydantic.Field(
        "label", description="Column of the label; a test file may lack it."
    )
    label_map: str | None = pydantic.Field(
        None,
        description="What the label column's values mean, as pos=1,neg=0 or 0=negative,1=positive; unset: "
        "the training file's values are the labels.",
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
    truncation: config_lib.Truncation = pydantic.Field(
        "head",
        description="Which part of a longer text is read: head, tail, or head_tail (its first quarter and its last "
        "three, as in Sun et al. 2019).",
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
    classifier_head_config: config_lib.Pooling | None = pydantic.Field(
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
