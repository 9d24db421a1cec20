"""A trained classifier as graphs over weights that no longer change: read once, cast once, shared by all of them.

They are tensors outside of the graphs, not constants inside: on the CPUs that were tried folding gained nothing for
batches, cost seconds at the first call, and each graph kept copies.

Rows of tokens go in, in any number; what is asked of each comes out in the order of the rows, without padding. Rows of
like length share a batch, and the next rows are read while these are computed. Leaves to others: what is asked (a
`classifier.PredictExtra`, `explain.methods`), texts and classes by name.
"""

import concurrent.futures
import functools
import hashlib
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

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
_TOKENS_AT_ONCE = 4096  # in one batch, padding included, but at least one row
_COST_OF_A_BATCH = 64  # in tokens: what a call costs before its first
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

    def __init__(self, build: Callable[[], tuple[_Call, Any]], config: config_lib.BertConfig):
        """Keep how the graph is built: to a call, and to what is known of its answers' shapes before it runs."""
        self._build = build
        self._longest = config.max_position_embeddings
        self._turn = threading.Lock()

    @functools.cached_property
    def _built(self) -> tuple[_Call, Any]:
        return self._build()

    def __call__(self, rows: Iterable[Row]) -> Iterator[Any]:
        """Yield the answer to each row: arrays without the batch's axis, cut to the row's length.

        Memory is that of a batch and of the answers that wait for their turn, of up to 1,024 rows and 256 MB, or of one
        row if that has more.
        """
        source = iter(rows)
        with concurrent.futures.ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(list, itertools.islice(source, _FIRST_POOL))
            while pool := ahead.result():
                ahead = reader.submit(list, itertools.islice(source, _LARGEST_POOL))
                for part in self._parts(pool):
                    yield from self._answers(part)

    def arrays(self, rows: Sequence[Row]) -> list[tf.Tensor]:
        """Return rows as one batch: ids, mask and segments i[b, t], targets and contrasts i[b]."""
        longest = max(len(row.encoding.input_ids) for row in rows)
        width = max(longest, min(self._longest, _rounded(longest)))
        columns = features_lib.batch_arrays([row.encoding for row in rows], width)
        for mask, row in zip(columns["input_mask"], rows, strict=True):
            mask[list(row.unattended)] = 0
        of_rows = [[row.target for row in rows], [row.contrast for row in rows]]
        return [tf.constant(values, tf.int32) for values in (*columns.values(), *of_rows)]

    def call(self, arrays: Sequence[tf.Tensor]) -> Any:
        """Return what the graph says of one batch, as arrays with its padding."""
        with self._turn:  # for why not several threads at once see `layers.for_threads`
            return tf.nest.map_structure(_to_numpy, self._built[0](*arrays))

    def _parts(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Yield the rows in parts whose answers, all of which wait for the last, stay within bounds."""
        start, held = 0, 0
        for place, row in enumerate(rows):
            size = _bytes(self._built[1], len(row.encoding.input_ids))
            if place > start and held + size > _POOL_BYTES:
                yield rows[start:place]
                start, held = place, 0
            held += size
        yield rows[start:]

    def _answers(self, rows: Sequence[Row]) -> list[Any]:
        found: dict[int, Any] = {}
        for batch in _batches([len(row.encoding.input_ids) for row in rows]):
            arrays = self.arrays([rows[index] for index in batch])
            values, width = self.call(arrays), int(arrays[0].shape[1])
            for place, index in enumerate(batch):
                cut = _Cut(place, width, len(rows[index].encoding.input_ids))
                found[index] = cut.row(values, self._built[1])
        return [found[index] for index in range(len(rows))]


class FrozenModel:
    """A classifier's weights in memory, for graphs over them.

    Attributes:
      variables: the weights by name, as `classifier.forward` takes them.
    """

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
          ValueError: an unknown precision or engine, or a precision that the engine lacks; the checkpoint lacks a
            variable, or is another model's.
        """
        for name, given, legal in (("precision", precision, Precision), ("engine", engine, Engine)):
            if given not in get_args(legal):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(legal))}; got {given!r}"
                )
        if engine == "openvino" and precision == "float64":
            raise ValueError(
                "engine='openvino' needs precision float32 or bfloat16, got 'float64'; use engine='tensorflow'"
            )
        self._config, self._pooling = parts.config, parts.record.pooling
        self._precision, self._engine = precision, engine
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
        self.variables = weights.in_precision(variables, precision) if is_cast else variables

    def predict(
        self,
        encodings: Iterable[features_lib.Encoding],
        extras: Sequence[classifier.PredictExtra] = (),
    ) -> Iterator[Prediction]:
        """Yield what Estimator.predict would: `probabilities`, `pred_class`, what extras make.

        Padding is cut off every axis of tokens: those whose size is not known before the graph runs.
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
                self.variables,
                self._config,
                batch,
                pooling=self._pooling,
                with_taps=with_taps,
            )
            return ask(outputs, batch)

        def build() -> tuple[_Call, Any]:
            concrete: Any = tf.function(
                answer,
                input_signature=_SIGNATURE,
                autograph=False,
                jit_compile=True if self._engine == "xla" else None,
            ).get_concrete_function()
            is_openvino = self._engine == "openvino"
            call = _on_openvino(concrete, self._precision) if is_openvino else concrete
            return call, concrete.structured_outputs

        return Graph(build, self._config)


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
        converted = openvino.convert_model(concrete)
        _see_layer_norms(converted)
        compiled = openvino.Core().compile_model(converted, "CPU", hints)
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


def _see_layer_norms(converted: Any) -> None:
    """Turn each `layers.normalise`, written as a batch norm for oneDNN, into what OpenVINO has one kernel for.

    It arrives as MVN over all but the channels of [1, n, d, 1], times 1, plus 0, and would be computed piece by piece.
    """
    from openvino import opset13

    for norm in [node for node in converted.get_ops() if node.get_type_name() == "MVN"]:
        if norm.input_value(1).get_node().get_data().tolist() != [0, 2, 3]:
            continue  # somebody else's
        norm.input(1).replace_source_output(opset13.constant([2, 3], np.int64).output(0))
        (scaled,) = norm.output(0).get_target_inputs()
        (shifted,) = scaled.get_node().output(0).get_target_inputs()
        for reader in shifted.get_node().output(0).get_target_inputs():
            reader.replace_source_output(norm.output(0))
    converted.validate_nodes_and_infer_types()


def _to_numpy(value: tf.Tensor | Array | None) -> Array | None:
    return value.numpy() if isinstance(value, tf.Tensor) else value


def _rounded(length: int) -> int:
    return -(-length // _MULTIPLE) * _MULTIPLE


def _bytes(shapes: Any, length: int) -> int:
    """Return what the answer to a row takes; an axis whose size the graph does not know is one of tokens."""
    return sum(
        math.prod(length if size is None else size for size in leaf.shape.as_list()[1:])
        * leaf.dtype.size
        for leaf in tf.nest.flatten(shapes)
        if leaf is not None and leaf.shape.rank is not None
    )


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of rows of like length: padding them costs less than another batch, and bounds are kept."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        width = _rounded(lengths[index])
        if batch:
            padding = len(batch) * (width - _rounded(lengths[batch[-1]]))
            if padding > _COST_OF_A_BATCH or (len(batch) + 1) * width > _TOKENS_AT_ONCE:
                yield batch
                batch = []
        batch.append(index)
    if batch:
        yield batch


class _Cut(NamedTuple):
    """How one row is cut out of a batch's answers."""

    place: int
    width: int
    length: int

    def row(self, values: Any, shapes: Any) -> Any:
        """Return its answers as arrays of their own, so that the batch can go."""
        if isinstance(values, Stacked):
            pairs = zip(values.parts, shapes.parts, strict=True)
            return np.stack([self._view(*pair) for pair in pairs])
        if isinstance(values, Mapping):
            return {name: self.row(value, shapes[name]) for name, value in values.items()}
        if isinstance(values, tuple):
            found = [self.row(*pair) for pair in zip(values, shapes, strict=True)]
            return type(values)(*found) if hasattr(values, "_fields") else tuple(found)
        return None if values is None else self._view(values, shapes).copy()

    def _view(self, values: Array, shape: Any) -> Array:
        """Cut the axes of tokens: those whose size the graph does not know, but the batch's."""
        known = [None] * values.ndim if shape.shape.rank is None else shape.shape.as_list()
        sizes = zip(known[1:], values.shape[1:], strict=True)
        is_token = [size is None and actual == self.width for size, actual in sizes]
        return values[(self.place, *(slice(self.length if cut else None) for cut in is_token))]


def _digest(values: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for name in sorted(values):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values[name]).tobytes())
    return digest.hexdigest()
