"""A SavedModel answers and explains as the explainer does, in a process that knows TensorFlow alone."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bert import features
from bert import model_folder
from explain import attention
from explain import model as model_lib
from explain import saved_model
from tests.explain import classifier_folder

METHODS = ["gradient_x_input", "integrated_gradients", "chefer", "attn_lrp"]
TEXTS = [
    "The film was so finely d\u00fcll!",
    ("it", "a very very very very very very dull, fine film"),
    "",
]
LABELS = list(classifier_folder.LABELS)
ASK = pathlib.Path(__file__).parent / "ask_saved_model.py"
needs_text = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_text") is None, reason="tensorflow-text is not installed"
)


def asked(texts, **more):
    pairs = [text if isinstance(text, tuple) else (text, "") for text in texts]
    first, second = zip(*pairs, strict=True)
    return {"text": first, "text_b": second, **more}


def ask(python, folder, questions, *flags):
    """Return what the model says to each question, in a process that cannot import this project."""
    command = [python, "-I", str(ASK), str(folder), *flags]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command,
        input=json.dumps(questions),
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)["answers"]


@pytest.fixture(scope="module")
def folder(tiny_release, tmp_path_factory):
    """A classifier that reads 12 tokens, their start and end."""
    return classifier_folder.make(
        tmp_path_factory.mktemp("trained"), tiny_release, truncation="head_tail"
    )


@pytest.fixture(scope="module")
def rows(folder):
    """The texts as rows of ids."""
    parts = model_folder.load(folder)
    tokenizer = parts.tokenizer()
    pairs = [text if isinstance(text, tuple) else (text, None) for text in TEXTS]
    encodings = features.encode_batch(tokenizer, pairs, 12, "head_tail")
    width = max(len(encoding.input_ids) for encoding in encodings)
    columns = features.batch_arrays(encodings, width)
    return encodings, {name: column.tolist() for name, column in columns.items()}


@pytest.fixture(scope="module")
def expected(folder):
    """What the explainer says, by method and target."""
    explainer = model_lib.load_explainer(folder, METHODS)
    found = {}
    for target in ("predicted", *LABELS):
        records = explainer(TEXTS, target=target)
        for index, record in enumerate(records):
            found[target, record.method, index // len(METHODS)] = record
    return found


@pytest.fixture(scope="module")
def exported(folder, tmp_path_factory):
    """The classifier as a model of ids, and its process's answers' source."""
    target = tmp_path_factory.mktemp("ids") / "model"
    saved_model.write(
        folder, target, METHODS, attention.average_last_layer_by_head, with_text=False
    )
    return target


@pytest.fixture(scope="module")
def exported_with_text(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("texts") / "model"
    saved_model.write(folder, target, METHODS)
    return target


def check(answer, expected, targets):
    """Compare an answer of three rows with the explainer's records."""
    width = len(answer["attribution_chefer"][0])
    for row, target in enumerate(targets):
        for method in METHODS:
            record = expected[target, method, row]
            np.testing.assert_allclose(
                answer["probabilities"][row], record.probabilities, atol=1e-5
            )
            assert answer["label"][row] == record.predicted
            padding = [0.0] * (width - len(record.tokens))
            np.testing.assert_allclose(
                answer[f"attribution_{method}"][row],
                [*record.token_scores, *padding],
                atol=1e-5,
                err_msg=f"{method} {row}",
            )


def questions_of_ids(columns):
    return [["ids", columns], ["explain", {**columns, "target": [0, 2, -1]}]]


def questions_of_texts(columns):
    return [
        ["ids", columns],
        ["serving_default", asked(TEXTS)],
        ["explain", asked(TEXTS, target=[0, 2, -1])],
    ]


TARGETS = (["predicted"] * 3, [LABELS[0], LABELS[2], "predicted"])


def test_ids_are_answered_by_tensorflow_alone(exported, rows, expected):
    _, columns = rows
    found = ask(sys.executable, exported, questions_of_ids(columns), "--plain")
    for answer, targets in zip(found, TARGETS, strict=True):
        check(answer, expected, targets)
        np.testing.assert_allclose(np.sum(answer["attention"], axis=1), 1, atol=1e-5)


def test_estimators_predictions_are_the_same(exported, folder, rows):
    _, columns = rows
    estimator = model_lib.load_bert_model(
        folder, attn_processor_fn=attention.average_last_layer_by_head, methods=["chefer"]
    )
    predictions = list(  # all of them: until then its graph is everybody's
        estimator.predict(
            lambda: tf.data.Dataset.from_tensors(
                {name: np.array(column, np.int32) for name, column in columns.items()}
            )
        )
    )
    assert len(predictions) == len(TEXTS)
    signature = tf.saved_model.load(str(exported)).signatures["ids"]
    answer = signature(**{name: tf.constant(column) for name, column in columns.items()})
    names = ["probabilities", "attention", "attribution_chefer"]
    for row, prediction in enumerate(predictions):
        for name in names:
            np.testing.assert_allclose(answer[name][row], prediction[name], atol=1e-6, err_msg=name)


@needs_text
def test_texts_are_answered_with_tokens_and_spans(exported_with_text, rows, expected):
    encodings, columns = rows
    found = ask(sys.executable, exported_with_text, questions_of_texts(columns))
    for answer, targets in zip(found, [TARGETS[0], *TARGETS], strict=True):
        check(answer, expected, targets)
    for row, encoding in enumerate(encodings):
        padding = len(columns["input_ids"][0]) - len(encoding.tokens)
        for answer in found[1:]:
            assert answer["tokens"][row] == [t.text for t in encoding.tokens] + [""] * padding
            spans = [[t.start, t.end] for t in encoding.tokens] + [[0, 0]] * padding
            assert answer["spans"][row] == spans
    assert expected["predicted", "chefer", 0].tokens[-3:] == ("dull", "!", "[SEP]")


@needs_text
def test_without_its_library_a_model_of_texts_is_not_loaded(exported_with_text):
    with pytest.raises(AssertionError, match=r"Op type not registered 'WordpieceTokenizeWith"):
        ask(sys.executable, exported_with_text, [], "--plain")


def test_a_current_tensorflow_answers_the_same(request, rows, expected):
    """CURRENT_TF_PYTHON names a Python with a later TensorFlow and, for texts, its tensorflow-text."""
    python = os.environ.get("CURRENT_TF_PYTHON")
    if python is None:
        pytest.skip("CURRENT_TF_PYTHON names no Python with a later TensorFlow")
    _, columns = rows
    for answer, targets in zip(
        ask(python, request.getfixturevalue("exported"), questions_of_ids(columns), "--plain"),
        TARGETS,
        strict=True,
    ):
        check(answer, expected, targets)
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('tensorflow_text') is None)"
    if subprocess.run([python, "-c", code], check=False).returncode == 0:
        with_text = request.getfixturevalue("exported_with_text")
        found = ask(python, with_text, questions_of_texts(columns))
        for answer, targets in zip(found, [TARGETS[0], *TARGETS], strict=True):
            check(answer, expected, targets)


def read(folder):
    found = saved_model_pb2.SavedModel()
    found.ParseFromString((folder / "saved_model.pb").read_bytes())
    (graph,) = found.meta_graphs
    return graph


def test_weights_are_variables_and_nothing_is_python(exported, folder):
    graph = read(exported).graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    assert not [node.op for node in nodes if "PyFunc" in node.op]
    tensors = [node.attr["value"].tensor for node in nodes if node.op == "Const"]
    shapes = {tuple(dim.size for dim in tensor.tensor_shape.dim) for tensor in tensors}
    trained = dict(tf.train.list_variables(str(folder)))
    assert not {shape for shape in map(tuple, trained.values()) if len(shape) > 1} & shapes
    saved = dict(tf.train.list_variables(str(exported / "variables" / "variables")))
    weights = [n for n in saved if n.startswith("_weights")]
    assert len(weights) == len(trained) - 1  # but for the global step
    assert not list((exported / "assets").glob("*"))


@needs_text
def test_the_last_inputs_have_defaults_for_servers_that_know_them(exported_with_text):
    signatures = read(exported_with_text).signature_def
    assert set(signatures["serving_default"].defaults) == {"text_b"}
    defaults = signatures["explain"].defaults
    assert tf.make_ndarray(defaults["text_b"]).tolist() == [b""]
    assert tf.make_ndarray(defaults["target"]).tolist() == [-1]


def test_a_class_that_is_none_is_refused(exported, rows):
    explain = tf.saved_model.load(str(exported)).signatures["explain"]
    columns = {name: tf.constant(column) for name, column in rows[1].items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"= 3 is not in \[0, 3\)"):
        explain(**columns, target=tf.constant([0, 3, 1]))


def test_the_folder_appears_whole_or_not_at_all(folder, tmp_path, monkeypatch):
    def half(model, export_dir, *arguments):
        (pathlib.Path(export_dir) / "saved_model.pb").write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(tf.saved_model, "save", half)
    with pytest.raises(OSError, match=r"no space left"):
        saved_model.write(folder, tmp_path / "out" / "1", [], with_text=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_methods_of_ones_own_and_their_options_are_bound(folder, tmp_path, monkeypatch):
    given = []

    def doubled(question, *, times: float = 2.0):
        given.append(times)
        return times * tf.cast(question.features.input_mask, tf.float32)

    saved_model.write(
        folder, tmp_path / "out", [doubled], None, {"doubled": {"times": 3.0}}, with_text=False
    )
    ids = tf.constant([[2, 5, 3, 0]])
    signature = tf.saved_model.load(str(tmp_path / "out")).signatures["ids"]
    answer = signature(input_ids=ids, input_mask=tf.minimum(ids, 1), segment_ids=0 * ids)
    assert answer["attribution_doubled"].numpy().tolist() == [[3.0, 3.0, 3.0, 0.0]]
    assert set(given) == {3.0}
    with pytest.raises(ValueError, match=r"a method must be one of"):
        saved_model.write(folder, tmp_path / "other", ["chefr"], with_text=False)
    assert not (tmp_path / "other").exists()
