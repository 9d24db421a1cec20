"""Modules that say little of themselves, and handles: who is known by its name, what is downloaded."""

import gc
import io
import logging
import tarfile

import pytest

from bert import config as config_lib
from bert import pretrained
from bert import tf_hub
from bert import weights
from tests.bert import saved_models
from tests.bert import serving

vocab_file = saved_models.vocab_file
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
    return saved_models.export_tf1(
        str(folder), vocab_file, "gelu", prefix="module/", lower=None
    ).folder


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
        saved_models.V,
        hidden_size=192,
        num_hidden_layers=1,
        intermediate_size=saved_models.F,
        max_position_embeddings=saved_models.POSITIONS,
        type_vocab_size=saved_models.TYPES,
    )
    saved_models.save_variables(
        tmp_path, weights.encoder_shapes(config) | weights.pooler_shapes(config)
    )
    (tmp_path / "assets" / "vocab.txt").write_text("\n".join(saved_models.WORDS))
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
