"""A trained classifier as graphs over weights that no longer change: read once, cast once, shared by all of them.

They are tensors outside of the graphs, not constants inside: on the CPUs that were tried folding gained nothing for
batches, cost seconds at the first call, and each graph kept copies.

Rows of tokens go in, in any number; what is asked of each comes out in the order of the rows, without padding. Rows of
like length share a batch, and the next rows are read while these are computed. Leaves to others: what is asked (a
`classifier.PredictExtra`, `explain.methods`), texts and classes by name.
"""

import concurrent.futures
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import alterations
from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import features as features_lib
from bert import model_folder
from bert import weights

Precision = Literal["float32", "bfloat16", "float64"]
Engine = Literal["tensorflow", "xla", "openvino"]
Array: TypeAlias = npt.NDArray[Any]
Prediction: TypeAlias = Mapping[str, Array]
Ask = Callable[[classifier.BertOutputs, features_lib.Features], Any]
"""(outputs, features) -> a tensor or None, or mappings and tuples of them; the batch is each one's first axis."""

_Call: TypeAlias = Callable[..., Any]
_TOKENS_AT_ONCE = 4096  # in one batch, padding included
_MULTIPLE = 8  # of tokens in a batch's width: fewer widths to prepare kernels for
_FIRST_POOL, _LARGEST_POOL = 64, 1024  # rows that are sorted by length together
_POOL_BYTES = 2**28  # of results that wait for their turn
_SIGNATURE = [tf.TensorSpec([None, None], tf.int32)] * 3 + [tf.TensorSpec([None], tf.int32)] * 2


class Row(NamedTuple):
    """What is asked: tokens, and the classes to explain; -1 is the predicted one, or no contrast.

    Attributes:
      unattended: places whose tokens no token attends to, as if they were padding.
    """

    encoding: features_lib.Encoding
    target: int = -1
    contrast: int = -1
    unattended: tuple[int, ...] = ()


class Stacked(NamedTuple):
    """Tensors that come out as one array, stacked on a first axis: in the graph, that would copy a whole batch."""

    parts: tuple[Any, ...]


class Graph:
    """One question to a frozen classifier; built at its first row, good for any rows after it."""

    def __init__(self, call: Callable[[], _Call], config: config_lib.BertConfig, labels: int):
        """Keep how the graph is built; axes of `labels`, of heads and of layers are told from those of tokens."""
        self._build = call
        self._call: _Call | None = None
        self._longest = config.max_position_embeddings
        layers = config.num_hidden_layers
        self._other_axes = {labels, config.num_attention_heads, layers, layers + 1}

    def __call__(self, rows: Iterable[Row]) -> Iterator[Any]:
        """Yield the answer to each row: arrays without the batch's axis, cut to the row's length.

        Memory is that of a batch and of the answers that wait for their turn: two times 64 rows at first, then as many
        as fit into 256 MB, up to 1,024.
        """
        source, size = iter(rows), _FIRST_POOL
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(_take, source, size)
            while pool := ahead.result():
                ahead = reader.submit(_take, source, size)
                found = self._answers(pool)
                largest = max(map(_bytes, found))
                size = max(1, min(_LARGEST_POOL, _POOL_BYTES // max(1, largest)))
                yield from found

    def arrays(self, rows: Sequence[Row]) -> list[tf.Tensor]:
        """Return rows as one batch: ids, mask and segments i[b, t], targets and contrasts i[b]."""
        longest = max(len(row.encoding.input_ids) for row in rows)
        width = max(longest, min(self._longest, -(-longest // _MULTIPLE) * _MULTIPLE))
        while width in self._other_axes and width < self._longest:
            width += 1  # an axis of tokens is told by its size
        columns = features_lib.batch_arrays([row.encoding for row in rows], width)
        for mask, row in zip(columns["input_mask"], rows, strict=True):
            mask[list(row.unattended)] = 0
        of_rows = [[row.target for row in rows], [row.contrast for row in rows]]
        return [tf.constant(values, tf.int32) for values in (*columns.values(), *of_rows)]

    def call(self, arrays: Sequence[tf.Tensor]) -> Any:
        """Return what the graph says of one batch, as arrays with its padding."""
        if self._call is None:
            self._call = self._build()
        return tf.nest.map_structure(_to_numpy, self._call(*arrays))

    def _answers(self, rows: Sequence[Row]) -> list[Any]:
        found: dict[int, Any] = {}
        for batch in _batches([len(row.encoding.input_ids) for row in rows]):
            arrays = self.arrays([rows[index] for index in batch])
            values, width = self.call(arrays), int(arrays[0].shape[1])
            for place, index in enumerate(batch):
                length = len(rows[index].encoding.input_ids)
                found[index] = _of_row(values, place, width, length)
        return [found[index] for index in range(len(rows))]


class FrozenModel:
    """A classifier's weights in memory, for graphs over them."""

    def __init__(
        self,
        parts: model_folder.Parts,
        precision: Precision = "float32",
        engine: Engine = "tensorflow",
        alter: alterations.Alter | None = None,
    ) -> None:
        """Read the weights, without the optimiser's.

        Args:
          precision: of the encoder; "bfloat16" keeps embeddings, LayerNorm's statistics and the head in float32.
          engine: what runs graphs; "xla" compiles them, anew for each size of a batch; "openvino" runs only such as
            take no gradients.
          alter: what is done to the weights before they are used.

        Raises:
          ValueError: the checkpoint lacks a variable, or is another model's; or the engine lacks the precision.
        """
        if engine == "openvino" and precision == "float64":
            raise ValueError(
                "engine='openvino' needs precision float32 or bfloat16, got 'float64'; use engine='tensorflow'"
            )
        self._config, self._pooling = parts.config, parts.record.pooling
        self._precision, self._engine, self._labels = precision, engine, len(parts.labels)
        wanted = classifier.variable_shapes(parts.config, len(parts.labels), self._pooling)
        checkpoint = str(parts.init_checkpoint)
        missing = checkpoints.compare(checkpoint, wanted, wanted).missing
        if not parts.keeps_classifier:
            missing = (*missing, *classifier.OUTPUT_LAYER)
        if missing:
            raise ValueError(
                f"{checkpoint} must hold a fine-tuned classifier, but lacks {', '.join(missing)}; train first"
            )
        values = checkpoints.load_variables(checkpoint, list(wanted))
        if alter:
            values = dict(alter(values, parts.config))
        self.weights_sha256 = _digest(values)
        dtype = "float64" if precision == "float64" else "float32"
        variables = {name: tf.constant(value, dtype) for name, value in values.items()}
        # not for the other engine, which chooses a precision kernel by kernel
        is_cast = engine != "openvino"
        self._variables = weights.in_precision(variables, precision) if is_cast else variables

    def predict(
        self,
        encodings: Iterable[features_lib.Encoding],
        extras: Sequence[classifier.PredictExtra] = (),
    ) -> Iterator[Prediction]:
        """Yield what Estimator.predict would: `probabilities`, `pred_class`, what extras make.

        Padding is cut where the tokens' axis is among the last, as f[t] or f[h, q, k]; f[t, d] keeps it.
        """
        graph = self.graph(lambda outputs, batch: classifier.predictions(outputs, batch, extras))
        return graph(map(Row, encodings))

    def graph(self, ask: Ask, *, with_taps: bool = False) -> Graph:
        """Return the graph that answers one question.

        Args:
          with_taps: build it in the form that relevance methods need.
        """

        def answer(*arrays: tf.Tensor) -> Any:
            ids, mask, segments, target, contrast = arrays
            batch = features_lib.Features(ids, mask, segments, target=target, contrast=contrast)
            outputs = classifier.forward(
                self._variables,
                self._config,
                batch,
                pooling=self._pooling,
                with_taps=with_taps,
            )
            return ask(outputs, batch)

        def build() -> _Call:
            function: Any = tf.function(
                answer,
                input_signature=_SIGNATURE,
                autograph=False,
                jit_compile=True if self._engine == "xla" else None,
            )
            if self._engine != "openvino":
                call: _Call = function
                return call
            return _on_openvino(function.get_concrete_function(), self._precision)

        return Graph(build, self._config, self._labels)


def _on_openvino(concrete: Any, precision: Precision) -> _Call:
    """Return a call of a graph on OpenVINO's CPU engine.

    Raises:
      ValueError: OpenVINO is not installed, or cannot run the graph.
    """
    try:
        import openvino
    except ImportError as error:
        raise ValueError(
            "engine='openvino' needs OpenVINO; pip install -r requirements-openvino.txt"
        ) from error
    hints = {
        "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        compiled = openvino.Core().compile_model(openvino.convert_model(concrete), "CPU", hints)
    except (RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise ValueError(
            "engine='openvino' runs graphs without gradients only: probabilities and attention; use "
            "engine='tensorflow'"
        ) from error
    structure = concrete.structured_outputs

    def call(*arrays: tf.Tensor) -> Any:
        made = iter(compiled([array.numpy() for array in arrays]).values())
        return tf.nest.map_structure(lambda leaf: None if leaf is None else next(made), structure)

    return call


def _take(source: Iterator[Row], count: int) -> list[Row]:
    return list(itertools.islice(source, count))


def _to_numpy(value: tf.Tensor | Array | None) -> Array | None:
    return value.numpy() if isinstance(value, tf.Tensor) else value


def _bytes(answer: Any) -> int:
    return sum(value.nbytes for value in tf.nest.flatten(answer) if value is not None)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of rows of like length, so many that their tokens stay within bounds."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) + 1) * lengths[index] > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _of_row(values: Any, place: int, width: int, length: int) -> Any:
    """Return one row of a batch's answers, as arrays of their own, so that the batch can go."""
    if isinstance(values, Stacked):
        return np.stack([_cut(part, place, width, length) for part in values.parts])
    if isinstance(values, Mapping):
        return {name: _of_row(value, place, width, length) for name, value in values.items()}
    if isinstance(values, tuple):
        found = [_of_row(value, place, width, length) for value in values]
        return type(values)(*found) if hasattr(values, "_fields") else tuple(found)
    return None if values is None else _cut(values, place, width, length).copy()


def _cut(value: Array, place: int, width: int, length: int) -> Array:
    """Return a view of one row, its last axes of tokens cut."""
    row = np.asarray(value[place])
    for axis in reversed(range(row.ndim)):
        if row.shape[axis] != width:
            break
        row = row[(slice(None),) * axis + (slice(length),)]
    return row


def _digest(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(values):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values[name]).tobytes())
    return digest.hexdigest()
