"""Every option of a run: each flag, its default and its help are written here once.

`run_classifier.py` derives its flags from `RunConfig`, the README's table is checked against it. Leaves to others:
what a folder remembers (`config`), reading data (`datasets`), finding weights (`pretrained`).
"""

import os
from collections.abc import Mapping
from typing import Any, Literal, Self

import pydantic

from bert import config as config_lib


class DataConfig(pydantic.BaseModel):
    """Where the examples come from and how they become tokens."""

    data_dir: str | None = pydantic.Field(
        None, description="Folder with the task's files (train.tsv, dev.tsv, test.tsv)."
    )
    task_name: str | None = pydantic.Field(
        None,
        description="Name of the task: imdb, cola, mrpc, mnli, xnli, qnli, sst2, sst3, sst5, semeval, yelp2 or yelp5; "
        "--processor takes a class instead.",
    )
    processor: str | None = pydantic.Field(
        None, description="Your own DataProcessor as package.module:Class, in place of --task_name."
    )
    train_file: str | None = pydantic.Field(
        None,
        description="Your own training file (.tsv, .csv or .jsonl), in place of --data_dir and --task_name.",
    )
    dev_file: str | None = pydantic.Field(None, description="The file that --do_eval reads.")
    test_file: str | None = pydantic.Field(
        None, description="The file that --do_predict and --eval_test read."
    )
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
        description="Named pretrained weights (minilm-l6, uncased_L-2_H-128_A-2, ...), a Hugging Face id "
        "(bert-base-cased), a TF-Hub handle, or a local folder of any of these; fills in --bert_config_file, "
        "--vocab_file, --init_checkpoint, casing and pooling.",
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
        "global_average_pool over the real tokens, or your own bert.classifier.Head as package.module:NAME. Unset: "
        "what --model recommends, else default.",
    )
    train_batch_size: int = pydantic.Field(32, ge=1, description="Examples in a training batch.")
    gradient_accumulation_steps: int = pydantic.Field(
        1,
        ge=1,
        description="Parts in which each training batch is computed, one after the other, to save memory; the update "
        "is that of the whole batch.",
    )
    bucket_by_length: bool = pydantic.Field(
        False,
        description="Put texts of like length into a training batch, which saves padding. Where length tells of the "
        "label, batches then hold one label each, and train badly. A training that goes on needs it again.",
    )
    learning_rate: float = pydantic.Field(5e-5, gt=0, description="Peak learning rate of AdamW.")
    learning_rate_schedule: Literal["default", "lr_range_test", "one_cycle"] = pydantic.Field(
        "default",
        description="default (warm-up, then linear to 0), one_cycle, or lr_range_test: from 0 to --max_learning_rate, "
        "with the loss against it in lr_range_test.png.",
    )
    max_learning_rate: float = pydantic.Field(
        1.0, gt=0, description="The last learning rate of an lr_range_test."
    )
    class_weights: str | None = pydantic.Field(
        None,
        description="Factors of the training loss by label, as neg=1,pos=2.5 (1 where left out), or balanced: inverse "
        "to the labels' counts.",
    )
    freeze_encoder: bool = pydantic.Field(
        False, description="Train the classifier and its pooler only."
    )
    eval_every_steps: int = pydantic.Field(
        0,
        ge=0,
        description="Evaluate on the dev set every so many training steps and keep the best model in "
        "output_dir/best, which evaluation and prediction then use; 0 keeps the last.",
    )
    best_metric: Literal["accuracy", "f1", "loss"] = pydantic.Field(
        "accuracy", description="What best means for --eval_every_steps: accuracy, f1 or loss."
    )
    early_stopping_patience: int = pydantic.Field(
        0,
        ge=0,
        description="Evaluations in a row without a new best after which training stops; 0 never stops.",
    )
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
    """The release's TPU flags, and what else a training is spread over."""

    use_tpu: bool = pydantic.Field(False, description="Use a TPU, or else the CPU or GPU.")
    tpu_name: str | None = pydantic.Field(None, description="Name of the Cloud TPU.")
    tpu_zone: str | None = pydantic.Field(None, description="GCE zone of the Cloud TPU.")
    gcp_project: str | None = pydantic.Field(None, description="Project name of the Cloud TPU.")
    master: str | None = pydantic.Field(None, description="TensorFlow master URL.")
    num_tpu_cores: int = pydantic.Field(
        8, ge=1, description="TPU cores to use when use_tpu is set."
    )
    distribution: Literal["mirrored", "multi_worker"] | None = pydantic.Field(
        None,
        description="Share every training batch out among the GPUs of this machine (mirrored), or among the processes "
        "that the environment's TF_CONFIG names (multi_worker); unset: one device.",
    )
    num_replicas: int = pydantic.Field(
        0,
        ge=0,
        description="GPUs of --distribution=mirrored (0: all), or where there is none, logical CPUs.",
    )


_PHASES = ("do_train", "do_eval", "do_predict", "eval_test")
_CLASHES = (  # two options that exclude each other, and why or what to do
    ("eval_every_steps", "use_tpu", "; evaluate at the end with --do_eval"),
    ("bucket_by_length", "use_tpu", ", which needs one shape"),
    ("xla", "use_tpu", ", which compiles by itself"),
    ("distribution", "use_tpu", ", which spreads by itself"),
    ("engine=openvino", "use_tpu", ""),
    ("xla", "engine=openvino", "; choose one"),
    ("xla", "distribution", ""),
    ("eval_every_steps", "distribution=multi_worker", "; evaluate at the end with --do_eval"),
)
REPLACED = {  # BERT-LRP's flags that are not taken over -> what to do
    "accumulate_gradients": "use --gradient_accumulation_steps",
    "base_learning_rate": "use --learning_rate",
    "embed_file": "leave it out, --model brings the embeddings",
    "local_rank": "leave it out, and use --distribution",
    "no_cuda": "leave it out, and set CUDA_VISIBLE_DEVICES=-1 in the environment",
}


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
    eval_test: bool = pydantic.Field(
        False, description="Evaluate on the test set too, once, after everything else."
    )
    debug: bool = pydantic.Field(False, description="Show the traceback of a failure.")
    model_type: Literal["BERT", "BERTPretrain"] | None = pydantic.Field(
        None,
        description="BERT-LRP's flag; with it and no --do_*, the run trains and evaluates, as there.",
    )
    precision: Literal["float32", "bfloat16"] = pydantic.Field(
        "float32",
        description="What the encoder's layers compute in, in training and prediction; bfloat16 is quicker where the "
        "processor multiplies it natively. Weights and their updates stay float32.",
    )
    engine: Literal["tensorflow", "openvino"] = pydantic.Field(
        "tensorflow",
        description="What predictions run on; openvino, an optional requirement, may be quicker on a CPU.",
    )
    xla: bool = pydantic.Field(
        False,
        description="Compile with XLA, in training (on GPUs) and prediction. Every size of a batch is compiled anew, "
        "which pays where there are few: many texts of one length.",
    )
    eval_batch_size: int = pydantic.Field(8, ge=1, description="Examples in an evaluation batch.")
    predict_batch_size: int = pydantic.Field(
        8,
        ge=1,
        description="Examples in a prediction batch on a TPU; elsewhere batches hold texts of like length, up to a "
        "number of tokens.",
    )
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

    @pydantic.field_validator(
        *("data_dir", "output_dir", "train_file", "dev_file", "test_file"),
        *("vocab_file", "bert_config_file", "init_checkpoint"),
    )
    @classmethod
    def _expand_home(cls, path: str | None) -> str | None:
        return path and os.path.expanduser(path)  # the shell leaves a ~ after = alone

    @pydantic.model_validator(mode="before")
    @classmethod
    def _as_bert_lrp(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if values.get("model_type") and not any(values.get(name) for name in _PHASES[:3]):
            return {**values, "do_train": True, "do_eval": True}
        return values

    @pydantic.model_validator(mode="after")
    def _has_work_and_its_inputs(self) -> Self:
        own_files = bool(self.train_file or self.dev_file or self.test_file)
        needed = {"output_dir": True, "data_dir": not own_files}
        problems = [
            f"--{name} is required"
            for name, is_needed in needed.items()
            if is_needed and getattr(self, name) is None
        ]
        if not (self.task_name or self.processor or own_files):
            problems.append("--task_name (or --processor, or --train_file) is required")
        if not any(getattr(self, name) for name in _PHASES):
            problems.append("at least one of --do_train, --do_eval or --do_predict must be set")
        problems += [
            f"--{option} does not go with --{other}{reason}"
            for option, other, reason in _CLASHES
            if self._has(option) and self._has(other)
        ]
        if set(self.output_dir or "") & set("*?[]"):  # TensorFlow takes them for patterns
            problems.append(f"--output_dir must be without * ? [ ], got {self.output_dir!r}")
        problems += self._missing_files() if own_files else []
        remote = [
            name for name in ("data_dir", "output_dir") if "://" in (getattr(self, name) or "")
        ]
        problems += [
            f"--{name} must be a local folder, got {getattr(self, name)!r}" for name in remote
        ]
        if self.train_batch_size % self.gradient_accumulation_steps:
            problems.append(
                f"--train_batch_size must be a multiple of --gradient_accumulation_steps, got {self.train_batch_size} "
                f"and {self.gradient_accumulation_steps}"
            )
        if self.early_stopping_patience and not self.eval_every_steps:
            problems.append("--early_stopping_patience needs --eval_every_steps")
        if self.num_replicas and self.distribution != "mirrored":
            problems.append("--num_replicas needs --distribution=mirrored")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _has(self, option: str) -> bool:
        """Tell whether an option has the value of `name=value`, or with a name alone, another than its default."""
        name, _, value = option.partition("=")
        given = getattr(self, name)
        return bool(given == value if value else given != type(self).model_fields[name].default)

    def _missing_files(self) -> list[str]:
        """Tell before a training which of the user's own files it, or what follows it, will lack."""
        needed = {
            "train_file": self.do_train,
            "dev_file": self.do_eval or self.eval_every_steps > 0,
            "test_file": self.do_predict or self.eval_test,
        }
        paths = {name: getattr(self, name) for name in needed}
        problems = [
            f"--{name} is required for what is asked"
            for name in needed
            if needed[name] and not paths[name]
        ]
        return problems + [
            f"--{name} must be a file, got {path!r}, which is not there"
            for name, path in paths.items()
            if path and not os.path.isfile(path)
        ]

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
