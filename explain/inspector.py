"""What a classifier makes of texts on its way to the answer: embeddings of any layer, and what every head counts for.

Arrays for pictures (`views`, `embeddings`), of many texts in batches. Leaves to others: all tensors of a few texts
(`bert.anatomy`), answers (`predictor`), reasons (`explainer`).
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import classifier
from bert import features as features_lib
from bert import frozen
from bert import model_folder
from explain import attribution

Text: TypeAlias = str | tuple[str, str]
Layer: TypeAlias = int | Literal["word", "embedding_output"]
Floats: TypeAlias = npt.NDArray[np.float32]


class Embedded(NamedTuple):
    """A text's tokens as vectors.

    Attributes:
      vectors: float32[t, d].
    """

    tokens: tuple[str, ...]
    vectors: Floats


class Heads(NamedTuple):
    """Every head of every layer over one text, by layer and head from 0.

    Attributes:
      attention: float32[l, h, t, t], weights after the softmax.
      relevance: float32[l, h, t, t], `attribution.attention_x_gradient` of the target's logit.
      target: the class.
    """

    tokens: tuple[str, ...]
    attention: Floats
    relevance: Floats
    target: int


class Inspector:
    """A frozen classifier to look inside of; see `model.load_inspector`."""

    def __init__(self, parts: model_folder.Parts) -> None:
        """Read the weights; graphs are built at the first question of each kind.

        Raises:
          ValueError: the checkpoint is another model's.
        """
        self._parts, self._tokenizer = parts, parts.tokenizer()
        self._model = frozen.FrozenModel(parts)
        self._graphs: dict[Layer, frozen.Graph] = {}

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in class order."""
        return self._parts.labels

    def embeddings(self, texts: Sequence[Text], layer: Layer = -1) -> list[Embedded]:
        """Return the tokens of texts or pairs as vectors: the output of a layer, from 0 or, negative, from the last.

        Args:
          layer: or "word", rows of the word table; "embedding_output", what enters layer 0.

        Raises:
          TypeError: `texts` is a single string.
          ValueError: the model has no such layer.
        """
        count = self._parts.config.num_hidden_layers
        if layer not in ("word", "embedding_output") and not (
            isinstance(layer, int) and -count <= layer < count
        ):
            raise ValueError(
                f"layer must be 'word', 'embedding_output', or from {-count} to {count - 1} in a model of {count} "
                f"layers, got {layer!r}"
            )
        if layer not in self._graphs:
            self._graphs[layer] = self._model.graph(functools.partial(_hidden, layer))
        encodings = self._encodings(texts)
        found = self._graphs[layer](map(frozen.Row, encodings))
        return [
            Embedded(_tokens(encoding), vectors)
            for encoding, vectors in zip(encodings, found, strict=True)
        ]

    def pooled(self, texts: Sequence[Text]) -> Floats:
        """Return the one vector of each text that the classifier reads, float32[n, d].

        Raises:
          TypeError: `texts` is a single string.
        """
        found = list(self._pooled_graph(map(frozen.Row, self._encodings(texts))))
        return np.array(found, np.float32).reshape(len(texts), self._parts.config.hidden_size)

    def heads(self, texts: Sequence[Text], targets: Sequence[int] | None = None) -> list[Heads]:
        """Return what every head does to texts or pairs.

        151 MB of attention and as much relevance a text of 512 tokens in BERT-Base: ask for few at once.

        Args:
          targets: classes whose logits relevance speaks of; unset takes the predicted ones.

        Raises:
          TypeError: `texts` is a single string.
        """
        encodings = self._encodings(texts)
        asked = [-1] * len(encodings) if targets is None else targets
        rows = (
            frozen.Row(encoding, target) for encoding, target in zip(encodings, asked, strict=True)
        )
        found = self._heads_graph(rows)
        return [
            Heads(_tokens(encoding), attention, relevance, int(target))
            for encoding, (attention, relevance, target) in zip(encodings, found, strict=True)
        ]

    def _encodings(self, texts: Sequence[Text]) -> list[features_lib.Encoding]:
        if isinstance(texts, str):
            raise TypeError("texts must be a list of texts or pairs, got one str; write [text]")
        record = self._parts.record
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        return features_lib.encode_batch(
            self._tokenizer, pairs, record.max_seq_length, record.truncation
        )

    @functools.cached_property
    def _pooled_graph(self) -> frozen.Graph:
        return self._model.graph(lambda outputs, _: outputs.pooled)

    @functools.cached_property
    def _heads_graph(self) -> frozen.Graph:
        return self._model.graph(_heads)


def _tokens(encoding: features_lib.Encoding) -> tuple[str, ...]:
    return tuple(token.text for token in encoding.tokens)


def _hidden(
    layer: Layer, outputs: classifier.BertOutputs, features: features_lib.Features
) -> tf.Tensor:
    del features
    if layer == "word":
        return outputs.word_embeddings
    if layer == "embedding_output":
        return outputs.embedding_output
    return classifier.at_least_float32(outputs.hidden_states[layer])


def _heads(outputs: classifier.BertOutputs, features: features_lib.Features) -> tuple[Any, ...]:
    batch = attribution.with_targets(features, outputs.logits)
    score = attribution.score("logit", outputs.logits, batch)
    gradients = attribution.gradients_of(outputs, score)
    attention = tuple(map(classifier.at_least_float32, outputs.attention_probs))
    relevance = attribution.attention_x_gradient(outputs, gradients)
    return frozen.Stacked(attention), frozen.Stacked(relevance), batch.target
