"""What a classifier says of tokens that need be no text any more: for measures that take words out of texts.

Leaves to others: which words are taken out (`removal`), what is made of the answers (`faithfulness`, `corpus`).
"""

import functools
import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import alterations
from bert import classifier
from bert import features as features_lib
from bert import frozen
from bert import model_folder
from explain import attribution
from explain import removal
from explain import words as words_lib


class Predictor:
    """A frozen classifier of rows of tokens; see `model.load_predictor`."""

    def __init__(
        self,
        parts: model_folder.Parts,
        precision: frozen.Precision = "float32",
        engine: frozen.Engine = "tensorflow",
        alter: alterations.Alter | None = None,
    ) -> None:
        """Read the weights.

        Raises:
          ValueError: the checkpoint is another model's, or the engine lacks the precision.
        """
        self._parts, self._tokenizer = parts, parts.tokenizer()
        self._special = features_lib.SpecialIds.of(self._tokenizer.vocab)
        self._model = frozen.FrozenModel(parts, precision, engine, alter)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in class order."""
        return self._parts.labels

    @property
    def layers(self) -> int:
        """How many encoder layers the model has."""
        return self._parts.config.num_hidden_layers

    @property
    def reads(self) -> str:
        """How much of a text the model reads."""
        record = self._parts.record
        return f"{record.truncation} of {record.max_seq_length} tokens"

    @property
    def weights_sha256(self) -> str:
        """Digest of every weight that the model uses."""
        return self._model.weights_sha256

    @property
    def parts_sha256(self) -> str:
        """Digest of all but the weights that an answer depends on: vocabulary, architecture, how a text is read."""
        parts = self._parts
        facts = parts.config.to_json_string(), parts.record.model_dump_json()
        return hashlib.sha256("\0".join(facts).encode() + parts.vocabulary_bytes()).hexdigest()

    def units(self, texts: Sequence[str | tuple[str, str]]) -> list[removal.Units]:
        """Return texts as the ids that the model reads, cut to its length, with the word of each."""
        record = self._parts.record
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        encodings = features_lib.encode_batch(
            self._tokenizer, pairs, record.max_seq_length, record.truncation
        )
        return [
            removal.Units(
                removal.Ids(
                    encoding.input_ids, encoding.segment_ids, (1,) * len(encoding.input_ids)
                ),
                tuple(
                    words_lib.word_of_each_token(
                        [part for part in pair if part is not None], encoding.tokens
                    ).tolist()
                ),
                self._special.pad,
                self._special.mask,
            )
            for pair, encoding in zip(pairs, encodings, strict=True)
        ]

    def logits(self, rows: Sequence[removal.Ids]) -> npt.NDArray[np.float32]:
        """Return the logits of rows of ids, float32[n, c]."""
        found = list(self._logits_graph(map(_row, rows)))
        return np.array(found, np.float32).reshape(len(rows), len(self.labels))

    def head_importance(
        self, rows: Sequence[removal.Ids], targets: Sequence[int]
    ) -> npt.NDArray[np.float32]:
        """Return what each head counts for in each row's target logit, float32[n, l, h], signed.

        See `attribution.head_importance`.
        """
        asked = [
            _row(ids)._replace(target=target) for ids, target in zip(rows, targets, strict=True)
        ]
        return np.array(list(self._heads_graph(asked)), np.float32)

    @functools.cached_property
    def _logits_graph(self) -> frozen.Graph:
        return self._model.graph(lambda outputs, _: outputs.logits)

    @functools.cached_property
    def _heads_graph(self) -> frozen.Graph:
        return self._model.graph(_head_importance)


def _row(ids: removal.Ids) -> frozen.Row:
    encoding = features_lib.Encoding((), ids.input_ids, ids.segment_ids)
    unattended = tuple(place for place, is_read in enumerate(ids.input_mask) if not is_read)
    return frozen.Row(encoding, unattended=unattended)


def _head_importance(outputs: classifier.BertOutputs, features: features_lib.Features) -> tf.Tensor:
    batch = attribution.with_targets(features, outputs.logits)
    score = attribution.score("logit", outputs.logits, batch)
    return attribution.head_importance(outputs, attribution.gradients_of(outputs, score))
