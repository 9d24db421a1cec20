"""What makes a classifier whole (config, vocabulary, labels, casing, length, pooling, weights) and its folder.

Training writes them beside the checkpoint, so that every later loader needs only that folder. Leaves to others:
finding named weights (`pretrained`), converting them (`checkpoints`), the graph (`estimator`).
"""

import collections
import dataclasses
import itertools
import logging
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from bert import checkpoints
from bert import checksums
from bert import config as config_lib
from bert import conversion
from bert import datasets
from bert import features
from bert import files
from bert import options as options_lib
from bert import pretrained
from bert import tf_hub
from bert import tokenization

_log = logging.getLogger(__name__)

_ENCODED_AT_ONCE = 64
_TEXTS = (config_lib.CONFIG_FILE, config_lib.VOCAB_FILE, config_lib.CLASSIFIER_FILE)
BEST = "best"  # folder inside an output_dir: the best model on the dev set, without the optimiser's slots


@dataclasses.dataclass(frozen=True)
class Parts:
    """A classifier's parts.

    Attributes:
      init_checkpoint: TF1 checkpoint to start from; None starts from random weights.
      keeps_classifier: False where that checkpoint's classifier was trained for other labels.
    """

    config: config_lib.BertConfig
    record: config_lib.ClassifierConfig
    vocab_file: str
    init_checkpoint: str | None
    keeps_classifier: bool = True

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in class order."""
        return list(self.record.labels)

    def tokenizer(self) -> tokenization.FullTokenizer:
        """Return the tokenizer that the weights were trained with.

        Raises:
          ValueError: the vocabulary has more entries than the word table has rows.
        """
        tokenizer = tokenization.FullTokenizer(
            self.vocab_file,
            self.record.do_lower_case,
            strip_accents=self.record.strip_accents,
            tokenize_chinese_chars=self.record.tokenize_chinese_chars,
            max_input_chars_per_word=self.record.max_input_chars_per_word,
        )
        entries = max(tokenizer.vocab.values()) + 1
        if entries > self.config.vocab_size:
            raise ValueError(
                f"{self.vocab_file} must have at most {self.config.vocab_size} lines (vocab_size of the config), got "
                f"{entries}; use the vocabulary and the config of the same model"
            )
        return tokenizer

    def encode(
        self, tokenizer: tokenization.FullTokenizer, example: datasets.InputExample
    ) -> features.Encoding:
        """Return an example's tokens as the model reads them, cut to its length."""
        return features.encode_example(
            tokenizer, example, self.record.max_seq_length, self.record.truncation
        )

    def encodings(
        self, tokenizer: tokenization.FullTokenizer, examples: Iterable[datasets.InputExample]
    ) -> Iterator[features.Encoding]:
        """Yield what `encode` returns for each example, at a fraction of the time."""
        source = iter(examples)
        while some := list(itertools.islice(source, _ENCODED_AT_ONCE)):
            yield from features.encode_batch(
                tokenizer,
                [(example.text_a, example.text_b) for example in some],
                self.record.max_seq_length,
                self.record.truncation,
            )

    def checkpoint_in(self, model_dir: files.Path) -> str:
        """Return the checkpoint to predict with: the newest of a folder, or else `init_checkpoint`.

        Raises:
          ValueError: there is neither.
        """
        found = checkpoints.newest(model_dir) or self.init_checkpoint
        if not found:
            raise ValueError(
                f"{model_dir} must hold a trained model, got none; add --do_train or give --init_checkpoint"
            )
        return found

    def vocabulary_bytes(self) -> bytes:
        """Return the vocabulary file as it is."""
        return pathlib.Path(self.vocab_file).read_bytes()

    def save(self, model_dir: files.Path) -> None:
        """Write config, vocabulary and record into a folder, and their checksums."""
        folder = pathlib.Path(model_dir)
        # not there until it is true again: who is killed in between shall find nothing at odds
        (folder / checksums.SUMS).unlink(missing_ok=True)
        files.write_text(folder / config_lib.CONFIG_FILE, self.config.to_json_string())
        files.copy(self.vocab_file, folder / config_lib.VOCAB_FILE)
        self.record.save(folder)
        files.write_text(folder / checksums.SUMS, checksums.text(checksums.of(folder, _TEXTS)))


class Sources(NamedTuple):
    """Where the parts of a run may come from, the first first; each holds fields of `Parts` and of its record."""

    given: dict[str, Any]
    trained: dict[str, Any]
    named: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the classifier that is there already, in class order; none where there is none."""
        return tuple(self.trained.get("labels", self.named.get("labels", ())))


def load(model: files.Path) -> Parts:
    """Return the parts of a trained classifier, with its best checkpoint, or else its newest.

    Args:
      model: an output_dir, or a fine-tuned Hugging Face classifier, as a folder or by its id.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
    """
    try:
        parts = _named(str(model))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{model} must be the output_dir of a finished training or a fine-tuned Hugging Face classifier, but holds "
            f"neither {config_lib.CLASSIFIER_FILE} with a checkpoint nor config.json with weights and a vocabulary; "
            "train with run_classifier.py --do_train, or correct the path"
        ) from None
    if not parts.get("labels"):
        raise FileNotFoundError(
            f"{model} must hold a trained classifier, but it holds an encoder only; train with run_classifier.py "
            f"--do_train --model={model}"
        )
    return _assemble(parts)


def architecture(model: files.Path) -> config_lib.BertConfig:
    """Return the architecture of named or local weights, which are fetched and converted if need be.

    Raises:
      ValueError, OSError: there are no such weights.
    """
    return config_lib.BertConfig.from_json_file(_named(str(model))["bert_config_file"])


def best_folder(model_dir: files.Path) -> pathlib.Path:
    """Return the folder of the best model on the dev set where a training kept one, else the folder itself."""
    folder = pathlib.Path(model_dir).expanduser()
    return folder / BEST if checkpoints.newest(folder / BEST) else folder


def save_for_inference(parts: Parts, checkpoint: files.Path, model_dir: files.Path) -> None:
    """Write a complete folder without the optimiser's slots, a third of the size; it replaces an older one there.

    Args:
      checkpoint: a training's; its global step is kept.
    """
    folder = pathlib.Path(
        model_dir
    ).absolute()  # or else its `checkpoint` file would lead elsewhere
    parts.save(folder)
    names = [*checkpoints.checkpoint_shapes(checkpoint), "global_step"]
    variables = checkpoints.load_variables(checkpoint, names)
    prefix = folder / f"model.ckpt-{int(variables['global_step'])}"
    checkpoints.write(prefix, variables)
    tf.compat.v1.train.update_checkpoint_state(str(folder), prefix.name)
    for old in folder.glob("model.ckpt-*"):
        if old.stem != prefix.name:
            old.unlink()


def gather(options: options_lib.RunConfig) -> Sources:
    """Look at what flags give, at a trained output_dir and at --model, which is fetched and converted if need be."""
    given = {name: getattr(options, name) for name in options.model_fields_set}
    if options.classifier_head_config:
        given["pooling"] = options.classifier_head_config
    named = _named(options.model) if options.model else {}
    if options.init_checkpoint:
        beside = _trained(pathlib.Path(options.init_checkpoint).parent)
        named = {name: value for name, value in named.items() if name != "labels"} | beside
    checkpoints.newest(str(options.output_dir))  # refuses one elsewhere, without a record too
    return Sources(given, _trained(str(options.output_dir)), named)


def resolve(options: options_lib.RunConfig, sources: Sources, labels: Sequence[str]) -> Parts:
    """Return the parts of a run: what flags give comes first, then a trained output_dir, then --model, then defaults.

    Args:
      labels: of the run's data.

    Raises:
      FileNotFoundError: a file is not there.
      ValueError: something is missing or does not fit; the message names the flag.
    """
    labels, keeps_classifier = _agree(options, sources, tuple(labels))
    chosen = collections.ChainMap({"labels": labels}, sources.given, sources.trained, sources.named)
    missing = [
        f"--{name} (or --model) is required"
        for name in ("bert_config_file", "vocab_file")
        if chosen.get(name) is None
    ]
    if missing and not options.do_train:
        raise ValueError(
            f"{options.output_dir} must hold a trained model to evaluate or predict with, got none; correct "
            f"--output_dir, or {' and '.join(missing)}"
        )
    if missing:
        raise ValueError("; ".join(missing))
    parts = dataclasses.replace(_assemble(chosen), keeps_classifier=keeps_classifier)
    if sources.trained:
        before = _assemble(sources.trained)
        _check_same(before, parts, str(options.output_dir))
        if options.model:  # the folder's own files came first, but they must be that model's
            _check_same(before, _assemble(chosen | _files(sources.named)), str(options.output_dir))
    return parts


def _agree(
    options: options_lib.RunConfig, sources: Sources, labels: tuple[str, ...]
) -> tuple[tuple[str, ...], bool]:
    """Return the labels in class order, and whether the classifier that --model brings is the one to use."""
    known = tuple(sources.named.get("labels", ()))
    if sources.trained or not known:
        return labels, True
    if set(labels) == set(known):
        return known, True
    told = (
        f"{options.init_checkpoint or options.model} has a classifier for {', '.join(known)}, the data has the labels "
        f"{', '.join(labels)}"
    )
    if options.do_train:
        _log.info("%s: a new classifier is trained on its encoder", told)
        return labels, False
    if labels == tuple(map(str, range(len(known)))):
        _log.info("%s: taken as class numbers", told)
        return labels, True
    raise ValueError(f"{told}; say which is which with --label_map, or add --do_train")


def _check_same(trained: Parts, wanted: Parts, folder: str) -> None:
    """Refuse to go on with a trained folder under other labels, pooling, casing, architecture or vocabulary."""
    facts = {
        "labels": (trained.labels, wanted.labels),
        "truncation": (trained.record.truncation, wanted.record.truncation),
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


def _files(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("bert_config_file", "vocab_file")}


def _trained(model_dir: files.Path) -> dict[str, Any]:
    """Return what a trained folder says; nothing where no training has got as far as a checkpoint.

    Raises:
      ValueError: a file has changed since the training wrote it.
    """
    folder = pathlib.Path(model_dir)
    if not (folder / config_lib.CLASSIFIER_FILE).is_file() or checkpoints.newest(folder) is None:
        return {}
    checksums.require_unchanged(folder)
    record = config_lib.ClassifierConfig.load(folder)
    assert record, "its file is there"
    return {
        **record.model_dump(),
        "bert_config_file": str(folder / config_lib.CONFIG_FILE),
        "vocab_file": str(folder / config_lib.VOCAB_FILE),
    }


def _named(model: str) -> dict[str, Any]:
    own = best_folder(model)
    if trained := _trained(own):
        return trained | {"init_checkpoint": checkpoints.newest(own)}
    source = pretrained.fetch(model, resolve_hub=tf_hub.resolve)
    folder = conversion.release_folder(source, pretrained.cache_dir())
    record = config_lib.ClassifierConfig.load(folder)
    values = record.model_dump(exclude_defaults=True) if record else {}
    weights = pretrained.lookup(model)
    if weights:
        values |= {"pooling": weights.pooling, "do_lower_case": weights.do_lower_case}
    return {
        **values,
        "bert_config_file": str(folder / config_lib.CONFIG_FILE),
        "vocab_file": str(folder / config_lib.VOCAB_FILE),
        "init_checkpoint": str(folder / checkpoints.GOOGLE_CHECKPOINT),
    }
