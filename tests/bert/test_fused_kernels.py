"""What oneDNN makes of an encoder's graph: one kernel where the code says several ops."""

import collections
import re

import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import features
from bert import layers

LAYERS = 3
A_LAYER = {
    "MatMul+BiasAdd": 3,  # queries, keys, values
    "BatchMatMul": 2,  # scores, and the values that they mix
    "Softmax": 1,
    "MatMul+BiasAdd+Add": 2,  # with the residual
    "MatMul+BiasAdd+GeluExact": 1,
    "LayerNorm": 2,
}
HEADS = {
    "default": {"MatMul+BiasAdd": 1, "MatMul+BiasAdd+Tanh": 1},
    "global_average_pool": {"MatMul+BiasAdd": 1},
}
ALONE = {"MatMul", "BiasAdd", "Erf", "Erfc", "Gelu", "Tanh", "Einsum", "FusedBatchNorm"}


def kernels(pooling, asked):
    """Count the ops that a session runs, each with what was fused into it, without the marks of their makers.

    `asked` makes what is asked for of the classifier's outputs.
    """
    config = config_lib.BertConfig(
        100,
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        type_vocab_size=2,
    )
    ids = np.arange(1, 19, dtype=np.int32).reshape(2, 9)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        rng = np.random.default_rng(0)
        variables = {
            name: tf.constant(rng.normal(0, 0.1, shape), tf.float32)
            for name, shape in classifier.variable_shapes(config, 2, pooling).items()
        }
        columns = [tf.compat.v1.placeholder(tf.int32, [None, None]) for _ in range(3)]
        batch = features.Features(*columns)
        outputs = classifier.forward(variables, config, batch, pooling=pooling)
        made = tf.compat.v1.RunMetadata()
        session.run(
            asked(outputs),
            dict(zip(columns, (ids, np.ones_like(ids), np.zeros_like(ids)), strict=True)),
            tf.compat.v1.RunOptions(output_partition_graphs=True),
            made,
        )
    nodes = [node for graph in made.partition_graphs for node in graph.node]
    if not any(node.op.startswith("_Mkl") for node in nodes):
        pytest.skip("this TensorFlow, or TF_ENABLE_ONEDNN_OPTS=0, does without oneDNN")
    return collections.Counter(
        "+".join(
            [
                re.sub(r"^_(Mkl)?(Native)?(Fused(?=MatMul))?|V\d$", "", node.op),
                *(name.decode() for name in node.attr["fused_ops"].list.s),
            ]
        )
        for node in nodes
    )


@pytest.mark.parametrize("pooling", HEADS)
def test_a_layer_is_a_dozen_kernels_in_which_bias_activation_residual_and_norm_are_fused(pooling):
    found = kernels(pooling, lambda outputs: tf.nn.softmax(outputs.logits))
    expected = collections.Counter({name: LAYERS * count for name, count in A_LAYER.items()})
    expected.update(HEADS[pooling])
    expected["Softmax"] += 1  # of the logits
    expected["LayerNorm"] += 1  # of the embeddings
    assert {name: found[name] for name in expected} == dict(expected)
    # outside the layers: the look-up of segments, a head's mean
    assert {name: found[name] for name in ALONE & found.keys()} == {
        "Einsum": 1 + (pooling == "global_average_pool")
    }


def test_a_graph_for_threads_has_no_kernel_that_remembers_the_number_of_rows():
    with layers.for_threads():
        found = kernels(
            "default", lambda outputs: tf.gradients(outputs.logits[:, 0], outputs.word_embeddings)
        )
    assert found["BatchMatMul"] > 2 * LAYERS
    assert found["Rsqrt"] >= 2 * LAYERS + 1
    assert not {name for name in found if "BatchNorm" in name}
