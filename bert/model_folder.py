"""What makes a classifier whole (config, vocabulary, labels, casing, length, pooling, weights) and its folder.

Training writes them beside the checkpoint, so that every later loader needs only that folder. Leaves to others:
finding named weights (`pretrained`), converting them (`checkpoints`), the graph (`estimator`).
"""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from bert import checkpoints
from bert import config as config_lib
from bert import files
from bert import options as options_lib
from bert import pretrained
from bert import tokenization


@dataclasses.dataclass(frozen=True)
class Parts:
    """A classifier's parts.

    Attributes:
      init_checkpoint: TF1 checkpoint to start from; None starts from random weights.
    """

    config: config_lib.BertConfig
    record: config_lib.ClassifierConfig
    vocab_file: str
    init_checkpoint: str | None

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in class order."""
        return list(self.record.labels)

    def tokenizer(self) -> tokenization.FullTokenizer:
        """Return the tokenizer that the weights were trained with.

        Raises:
          ValueError: the vocabulary has more entries than the word table has rows.
        """
        tokenizer = tokenization.FullTokenizer(self.vocab_file, self.record.do_lower_case)
        entries = max(tokenizer.vocab.values()) + 1
        if entries > self.config.vocab_size:
            raise ValueError(
                f"{self.vocab_file} must have at most {self.config.vocab_size} lines (vocab_size of the config), got "
                f"{entries}; use the vocabulary and the config of the same model"
            )
        return tokenizer

    def vocabulary_bytes(self) -> bytes:
        """Return the vocabulary file as it is."""
        return pathlib.Path(self.vocab_file).read_bytes()

    def save(self, model_dir: files.Path) -> None:
        """Write config, vocabulary and record into a folder."""
        folder = pathlib.Path(model_dir)
        files.write_text(folder / config_lib.CONFIG_FILE, self.config.to_json_string())
        files.copy(self.vocab_file, folder / config_lib.VOCAB_FILE)
        self.record.save(folder)


def load(model_dir: files.Path) -> Parts:
    """Return the parts of a trained folder, with its newest checkpoint.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
    """
    parts = _trained(model_dir)
    checkpoint = tf.train.latest_checkpoint(str(model_dir))
    if not parts or checkpoint is None:
        lacking = "checkpoint" if parts else config_lib.CLASSIFIER_FILE
        raise FileNotFoundError(
            f"{model_dir} must be the output_dir of a finished training, but it holds no {lacking}; train with "
            "run_classifier.py --do_train"
        )
    return _assemble(parts | {"init_checkpoint": checkpoint})


def resolve(options: options_lib.RunConfig, labels: Sequence[str]) -> Parts:
    """Return the parts of a run: what flags give comes first, then a trained output_dir, then --model, then defaults.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: something is missing or does not fit; the message names the flag.
    """
    given = {name: getattr(options, name) for name in options.model_fields_set}
    if options.classifier_head_config:
        given["pooling"] = options.classifier_head_config
    trained = _trained(str(options.output_dir))
    named = _named(options.model) if options.model else {}
    chosen = collections.ChainMap({"labels": labels}, given, trained, named)
    missing = [
        f"--{name} (or --model) is required"
        for name in ("bert_config_file", "vocab_file")
        if chosen.get(name) is None
    ]
    if missing:
        raise ValueError("; ".join(missing))
    parts = _assemble(chosen)
    if trained and checkpoints.latest_step(str(options.output_dir)) is not None:
        _check_same(_assemble(trained), parts, str(options.output_dir))
    return parts


def _check_same(trained: Parts, wanted: Parts, folder: str) -> None:
    """Refuse to go on with a trained folder under other labels, pooling, casing, architecture or vocabulary."""
    facts = {
        "labels": (trained.labels, wanted.labels),
        "pooling": (trained.record.pooling, wanted.record.pooling),
        "do_lower_case": (trained.record.do_lower_case, wanted.record.do_lower_case),
        config_lib.CONFIG_FILE: (trained.config, wanted.config),
        config_lib.VOCAB_FILE: (trained.vocabulary_bytes(), wanted.vocabulary_bytes()),
    }
    differing = [name for name, (before, now) in facts.items() if before != now]
    if differing:
        told = [
            f"{name} ({facts[name][0]!r} there, {facts[name][1]!r} now)"
            for name in differing
            if name in config_lib.ClassifierConfig.model_fields
        ] or differing
        raise ValueError(
            f"{folder} must be used as it was trained, but the options differ in {', '.join(told)}; leave them out or "
            "use another --output_dir"
        )


def _assemble(values: Mapping[str, Any]) -> Parts:
    config = config_lib.BertConfig.from_json_file(values["bert_config_file"])
    known = {
        name: values[name] for name in config_lib.ClassifierConfig.model_fields if name in values
    }
    record = config_lib.ClassifierConfig(**known)
    if record.max_seq_length > config.max_position_embeddings:
        raise ValueError(
            f"max_seq_length must be at most {config.max_position_embeddings} (max_position_embeddings in "
            f"{values['bert_config_file']}), got {record.max_seq_length}; lower it or use another model"
        )
    checkpoint = values.get("init_checkpoint")
    tokenization.validate_case_matches_checkpoint(record.do_lower_case, checkpoint)
    return Parts(config, record, str(values["vocab_file"]), checkpoint)


def _trained(model_dir: files.Path) -> dict[str, Any]:
    record = config_lib.ClassifierConfig.load(model_dir)
    if record is None:
        return {}
    folder = pathlib.Path(model_dir)
    return {
        **record.model_dump(),
        "bert_config_file": str(folder / config_lib.CONFIG_FILE),
        "vocab_file": str(folder / config_lib.VOCAB_FILE),
    }


def _named(model: str) -> dict[str, Any]:
    folder = pretrained.fetch(model)
    google = folder / config_lib.CONFIG_FILE
    weights = pretrained.lookup(model)
    recommended = (
        {"pooling": weights.pooling, "do_lower_case": weights.do_lower_case} if weights else {}
    )
    return {
        "bert_config_file": str(google if google.is_file() else folder / "config.json"),
        "vocab_file": str(folder / config_lib.VOCAB_FILE),
        "init_checkpoint": checkpoints.release_checkpoint(folder, pretrained.cache_dir()),
        **recommended,
    }
