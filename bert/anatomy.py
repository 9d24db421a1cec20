"""A BERT opened up: every tensor between ids and probabilities, and each head by itself.

For models of any size, trained or fresh, eagerly and for a few texts: it is `classifier.forward` with its intermediate
tensors named. Leaves to others: the network (`encoder`, `classifier`), many texts at once (`frozen`).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import alterations
from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import features as features_lib
from bert import files
from bert import model_folder

Floats: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.integer[Any]] | Sequence[Sequence[int] | npt.NDArray[Any]]


class HeadWeights(NamedTuple):
    """The weights of one attention head, cut out of its layer: kernels [in, out]."""

    query_kernel: Floats
    query_bias: Floats
    key_kernel: Floats
    key_bias: Floats
    value_kernel: Floats
    value_bias: Floats
    output_kernel: Floats


class HeadTensors(NamedTuple):
    """What one attention head computes of a batch.

    Attributes:
      queries, keys, values: float32[b, t, e].
      scores: float32[b, q, k], scaled and before the mask; `probs` after the softmax.
      context: float32[b, q, e], values averaged by `probs`.
    """

    queries: Floats
    keys: Floats
    values: Floats
    scores: Floats
    probs: Floats
    context: Floats


@dataclasses.dataclass(frozen=True)
class Bert:
    """A classifier with its variables in hand; ids of 0 are padding, and there is one text a row."""

    config: config_lib.BertConfig
    variables: Mapping[str, Floats]
    pooling: str = "default"

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        return sum(value.size for value in self.variables.values())

    def __call__(self, input_ids: Ids, *, with_taps: bool = False) -> classifier.BertOutputs:
        """Run the forward pass of rows of identifiers, i[b, t]."""
        ids = tf.constant(np.asarray(input_ids), tf.int32)
        batch = features_lib.Features(ids, tf.cast(ids != 0, tf.int32), tf.zeros_like(ids))
        variables = {name: tf.constant(value) for name, value in self.variables.items()}
        return classifier.forward(
            variables, self.config, batch, pooling=self.pooling, with_taps=with_taps
        )

    def embedding(self, input_ids: Ids) -> Floats:
        """Return what enters the first layer, float32[b, t, d]: words and positions summed and normalised."""
        return _array(self(input_ids).embedding_output)

    def probabilities(self, input_ids: Ids, rows_at_once: int = 512) -> Floats:
        """Return what is answered to each row, float32[n, c]."""
        rows = np.asarray(input_ids)
        starts = range(0, len(rows), rows_at_once)
        parts = (self(rows[start : start + rows_at_once]).logits for start in starts)
        return np.concatenate([_array(tf.nn.softmax(logits)) for logits in parts])

    def tensors(self, input_ids: Ids) -> dict[str, Floats]:
        """Return every tensor of the forward pass by its name, in the order of the computation.

        Sizes, as `bert.shapes` names them: of words and layers b, t, d; query, key, value and context b, h, t, e;
        scores and attention b, h, q, k; intermediate b, t, f.
        """
        outputs = self(input_ids, with_taps=True)
        taps, name = outputs.taps, "bert/embeddings/position_embeddings"
        assert taps is not None
        width = outputs.word_embeddings.shape[1]
        found = {
            "word_embeddings": outputs.word_embeddings,
            "position_embeddings": self.variables[name][:width],
            "embedding_output": outputs.embedding_output,
        }
        parts = taps.parts(self.config.num_hidden_layers)[:-1]
        of_layers = zip(parts, taps.scores, outputs.attention_probs, strict=True)
        for index, (part, scores, probs) in enumerate(of_layers):
            query, key, value, projection, intermediate, output = part.dense
            (attended, _), (hidden, _) = part.biased
            of_layer = {
                "query": self._by_head(query.y),
                "key": self._by_head(key.y),
                "value": self._by_head(value.y),
                "scores": scores,
                "attention_probs": probs,
                "context": self._by_head(projection.x),
                "projection": projection.y,
                "attention_output": attended,
                "intermediate": intermediate.y,
                "activation": output.x,
                "narrowed": output.y,
                "output": hidden,
            }
            found |= {f"layer_{index}/{name}": tensor for name, tensor in of_layer.items()}
        found["pooled"], found["logits"] = outputs.pooled, outputs.logits
        found["probabilities"] = tf.nn.softmax(outputs.logits)
        return {name: _array(tensor) for name, tensor in found.items()}

    def head_weights(self, layer: int, head: int) -> HeadWeights:
        """Return the weights of one head, counted from 0.

        Raises:
          ValueError: the model has no such head.
        """
        size = self._check_head(layer, head).size_per_head
        part = slice(head * size, (head + 1) * size)
        place = f"bert/encoder/layer_{layer}/attention"
        projections = [f"{place}/self/{name}" for name in ("query", "key", "value")]
        of_inputs = [
            self.variables[f"{name}/{kind}"][..., part]
            for name in projections
            for kind in ("kernel", "bias")
        ]
        output = self.variables[f"{place}/output/dense/kernel"][part]
        return HeadWeights._make([*of_inputs, output])

    def head_tensors(self, input_ids: Ids, layer: int, head: int) -> HeadTensors:
        """Return what one head, counted from 0, computes of rows of identifiers.

        Raises:
          ValueError: the model has no such head.
        """
        self._check_head(layer, head)
        found = self.tensors(input_ids)
        names = ("query", "key", "value", "scores", "attention_probs", "context")
        return HeadTensors(*(found[f"layer_{layer}/{name}"][:, head] for name in names))

    def _by_head(self, tensor: tf.Tensor) -> tf.Tensor:
        """Split f[b, t, d] into the heads' parts, f[b, h, t, e]."""
        rows, width = tensor.shape[:2]
        split = [rows, width, self.config.num_attention_heads, self.config.size_per_head]
        return tf.transpose(tf.reshape(tensor, split), [0, 2, 1, 3])

    def _check_head(self, layer: int, head: int) -> config_lib.BertConfig:
        layers, heads = self.config.num_hidden_layers, self.config.num_attention_heads
        if not (0 <= layer < layers and 0 <= head < heads):
            raise ValueError(
                f"layer and head must be below {layers} and {heads}, the model's, and from 0; got {layer} and {head}"
            )
        return self.config


def fresh(
    config: config_lib.BertConfig, num_labels: int = 2, *, pooling: str = "default", seed: int = 0
) -> Bert:
    """Return an untrained model, its weights drawn by the seed.

    Raises:
      ValueError: the heads do not divide the width, or there is no such pooling.
    """
    wanted = classifier.variable_shapes(config, num_labels, pooling)
    empty = {name: np.zeros(shape, np.float32) for name, shape in wanted.items()}
    draw = alterations.randomised(config.num_hidden_layers, seed, embeddings=True)
    return Bert(config, draw(empty, config), pooling)


def load(model_dir: files.Path) -> Bert:
    """Return the trained model of a folder, an `output_dir` or another that `model_folder.load` takes.

    Raises:
      FileNotFoundError: the folder holds no trained classifier.
    """
    parts = model_folder.load(model_dir)
    config, pooling = parts.config, parts.record.pooling
    wanted = classifier.variable_shapes(config, len(parts.labels), pooling)
    return Bert(config, checkpoints.load_variables(str(parts.init_checkpoint), wanted), pooling)


def _array(tensor: tf.Tensor | Floats) -> Floats:
    found: Floats = np.asarray(tensor, np.float32)
    return found
