"""Relevance is a switch: off, the graph is the plain one, operation by operation; on, the answers stay."""

import numpy as np
import tensorflow as tf

from bert import classifier
from bert import features
from bert import input_fn
from bert import model_folder
from explain import model
from tests import conftest
from tests.explain import classifier_folder
from tests.explain import explained

folder = explained.folder


def operations(graph):
    """Return name and type of each; a weight that was captured is named by a number of the process."""
    named = ((op.name, op.type) for op in graph.get_operations())
    return [("weight" if name.isdecimal() else name, kind) for name, kind in named]


def of_forward(parts, weights, **options):
    """Return the operations of a forward pass that this test builds itself."""
    specs = [tf.TensorSpec([None, None], tf.int32) for _ in range(3)]

    def logits(*arrays):
        batch = features.Features(*arrays)
        return classifier.forward(weights, parts.config, batch, **options).logits

    made = tf.function(logits, autograph=False).get_concrete_function(*specs)
    return operations(made.graph)


def test_a_graph_without_taps_has_the_operations_of_the_plain_one(folder):
    parts = model_folder.load(folder)
    off = model.load_explainer(folder, ["cp_lrp", "gradient_x_input"])._warm
    plain = model.load_explainer(folder, ["rollout"])._warm
    found = [operations(warm.prediction_graph._built[0].graph) for warm in (off, plain)]
    assert found[0] == found[1]
    weights = off._model.variables
    forward = of_forward(parts, weights)
    assert forward == of_forward(parts, weights, with_taps=False)
    more = sorted(kind for _, kind in found[0])
    for _, kind in forward:
        more.remove(kind)  # every operation of the forward pass, once
    # what predicting has beyond it: target and contrast go in, probabilities come out
    assert set(more) <= {"Placeholder", "Softmax", "Identity"}
    assert of_forward(parts, weights, with_taps=True) != forward


@conftest.needs_estimator
def test_an_estimator_builds_taps_only_for_methods_that_need_them(folder, monkeypatch):
    tokenizer = model_folder.load(folder).tokenizer()
    encoding = features.encode(tokenizer, "the film was fine", None, classifier_folder.LENGTH)
    padded = [features.pad_encoding(encoding, classifier_folder.LENGTH)]
    inputs = input_fn.input_fn_builder(
        padded, classifier_folder.LENGTH, is_training=False, drop_remainder=False
    )
    asked, forward = [], classifier.forward

    def watched(*args, with_taps=False, **kwargs):
        asked.append(with_taps)
        return forward(*args, with_taps=with_taps, **kwargs)

    monkeypatch.setattr(classifier, "forward", watched)
    answers = []
    for methods in ((), ("gradient_x_input",), ("cp_lrp",)):
        asking = model.load_bert_model(folder, methods=methods)
        (prediction,) = asking.predict(inputs)
        answers.append(prediction["probabilities"])
    assert asked == [False, False, True]
    np.testing.assert_allclose(answers[1:], [answers[0]] * 2, atol=1e-6)
