"""TensorFlow Hub's three kinds of BERT, exported in miniature beside what they compute."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from bert import config as config_lib
from tests import conftest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{index}" for index in range(15))]
V, D, H, E, F, POSITIONS, TYPES, LAYERS = 19, 12, 3, 4, 20, 10, 5, 2
B, T = 6, 7
CONFIG = config_lib.BertConfig(
    V,
    hidden_size=D,
    num_hidden_layers=LAYERS,
    num_attention_heads=H,
    intermediate_size=F,
    max_position_embeddings=POSITIONS,
    type_vocab_size=TYPES,
)
# TF2's version 1 (under bert_model/), TF2's later versions, the release (under bert/), shape in TF2
EMBEDDINGS = """
word_embeddings/embeddings                   word_embeddings/embeddings     embeddings/word_embeddings        19,12
embedding_postprocessor/type_embeddings      type_embeddings/embeddings     embeddings/token_type_embeddings  5,12
embedding_postprocessor/position_embeddings  position_embedding/embeddings  embeddings/position_embeddings    10,12
embedding_postprocessor/layer_norm/gamma     embeddings/layer_norm/gamma    embeddings/LayerNorm/gamma        12
embedding_postprocessor/layer_norm/beta      embeddings/layer_norm/beta     embeddings/LayerNorm/beta         12
"""
LAYER = """
self_attention/query/kernel      self_attention/query/kernel             attention/self/query/kernel       12,3,4
self_attention/query/bias        self_attention/query/bias               attention/self/query/bias         3,4
self_attention/key/kernel        self_attention/key/kernel               attention/self/key/kernel         12,3,4
self_attention/key/bias          self_attention/key/bias                 attention/self/key/bias           3,4
self_attention/value/kernel      self_attention/value/kernel             attention/self/value/kernel       12,3,4
self_attention/value/bias        self_attention/value/bias               attention/self/value/bias         3,4
self_attention_output/kernel     self_attention/attention_output/kernel  attention/output/dense/kernel     3,4,12
self_attention_output/bias       self_attention/attention_output/bias    attention/output/dense/bias       12
self_attention_layer_norm/gamma  self_attention_layer_norm/gamma         attention/output/LayerNorm/gamma  12
self_attention_layer_norm/beta   self_attention_layer_norm/beta          attention/output/LayerNorm/beta   12
intermediate/kernel              intermediate/kernel                     intermediate/dense/kernel         12,20
intermediate/bias                intermediate/bias                       intermediate/dense/bias           20
output/kernel                    output/kernel                           output/dense/kernel               20,12
output/bias                      output/bias                             output/dense/bias                 12
output_layer_norm/gamma          output_layer_norm/gamma                 output/LayerNorm/gamma            12
output_layer_norm/beta           output_layer_norm/beta                  output/LayerNorm/beta             12
"""
POOLER = """
pooler_transform/kernel          pooler_transform/kernel                 pooler/dense/kernel               12,12
pooler_transform/bias            pooler_transform/bias                   pooler/dense/bias                 12
"""


def rows(table, scopes=("", "", "")):
    for line in table.split("\n")[1:-1]:
        *names, shape = line.split()
        first, later, release = (f"{s}{name}" for s, name in zip(scopes, names, strict=True))
        yield f"bert_model/{first}", later, f"bert/{release}", tuple(map(int, shape.split(",")))


NAMES = [*rows(EMBEDDINGS), *rows(POOLER)]
for layer in range(LAYERS):
    scopes = (f"encoder/layer_{layer}/", f"transformer/layer_{layer}/", f"encoder/layer_{layer}/")
    NAMES += rows(LAYER, scopes)
FIRST = {first: shape for first, _, _, shape in NAMES}
LATER = {later: shape for _, later, _, shape in NAMES}
TF1 = {
    name: shape
    for name, shape in conftest.release_shapes(CONFIG).items()
    if not name.startswith("output_")
}
GELUS = {
    "gelu": lambda x: 0.5 * x * (1.0 + tf.math.erf(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x: (
        0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * tf.pow(x, 3))))
    ),
}


class Exported(NamedTuple):
    """A SavedModel on disk, and what it computes for `inputs()`."""

    folder: str
    sequence_output: np.ndarray
    pooled_output: np.ndarray


def inputs():
    rng = np.random.default_rng(3)
    mask = np.ones((B, T), np.int32)
    mask[1, 4:] = mask[4, 2:] = 0
    return (
        rng.integers(0, V, (B, T)).astype(np.int32),
        mask,
        rng.integers(0, TYPES, (B, T)).astype(np.int32),
    )


def random_values(shapes, seed):
    """Scales near 1, the rest small; no two variables alike."""
    rng = np.random.default_rng(seed)
    return {
        name: (name.endswith("gamma") + rng.normal(0, 0.4, shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def forward(read, word_ids, mask, type_ids, gelu):
    """BERT in einsum over version 1's names and shapes, which `read` turns into tensors."""

    def norm(name, x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return read(f"{name}/gamma") * (x - mean) / tf.sqrt(variance + 1e-12) + read(f"{name}/beta")

    after = "embedding_postprocessor"
    x = tf.gather(read("word_embeddings/embeddings"), word_ids)
    x += tf.gather(read(f"{after}/type_embeddings"), type_ids)
    x = norm(f"{after}/layer_norm", x + read(f"{after}/position_embeddings")[: tf.shape(x)[1]])
    for index in range(LAYERS):
        layer = f"encoder/layer_{index}"
        query, key, value = (
            tf.einsum("btd,dhe->bthe", x, read(f"{layer}/self_attention/{name}/kernel"))
            + read(f"{layer}/self_attention/{name}/bias")
            for name in ("query", "key", "value")
        )
        scores = tf.einsum("bqhe,bkhe->bhqk", query, key) / math.sqrt(E)
        scores -= 10000.0 * (1.0 - tf.cast(mask, tf.float32))[:, tf.newaxis, tf.newaxis]
        context = tf.einsum("bhqk,bkhe->bqhe", tf.nn.softmax(scores), value)
        mixed = tf.einsum("bqhe,hed->bqd", context, read(f"{layer}/self_attention_output/kernel"))
        mixed += read(f"{layer}/self_attention_output/bias")
        x = norm(f"{layer}/self_attention_layer_norm", x + mixed)
        wide = tf.einsum("btd,df->btf", x, read(f"{layer}/intermediate/kernel"))
        wide = gelu(wide + read(f"{layer}/intermediate/bias"))
        narrow = tf.einsum("btf,fd->btd", wide, read(f"{layer}/output/kernel"))
        x = norm(f"{layer}/output_layer_norm", x + narrow + read(f"{layer}/output/bias"))
    pooled = tf.einsum("bd,dc->bc", x[:, 0], read("pooler_transform/kernel"))
    return x, tf.tanh(pooled + read("pooler_transform/bias"))


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    file.write_text("\n".join(WORDS) + "\n")
    return str(file)


def export_first(folder, vocab_file, hidden_act, *, shapes=FIRST, lower=True):
    """A TF2 SavedModel with version 1's names, like tensorflow/bert_en_uncased_L-12_H-768_A-12/1."""
    values = random_values(shapes, seed=7)

    class Bert(tf.Module):
        def __init__(self):
            self.parts = {name: tf.Variable(value, name=name) for name, value in values.items()}
            self.vocab_file = tf.saved_model.Asset(vocab_file)
            if lower is not None:
                self.do_lower_case = tf.Variable(lower, trainable=False)

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 3)
        def __call__(self, word_ids, mask, type_ids):
            def read(name):
                return self.parts[f"bert_model/{name}"]

            return forward(read, word_ids, mask, type_ids, GELUS[hidden_act])

    tf.saved_model.save(Bert(), folder)
    outputs = tf.saved_model.load(folder)(*map(tf.constant, inputs()))
    return Exported(folder, *(output.numpy() for output in outputs))


class Positions(tf.keras.layers.Layer):
    def build(self, shape):
        self.table = self.add_weight("embeddings", [POSITIONS, shape[-1]])

    def call(self, x):
        return x + self.table[tf.newaxis, : tf.shape(x)[1]]


class Block(tf.keras.layers.Layer):
    """Keras's own attention and layers, named as tensorflow/models' TransformerEncoderBlock names them."""

    def __init__(self, gelu, **kwargs):
        super().__init__(**kwargs)
        layers = tf.keras.layers
        self.attention = layers.MultiHeadAttention(H, E, name="self_attention")
        self.attention_norm = layers.LayerNormalization(
            epsilon=1e-12, name="self_attention_layer_norm"
        )
        self.wide = layers.EinsumDense(
            "btd,df->btf", (None, F), bias_axes="f", activation=gelu, name="intermediate"
        )
        self.narrow = layers.EinsumDense("btf,fd->btd", (None, D), bias_axes="d", name="output")
        self.norm = layers.LayerNormalization(epsilon=1e-12, name="output_layer_norm")

    def call(self, x, mask):
        seen = tf.cast(mask, tf.bool)[:, tf.newaxis]
        x = self.attention_norm(x + self.attention(x, x, attention_mask=seen))
        return self.norm(x + self.narrow(self.wide(x)))


def export_later(folder, vocab_file, hidden_act, *, lower=False):
    """A Keras SavedModel made as tensorflow/models' export_tfhub_lib.py makes them, masked-word head included."""
    layers, gelu = tf.keras.layers, GELUS[hidden_act]
    word_ids, mask, type_ids = (
        tf.keras.Input((None,), dtype=tf.int32, name=f"input_{name}")
        for name in ("word_ids", "mask", "type_ids")
    )
    x = Positions(name="position_embedding")(
        layers.Embedding(V, D, name="word_embeddings")(word_ids)
    )
    x += layers.Embedding(TYPES, D, name="type_embeddings")(type_ids)
    x = layers.LayerNormalization(epsilon=1e-12, name="embeddings/layer_norm")(x)
    for index in range(LAYERS):
        x = Block(gelu, name=f"transformer/layer_{index}")(x, mask)
    pooled = layers.Dense(D, activation="tanh", name="pooler_transform")(x[:, 0])
    named = [word_ids, mask, type_ids]
    bert = tf.keras.Model(named, {"sequence_output": x, "pooled_output": pooled})
    asked = {tensor.name: tensor for tensor in named}
    core = tf.keras.Model(asked, bert(named))
    core.mlm = tf.keras.Model(asked, layers.Dense(D, name="cls/predictions/transform/dense")(x))
    assert {variable.name: tuple(variable.shape) for variable in core.variables} == {
        f"{name}:0": shape for name, shape in LATER.items()
    } | {
        "cls/predictions/transform/dense/kernel:0": (D, D),
        "cls/predictions/transform/dense/bias:0": (D,),
    }
    values = random_values(LATER, seed=8)
    for variable in bert.variables:
        variable.assign(values[variable.name.removesuffix(":0")])
    core.vocab_file = tf.saved_model.Asset(vocab_file)
    core.do_lower_case = tf.Variable(lower, trainable=False)
    core.save(folder, include_optimizer=False, save_format="tf")
    outputs = tf.saved_model.load(folder)(dict(zip(asked, map(tf.constant, inputs()), strict=True)))
    return Exported(folder, outputs["sequence_output"].numpy(), outputs["pooled_output"].numpy())


def export_tf1(folder, vocab_file, hidden_act, *, prefix="", lower=True):
    """A TF1 hub module like google/bert_uncased_L-12_H-768_A-12/1, with two heads of pre-training."""
    release_of = {first.removeprefix("bert_model/"): release for first, _, release, _ in NAMES}
    values = random_values(TF1 | {"cls/predictions/output_bias": (V,)}, seed=9)
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {
            name: v1.get_variable(prefix + name, initializer=value)
            for name, value in values.items()
        }

        def read(name):
            return tf.reshape(variables[release_of[name]], FIRST[f"bert_model/{name}"])

        placeholders = [v1.placeholder(tf.int32, [None, None]) for _ in range(3)]
        outputs = forward(read, *placeholders, GELUS[hidden_act])
        vocabulary = tf.constant(vocab_file)
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, vocabulary)
        signatures = {
            "tokens": v1.saved_model.predict_signature_def(
                dict(zip(("input_ids", "input_mask", "segment_ids"), placeholders, strict=True)),
                dict(zip(("sequence_output", "pooled_output"), outputs, strict=True)),
            )
        }
        if lower is not None:
            signatures["tokenization_info"] = v1.saved_model.build_signature_def(
                outputs={
                    "vocab_file": v1.saved_model.build_tensor_info(vocabulary),
                    "do_lower_case": v1.saved_model.build_tensor_info(tf.constant(lower)),
                }
            )
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(folder)
        builder.add_meta_graph_and_variables(
            session,
            [],
            signatures,
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()
        computed = session.run(outputs, dict(zip(placeholders, inputs(), strict=True)))
    return Exported(folder, *computed)


EXPORTS = {"first": export_first, "later": export_later, "tf1": export_tf1}


@pytest.fixture(scope="module")
def exported(tmp_path_factory, vocab_file):
    """Every kind with every GELU, each exported when it is first asked for."""
    made = {}

    def export(kind, hidden_act="gelu_tanh"):
        if (kind, hidden_act) not in made:
            folder = tmp_path_factory.mktemp("hub") / f"bert_tiny_L-2_H-12_A-3_{kind}" / "1"
            made[kind, hidden_act] = EXPORTS[kind](str(folder), vocab_file, hidden_act)
        return made[kind, hidden_act]

    return export


def save_variables(folder, shapes, hidden_act="gelu"):
    """A SavedModel that holds variables and a GELU, but joins them to no network."""
    module = tf.Module()
    module.parts = {
        name: tf.Variable(value, name=name) for name, value in random_values(shapes, 1).items()
    }
    module.act = tf.function(
        GELUS.get(hidden_act, tf.nn.relu), input_signature=[tf.TensorSpec([None])]
    )
    tf.saved_model.save(module, str(folder))
