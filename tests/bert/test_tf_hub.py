"""TensorFlow Hub's three kinds of BERT, exported here in miniature and asked for their own outputs."""

import gc
import io
import logging
import math
import tarfile
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import config as config_lib
from bert import encoder
from bert import estimator
from bert import features
from bert import pretrained
from bert import tf_hub
from bert import weights
from tests import conftest
from tests.bert import serving

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


@pytest.mark.parametrize("hidden_act", GELUS)
@pytest.mark.parametrize("kind", EXPORTS)
def test_the_encoder_computes_what_the_saved_model_computed(exported, kind, hidden_act):
    saved = exported(kind, hidden_act)
    config, record, vocabulary, variables = tf_hub.read(saved.folder)
    assert config == CONFIG.model_copy(update={"hidden_act": hidden_act})
    word_ids, mask, type_ids = map(tf.constant, inputs())
    outputs = encoder.encode(
        variables, config, encoder.look_up_words(variables, word_ids), mask, type_ids
    )
    sequence = outputs.hidden_states[-1]
    # float32, two layers: the two GELUs are 1e-3 apart here
    np.testing.assert_allclose(sequence, saved.sequence_output, atol=1e-5)
    pooled = encoder.pool_first_token(variables, sequence)
    np.testing.assert_allclose(pooled, saved.pooled_output, atol=1e-5)
    assert vocabulary.split() == WORDS
    assert record.labels == ()
    assert record.do_lower_case is (kind != "later")  # as each of them says itself
    assert record.max_seq_length == POSITIONS


def test_the_two_gelus_give_outputs_that_the_comparison_tells_apart(exported):
    exact, approximate = (exported("first", name).sequence_output for name in GELUS)
    assert np.abs(exact - approximate).max() > 1e-4


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_variable_of_the_encoder_comes_out_in_its_place(exported, kind):
    shapes = {"first": FIRST, "later": LATER, "tf1": TF1 | {"cls/predictions/output_bias": (V,)}}
    stored = random_values(shapes[kind], seed={"first": 7, "later": 8, "tf1": 9}[kind])
    released = {name: row[2] for row in NAMES for name in (*row[:2], row[2])}
    variables = tf_hub.read(exported(kind).folder).variables
    assert {name: value.shape for name, value in variables.items()} == TF1
    for name, value in stored.items():
        if name in released:
            read = variables[released[name]]
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read, value.reshape(read.shape))


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_variable_of_the_encoder_is_trained_when_it_starts_from_the_hub(
    exported, kind, tmp_path
):
    config, _, _, variables = tf_hub.read(exported(kind).folder)
    checkpoints.write(tmp_path / "bert_model.ckpt", variables)
    model = estimator.Model(config, 3, init_checkpoint=str(tmp_path / "bert_model.ckpt"))
    build = estimator.build_model_fn(model, estimator.Training(1e-2, 10, 0))
    word_ids, mask, type_ids = inputs()
    word_ids[0], word_ids[1:4], type_ids[:, :TYPES] = np.arange(T), 11, np.arange(TYPES)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        batch = features.Features(
            *map(tf.constant, (word_ids, mask, type_ids)), tf.constant([0, 1, 2, 0, 1, 2])
        )
        spec = build(batch._asdict(), None, "train", {})
        session.run(tf.compat.v1.global_variables_initializer())
        graph = {v.op.name: v for v in tf.compat.v1.trainable_variables()}
        before = session.run(graph)
        session.run(spec.train_op)
        after = session.run(graph)
    for name in weights.encoder_shapes(config):
        np.testing.assert_array_equal(before[name], variables[name])
    still = [name for name in variables if (before[name] == after[name]).all()]
    # the bias of the keys shifts all scores of a row alike, so softmax takes it out: a gradient of 0 but for rounding
    assert not [name for name in still if not name.endswith("key/bias")]


@pytest.mark.parametrize("prefix", ["", "keras_layer/", "module/"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_names_of_every_generation_become_the_release_s(column, prefix):
    assert [tf_hub.release_name(prefix + row[column]) for row in NAMES] == [
        release for _, _, release, _ in NAMES
    ]


def test_version_2_s_attention_output_and_pre_training_heads_are_told_apart():
    name = tf_hub.release_name("transformer/layer_11/self_attention_output/kernel")
    assert name == "bert/encoder/layer_11/attention/output/dense/kernel"
    for head in ("cls/predictions/transform/dense/kernel", "bert/cls/predictions/output_bias/bias"):
        assert tf_hub.release_name(head) is None


def test_what_is_left_out_is_logged_in_one_line(exported, caplog):
    caplog.set_level(logging.INFO, "bert.tf_hub")
    tf_hub.read(exported("first").folder)
    assert not caplog.messages  # nothing is: the letter case is read
    for kind, names in {
        "later": "cls/predictions/transform/dense/bias, cls/predictions/transform/dense/kernel",
        "tf1": "cls/predictions/output_bias",
    }.items():
        caplog.clear()
        folder = exported(kind).folder
        tf_hub.read(folder)
        (line,) = caplog.messages
        count, listed = line.removeprefix(f"{folder}: ").split(" variables left out: ")
        assert sorted(listed.split(", ")) == names.split(", ")
        assert int(count) == len(names.split(", "))


@pytest.mark.parametrize(
    ("part", "extra", "message"),
    [
        ("bert_model/pooler_transform/bias", None, "has nothing for bert/pooler/dense/bias; give"),
        (
            "bert_model/encoder/layer_0/output/bias",
            None,
            "has nothing for bert/encoder/layer_0/output/dense/bias; give",
        ),
        (
            "bert_model/word_embeddings/embeddings",
            None,
            "has nothing for bert/embeddings/word_embeddings; give",
        ),
        (None, ("encoder/layer_1/self_attention/pre_softmax", (H, H)), "has no .*pre_softmax;"),
        (None, ("embedding_projection/kernel", (D, D)), "has no bert_model/embedding_projection"),
        (None, ("encoder/layer_0/other/output/kernel", (F, D)), "has no .*other/output/kernel"),
        (None, ("encoder/layer_0/self_attention/query/scale", (H, E)), "has no .*query/scale"),
        (
            None,
            ("copy/encoder/layer_1/output/kernel", (F, D)),
            "must hold one BERT, got bert/encoder/layer_1/output/dense/kernel from",
        ),
        (
            "bert_model/encoder/layer_1/output/kernel",
            ("encoder/layer_1/output/kernel", (F + 1, D)),
            r"layer_1/output/dense/kernel with shape \[20, 12\], got \[21, 12\]",
        ),
    ],
)
def test_a_saved_model_of_another_architecture_is_refused(
    tmp_path, vocab_file, part, extra, message
):
    shapes = {name: shape for name, shape in FIRST.items() if name != part}
    if extra:
        shapes[f"bert_model/{extra[0]}"] = extra[1]
    save_variables(tmp_path, shapes)
    with pytest.raises(ValueError, match=message):
        tf_hub.read(tmp_path)


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


def test_a_saved_model_of_no_bert_is_one_line_that_names_what_it_lacks(tmp_path):
    save_variables(tmp_path, {"dense/kernel": (3, 2)})
    with pytest.raises(ValueError, match="has nothing for bert/embeddings/word_embeddings, ") as no:
        tf_hub.read(tmp_path)
    assert "bert/encoder/layer_0/intermediate/dense/kernel; give" in str(no.value)
    assert "\n" not in str(no.value)


def test_another_activation_than_the_two_gelus_is_refused(tmp_path):
    save_variables(tmp_path, FIRST, hidden_act="relu")
    with pytest.raises(ValueError, match=r"neither an Erf nor the tanh approximation's 0\.044715"):
        tf_hub.read(tmp_path)


def test_a_folder_without_a_vocabulary_or_without_a_model_says_which_file_it_lacks(
    tmp_path, exported
):
    with pytest.raises(FileNotFoundError, match=r"there is no .*saved_model\.pb; give the folder"):
        tf_hub.read(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(FileNotFoundError, match=r"there is no .*variables\.index; give the folder"):
        tf_hub.read(tmp_path)
    save_variables(tmp_path / "model", FIRST)
    with pytest.raises(FileNotFoundError, match=r"must hold its vocabulary, .*assets/vocab\.txt"):
        tf_hub.read(tmp_path / "model")
    (tmp_path / "model" / "assets" / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(ValueError, match=r"assets/vocab\.txt: vocab_file must be UTF-8"):
        tf_hub.read(tmp_path / "model")


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index", "data"])
def test_a_damaged_saved_model_is_one_line(tmp_path, file):
    save_variables(tmp_path, FIRST)
    path = tmp_path / file.replace("data", "variables/variables.data-00000-of-00001")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="must be a whole SavedModel, got"):
        tf_hub.read(tmp_path)


TF1_NAMES = {  # folder -> is it lower-cased, how many heads
    "bert_uncased_L-2_H-12_A-6/1": (True, 6),
    "bert_cased_L-2_H-12_A-4": (False, 4),
    "bert_multi_cased_L-2_H-12_A-2/1": (False, 2),
    "bert_chinese_L-2_H-12_A-3/1": (True, 3),
    "google/uncased-l-2-h-12-a-6/2": (True, 6),
    "cased_models/uncased_L-2_H-12_A-3": (True, 3),
    "tiny_A-12/2": (True, 12),  # nothing tells the case
}


@pytest.fixture(scope="module")
def silent(tmp_path_factory, vocab_file):
    """A TF1 module without `tokenization_info`, whose variables stand under `module/`."""
    folder = tmp_path_factory.mktemp("silent") / "0123456789abcdef"
    return export_tf1(str(folder), vocab_file, "gelu", prefix="module/", lower=None).folder


@pytest.mark.parametrize("name", TF1_NAMES)
def test_a_module_that_does_not_say_its_case_or_heads_is_known_by_its_name(silent, tmp_path, name):
    folder = tmp_path / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(silent)
    config, record, _, _ = tf_hub.read(folder)
    assert (record.do_lower_case, config.num_attention_heads) == TF1_NAMES[name]


def test_the_handle_in_the_cache_s_note_names_a_folder_that_is_a_hash(silent, tmp_path):
    folder = tmp_path / "da39a3ee"
    folder.symlink_to(silent)
    note = tmp_path / "da39a3ee.descriptor.txt"
    note.write_text(
        "Module: https://tfhub.dev/google/bert_cased_L-2_H-12_A-4/1\nDownload Time: uncased"
    )
    config, record, _, _ = tf_hub.read(folder)
    assert (record.do_lower_case, config.num_attention_heads) == (False, 4)


def test_heads_that_nothing_tells_are_64_wide_or_refused(silent, tmp_path, monkeypatch, caplog):
    with pytest.raises(ValueError, match=r"number of attention heads by its name.* width 12 is no"):
        tf_hub.read(silent)
    config = config_lib.BertConfig(
        V,
        hidden_size=192,
        num_hidden_layers=1,
        intermediate_size=F,
        max_position_embeddings=POSITIONS,
        type_vocab_size=TYPES,
    )
    save_variables(tmp_path, weights.encoder_shapes(config) | weights.pooler_shapes(config))
    (tmp_path / "assets" / "vocab.txt").write_text("\n".join(WORDS))
    caplog.set_level(logging.INFO, "bert.tf_hub")
    monkeypatch.chdir(tmp_path)
    found = tf_hub.read(".")
    assert found.config == config.model_copy(update={"num_attention_heads": 3})
    assert found.record.do_lower_case
    heads, case = caplog.messages
    assert heads.endswith("no name tells the heads; taking 3, each 64 wide")
    assert case.endswith("nothing tells the letter case; taking lower")


def packed(folder, root="."):
    with io.BytesIO() as memory:
        with tarfile.open(fileobj=memory, mode="w:gz") as archive:
            archive.add(folder, arcname=root)
        return memory.getvalue()


def test_a_handle_is_downloaded_once_and_a_folder_is_itself(tmp_path, monkeypatch, silent):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    path = "/google/bert_multi_cased_L-2_H-12_A-6/1"
    with serving.Site() as site:
        site.content[f"{path}?tf-hub-format=compressed"] = packed(silent)
        folder = tf_hub.resolve(site.url + path)
        assert tf_hub.resolve(site.url + path) == folder
    assert site.requests == [f"GET {path}?tf-hub-format=compressed"]
    assert folder.startswith(str(tmp_path / "cache"))
    found, wanted = tf_hub.read(folder), tf_hub.read(tf_hub.resolve(folder))
    assert found.config.num_attention_heads == 6  # by the handle: the folder's name is a hash
    assert not found.record.do_lower_case
    assert found.config == wanted.config


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", ["nothing", "no archive", "half", "a file outside"])
def test_a_handle_that_cannot_be_had_is_one_line(tmp_path, monkeypatch, silent, answer):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    whole = packed(silent)
    bodies = {
        "no archive": b"<p>sorry</p>",
        "half": whole[: len(whole) // 2],
        "a file outside": packed(silent, "../.."),
    }
    with serving.Site() as site:
        if answer in bodies:
            site.content["/bert/1?tf-hub-format=compressed"] = bodies[answer]
        with pytest.raises(pretrained.PretrainedError, match="must be the address of a Te") as no:
            tf_hub.resolve(f"{site.url}/bert/1")
    message = str(no.value)
    del no
    gc.collect()  # tensorflow_hub leaves the socket of a failed download to the collector, which complains
    assert "\n" not in message
    assert "download the model by hand" in message
    assert list(tmp_path.iterdir()) == []  # so that a second try asks again


def test_a_handle_or_a_cache_that_cannot_be_used_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with pytest.raises(pretrained.PretrainedError, match="got InvalidURL: nonnumeric port"):
        tf_hub.resolve("http://127.0.0.1:port/bert/1")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(pretrained.PretrainedError, match="file is not a directory"):
        tf_hub.resolve("http://127.0.0.1:9/bert/1")


def test_a_folder_of_the_user_s_is_itself_and_one_that_is_not_there_is_one_line(
    tmp_path, monkeypatch
):
    (tmp_path / "bert").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tf_hub.resolve("~/bert") == str(tmp_path / "bert")
    with pytest.raises(pretrained.PretrainedError, match="'~/nowhere' must be the address of a T"):
        tf_hub.resolve("~/nowhere")
