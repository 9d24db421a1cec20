"""What the cache holds of named weights and of archives, whatever the sources do; nothing here leaves this machine."""

import dataclasses
import hashlib
import logging
import os
import shutil
import threading

import pytest

from bert import checksums
from bert import pretrained
from tests.bert import serving
from tests.bert import tiny_weights

cache = tiny_weights.cache
site = tiny_weights.site
shelf = tiny_weights.shelf
tiny = tiny_weights.tiny
toy = tiny_weights.toy


# Names with published checksums


def test_first_source_fills_the_cache_and_says_where_from_and_how_much(site, cache, caplog):
    caplog.set_level(logging.INFO, logger="bert.pretrained")
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    assert serving.contents(cache) == {
        f"tiny-l1/{name}": data for name, data in tiny_weights.CONTENT.items()
    }
    said = f"fetched tiny-l1 from Hugging Face someone/tiny {serving.COMMIT}: 0.2 MB in"
    assert said in caplog.text
    assert "no checksums are published" not in caplog.text


def test_second_fetch_asks_nobody(site, cache):
    pretrained.fetch("tiny-l1")
    asked = len(site.requests)
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    assert len(site.requests) == asked


def test_next_source_is_asked_when_one_fails(site, shelf, cache, caplog):
    site.cut = {tiny_weights.WEIGHTS: 102_400}
    shelf.content = tiny_weights.CONTENT
    assert serving.contents(pretrained.fetch("tiny-l1")) == tiny_weights.CONTENT
    assert f"tiny-l1 not fetched from Hugging Face someone/tiny {serving.COMMIT}:" in caplog.text
    assert [path.name for path in cache.iterdir()] == ["tiny-l1"]


def test_wrong_checksum_is_refused_and_the_next_source_is_asked(site, shelf, caplog):
    forged = tiny_weights.CONTENT["model.safetensors"][:-1] + b"?"
    site.content[tiny_weights.WEIGHTS] = forged
    shelf.content = tiny_weights.CONTENT
    assert serving.contents(pretrained.fetch("tiny-l1")) == tiny_weights.CONTENT
    (warning,) = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert "sha256 of model.safetensors must be" in warning
    assert hashlib.sha256(tiny_weights.CONTENT["model.safetensors"]).hexdigest() in warning
    assert f"got {hashlib.sha256(forged).hexdigest()} (204800 bytes)" in warning


def test_wrong_checksum_everywhere_fails_and_keeps_nothing(site, shelf, cache):
    site.content[tiny_weights.WEIGHTS] = b"<html>log in first</html>"
    shelf.content = {**tiny_weights.CONTENT, "model.safetensors": b""}
    assert tiny_weights.failure("tiny-l1").count("sha256 of model.safetensors must be") == 2
    assert list(cache.iterdir()) == []


def test_without_any_source_one_line_says_all_there_is_to_know(cache, tiny, monkeypatch):
    other = dataclasses.replace(tiny, name="other")
    monkeypatch.setitem(pretrained.REGISTRY, "other", other)
    tiny_weights.write_folder(cache / "other", tiny_weights.CONTENT)
    message = tiny_weights.failure("tiny-l1")
    for part in (
        "weights 'tiny-l1' could not be fetched",
        f"cache: config.json is missing in {cache / 'tiny-l1'}",
        f"Hugging Face someone/tiny {serving.COMMIT}: HTTPConnectionPool(host='127.0.0.1'",
        "the shelf: nothing on it. ",
        f"Completely cached in {cache}: other. ",
        f"vocab.txt (sha256 {hashlib.sha256(tiny_weights.CONTENT['vocab.txt']).hexdigest()})",
        f"into {cache / 'tiny-l1'}, or give a folder",
    ):
        assert part in message
    assert [path.name for path in cache.iterdir()] == ["other"]


def test_offline_asks_no_source(site, cache):
    message = tiny_weights.failure("tiny-l1", offline=True)
    assert "config.json is missing" in message
    assert "no source was asked (offline)" in message
    tiny_weights.write_folder(cache / "tiny-l1", tiny_weights.CONTENT)
    assert pretrained.fetch("tiny-l1", offline=True) == cache / "tiny-l1"
    assert site.requests == []


def test_cache_that_cannot_be_made_is_part_of_the_line(site, cache):
    cache.write_text("a file in the way")
    assert "File exists" in tiny_weights.failure("tiny-l1")


@pytest.mark.parametrize("damage", [b"", tiny_weights.CONTENT["vocab.txt"][:-1] + b"?", None])
def test_damaged_cached_file_is_fetched_again(site, cache, damage):
    folder = tiny_weights.write_folder(cache / "tiny-l1", tiny_weights.CONTENT)
    if damage is None:
        (folder / "vocab.txt").unlink()
    else:
        (folder / "vocab.txt").write_bytes(damage)
    assert pretrained.cached() == []
    assert serving.contents(pretrained.fetch("tiny-l1")) == tiny_weights.CONTENT
    assert pretrained.cached() == ["tiny-l1"]


def test_file_is_replaced_and_not_overwritten_under_a_reader(site, cache):
    folder = tiny_weights.write_folder(
        cache / "tiny-l1", {**tiny_weights.CONTENT, "vocab.txt": b"old"}
    )
    with (folder / "vocab.txt").open("rb") as reader:
        pretrained.fetch("tiny-l1")
        assert reader.read() == b"old"
    assert (folder / "vocab.txt").read_bytes() == tiny_weights.CONTENT["vocab.txt"]


@pytest.mark.parametrize(
    ("model", "content"), [("tiny-l1", tiny_weights.CONTENT), ("toy", serving.GOOGLE)]
)
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
    assert tiny_weights.model_files(cache / model) == content
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
    assert tiny_weights.model_files(cache / "toy") == serving.GOOGLE
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
    message = tiny_weights.failure("toy")
    was = hashlib.sha256(serving.GOOGLE["vocab.txt"]).hexdigest()
    assert f"{site.url}{toy}: sha256 of vocab.txt must be {was}, got" in message
    assert f"delete {folder} if the publisher replaced its files, or unpack {site.url}" in message
    shutil.rmtree(folder)
    assert tiny_weights.model_files(pretrained.fetch("toy"))["vocab.txt"] == b"[PAD]\n[UNK]\n"


def test_record_that_cannot_be_read_is_no_checksum(toy, cache):
    folder = pretrained.fetch("toy")
    (folder / "SHA256SUMS").write_bytes(b"\xff\x00 nonsense\n")
    message = tiny_weights.failure("toy")
    assert "nonsense is missing in" in message
    assert f"delete {folder} if the publisher replaced" in message


def test_move_that_is_interrupted_leaves_no_record(toy, cache, monkeypatch):
    replace = os.replace

    def replace_all_but_the_last(source, target):
        if source.name == "vocab.txt":
            raise OSError("No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_all_but_the_last)
    assert "No space left on device" in tiny_weights.failure("toy")
    assert "bert_config.json" in tiny_weights.model_files(cache / "toy")
    assert checksums.recorded(cache / "toy") == ()


@pytest.mark.parametrize("way", ["connection", "file"])
def test_archive_cut_at_any_byte_leaves_nothing_and_comes_whole_next_time(site, toy, cache, way):
    whole = site.content[toy]
    for length in range(0, len(whole), 23):
        if way == "connection":
            site.cut = {toy: length}
        else:
            site.content[toy] = whole[:length]
        assert f"{site.url}{toy}: " in tiny_weights.failure("toy")
        assert list(cache.iterdir()) == []
    site.content[toy] = whole
    assert tiny_weights.model_files(pretrained.fetch("toy")) == serving.GOOGLE


def test_harmful_archive_is_named_and_leaves_nothing(site, toy, cache):
    site.content[toy] = serving.zipped({**serving.GOOGLE, "../vocab.txt": b"evil"})
    assert "got '../vocab.txt'. Completely cached" in tiny_weights.failure("toy")
    assert list(cache.iterdir()) == []


def test_archive_of_any_address_is_cached_for_that_address_alone(site, cache):
    site.content["/a/bert.zip"] = serving.zipped(serving.GOOGLE, folder="inside/")
    site.content["/b/bert.zip?download=1"] = serving.zipped(tiny_weights.CONTENT)
    first = pretrained.fetch(f"{site.url}/a/bert.zip")
    second = pretrained.fetch(f"{site.url}/b/bert.zip?download=1")
    assert tiny_weights.model_files(first) == serving.GOOGLE
    assert tiny_weights.model_files(second) == tiny_weights.CONTENT
    assert first.parent == second.parent == cache
    assert first.name.startswith("bert-")
    asked = len(site.requests)
    assert pretrained.fetch(f"{site.url}/a/bert.zip", offline=True) == first
    assert len(site.requests) == asked


def test_address_that_gives_nothing_is_one_line_with_a_remedy(site):
    url = f"{site.url}/none.zip"
    message = tiny_weights.failure(url)
    assert "404 Client Error: Not Found for url" in message
    assert f"To provide the files by hand, unpack {url} and give its folder" in message
