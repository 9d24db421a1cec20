import pickle
import sys
import types

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from bert import checkpoints
from bert import config as config_lib
from bert import export
from bert import model_folder
from scripts import convert_checkpoint
from tests import conftest

D, V = 12, len(conftest.TINY_WORDS)
HEADS = {  # of pre-training, as the release's checkpoints have them
    "cls/predictions/transform/dense/kernel": (D, D),
    "cls/predictions/transform/dense/bias": (D,),
    "cls/predictions/transform/LayerNorm/gamma": (D,),
    "cls/predictions/transform/LayerNorm/beta": (D,),
    "cls/predictions/output_bias": (V,),
    "cls/seq_relationship/output_weights": (2, D),
    "cls/seq_relationship/output_bias": (2,),
}


def read(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def as_of_2019(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


def convert(source, target):
    return convert_checkpoint.main([f"--input={source}", f"--output={target}"])


@pytest.fixture
def encoder(tiny_release):
    return read(tiny_release / "bert_model.ckpt")


@pytest.fixture
def trained(tiny_release, encoder, tmp_path):
    """A folder as training leaves it at step 9, with the optimiser's slots."""
    folder = tmp_path / "trained"
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    record = config_lib.ClassifierConfig(labels=("no", "yes", "maybe"), max_seq_length=16)
    model_folder.Parts(config, record, str(tiny_release / "vocab.txt"), None).save(folder)
    rng = np.random.default_rng(3)
    variables = encoder | {
        "output_weights": rng.normal(size=(3, D)).astype(np.float32),
        "output_bias": rng.normal(size=3).astype(np.float32),
    }
    slots = {f"{name}/adam_{s}": np.ones_like(v) for name, v in variables.items() for s in "mv"}
    checkpoints.write(folder / "model.ckpt-9", variables | slots | {"global_step": np.int64(9)})
    tf.compat.v1.train.update_checkpoint_state(str(folder), "model.ckpt-9")
    return folder


def without_optimiser(folder):
    return {
        name: value
        for name, value in read(folder / "model.ckpt-9").items()
        if not name.endswith(("/adam_m", "/adam_v"))
    }


def test_a_trained_folder_goes_out_and_in_bit_for_bit(trained, tmp_path, capsys):
    assert convert(trained, tmp_path / "a.safetensors") == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path / 'a.safetensors'}: 41 variables",  # 39 of the encoder, 2 of the classifier
        "left out, slots of the optimiser: 82 (bert/embeddings/LayerNorm/beta/adam_m, "
        "bert/embeddings/LayerNorm/beta/adam_v, bert/embeddings/LayerNorm/gamma/adam_m, "
        "bert/embeddings/LayerNorm/gamma/adam_v, "
        "bert/embeddings/position_embeddings/adam_m and 77 more)",
        "left out, unknown to transformers: 1 (global_step)",
    ]
    assert convert(tmp_path / "a.safetensors", tmp_path / "back" / "bert_model.ckpt") == 0
    assert capsys.readouterr().err == f"{tmp_path / 'back' / 'bert_model.ckpt'}: 41 variables\n"
    expected = without_optimiser(trained)
    del expected["global_step"]
    assert_equal(read(tmp_path / "back" / "bert_model.ckpt"), expected)


def test_tensors_have_transformers_names_and_orientation(trained, tmp_path):
    convert(trained, tmp_path / "a.safetensors")
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
        kernel = file.get_tensor("bert.encoder.layer.1.intermediate.dense.weight")
        classifier = file.get_tensor("classifier.weight")
    variables = without_optimiser(trained)
    expected = variables["bert/encoder/layer_1/intermediate/dense/kernel"]
    np.testing.assert_array_equal(kernel, expected.T)
    np.testing.assert_array_equal(classifier, variables["output_weights"])


def test_a_checkpoint_of_the_same_form_loses_its_optimiser_only(trained, tmp_path, capsys):
    assert convert(trained / "model.ckpt-9", tmp_path / "slim.ckpt") == 0
    assert_equal(read(tmp_path / "slim.ckpt"), without_optimiser(trained))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        f"{tmp_path / 'slim.ckpt'}: 42 variables",
        "left out, slots of the optimiser: 82",
    ]


def test_a_release_is_read_by_its_folder_or_by_its_checkpoint(tiny_release, encoder, tmp_path):
    for name, source in (("a", tiny_release), ("b", tiny_release / "bert_model.ckpt")):
        assert convert(source, tmp_path / f"{name}.safetensors") == 0
        assert convert(tmp_path / f"{name}.safetensors", tmp_path / name) == 0
        assert_equal(read(tmp_path / name), encoder)


def test_the_heads_of_pre_training_go_out_under_transformers_names(encoder, tmp_path):
    rng = np.random.default_rng(4)
    heads = {name: rng.normal(size=shape).astype(np.float32) for name, shape in HEADS.items()}
    checkpoints.write(tmp_path / "bert_model.ckpt", encoder | heads)
    assert convert(tmp_path / "bert_model.ckpt", tmp_path / "a.safetensors") == 0
    tensors = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert {name: tensors[name].shape for name in tensors if not name.startswith("bert.")} == {
        "cls.predictions.transform.dense.weight": (D, D),
        "cls.predictions.transform.dense.bias": (D,),
        "cls.predictions.transform.LayerNorm.weight": (D,),
        "cls.predictions.transform.LayerNorm.bias": (D,),
        "cls.predictions.bias": (V,),
        "cls.seq_relationship.weight": (2, D),
        "cls.seq_relationship.bias": (2,),
    }
    np.testing.assert_array_equal(
        tensors["cls.predictions.transform.dense.weight"],
        heads["cls/predictions/transform/dense/kernel"].T,
    )
    assert convert(tmp_path / "a.safetensors", tmp_path / "back") == 0
    assert_equal(read(tmp_path / "back"), encoder | heads)


def test_a_hugging_face_folder_comes_in_and_what_has_no_name_is_told(
    encoder, trained, tmp_path, capsys
):
    export.write_hugging_face(trained, tmp_path / "theirs")
    path = tmp_path / "theirs" / "model.safetensors"
    tensors = {as_of_2019(name): v for name, v in safetensors.numpy.load_file(path).items()}
    tensors |= {
        "bert.embeddings.position_ids": np.arange(32)[np.newaxis],
        "cls.predictions.transform.LayerNorm.gamma": np.full(D, 2, np.float16),
        "cls.predictions.transform.LayerNorm.beta": np.full(D, 3, np.float16),
        "qa_outputs.bias": np.zeros(2, np.float32),
    }
    safetensors.numpy.save_file(tensors, path)
    capsys.readouterr()
    assert convert(tmp_path / "theirs", tmp_path / "ours") == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path / 'ours'}: 43 variables",
        "left out, unknown to google-research/bert: 2 (bert.embeddings.position_ids, qa_outputs.bias)",
    ]
    expected = without_optimiser(trained)
    del expected["global_step"]
    head = {
        "cls/predictions/transform/LayerNorm/gamma": np.full(D, 2, np.float32),
        "cls/predictions/transform/LayerNorm/beta": np.full(D, 3, np.float32),
    }
    assert_equal(read(tmp_path / "ours"), expected | head)
    assert convert(path, tmp_path / "file") == 0
    assert_equal(read(tmp_path / "file"), expected | head)


def test_a_whole_folder_is_written_without_its_optimiser(trained, tmp_path, capsys):
    arguments = [f"--input={trained}", f"--output_dir={tmp_path / 'slim'}"]
    assert convert_checkpoint.main(arguments) == 0
    assert capsys.readouterr().err == f"{tmp_path / 'slim'}: the model without its optimiser\n"
    parts = model_folder.load(tmp_path / "slim")
    assert parts.labels == ["no", "yes", "maybe"]
    assert_equal(read(parts.init_checkpoint), without_optimiser(trained))
    assert convert_checkpoint.main(arguments) == 1
    assert "must be a new or an empty folder, but is a file or holds" in capsys.readouterr().err


def test_pytorchs_form_is_a_state_dict(tiny_release, tmp_path, monkeypatch):
    def save(tensors, path):
        path.write_bytes(pickle.dumps(tensors))

    torch = types.SimpleNamespace(from_numpy=lambda value: ("tensor", value.tolist()), save=save)
    monkeypatch.setitem(sys.modules, "torch", torch)  # stands in: this environment must not have it
    assert convert(tiny_release, tmp_path / "pytorch_model.bin") == 0
    assert convert(tiny_release, tmp_path / "a.safetensors") == 0
    expected = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert pickle.loads((tmp_path / "pytorch_model.bin").read_bytes()) == {
        name: ("tensor", value.tolist()) for name, value in expected.items()
    }


def test_pytorchs_form_appears_whole_or_not_at_all(tiny_release, tmp_path, monkeypatch, capsys):
    def save(tensors, path):
        path.write_bytes(b"a part")
        raise OSError("No space left on device")

    torch = types.SimpleNamespace(from_numpy=np.asarray, save=save)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert convert(tiny_release, tmp_path / "pytorch_model.bin") == 1
    assert capsys.readouterr().err == "convert_checkpoint.py: No space left on device\n"
    assert not list(tmp_path.iterdir())


def test_pytorchs_form_without_pytorch_says_what_to_do(tiny_release, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert convert(tiny_release, tmp_path / "pytorch_model.bin") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"convert_checkpoint.py: {tmp_path / 'pytorch_model.bin'} must be ")
    assert "install torch, or end --output in .safetensors" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt", "folder"])
def test_what_is_there_already_is_not_overwritten(tiny_release, tmp_path, capsys, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.safetensors").write_text("mine")
    (tmp_path / "a.ckpt.index").write_text("mine")
    assert convert(tiny_release, tmp_path / name) == 1
    assert f"--output must be new, got '{tmp_path / name}'" in capsys.readouterr().err
    assert (tmp_path / "a.safetensors").read_text() == "mine"
    assert (tmp_path / "a.ckpt.index").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_weights_of_another_model_are_refused(tmp_path, capsys):
    tensors = {"transformer.h.0.attn.bias": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(tensors, tmp_path / "gpt.safetensors")
    assert convert(tmp_path / "gpt.safetensors", tmp_path / "bert_model.ckpt") == 1
    assert "--input must hold the weights of a BERT" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "must be a checkpoint, but there is no"),
        ("cut.safetensors", "must be a whole safetensors file"),
        ("nowhere.safetensors", "No such file"),
        (".", "must hold weights"),
    ],
)
def test_a_source_that_cannot_be_read_is_told_in_one_line(tmp_path, capsys, source, message):
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    assert convert(tmp_path / source, tmp_path / "out.safetensors") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convert_checkpoint.py: ")
    assert message in line
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("targets", [[], ["--output=a", "--output_dir=b"]])
def test_there_must_be_one_target(targets):
    with pytest.raises(SystemExit) as caught:
        convert_checkpoint.main(["--input=x", *targets])
    assert caught.value.code == 2
