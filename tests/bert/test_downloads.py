"""How files travel, against a server and a package folder of this machine only."""

import logging
import socket
import threading
import time
import urllib.request

import huggingface_hub
import pytest

from bert import downloads
from tests.bert import serving

isolated = serving.isolated
site = serving.site
folder = serving.folder
NAMES = tuple(serving.HUGGING_FACE)
HUB_FILES = downloads.HubFiles(NAMES, "someone/tiny", serving.COMMIT)
WEIGHTS = f"/someone/tiny/resolve/{serving.COMMIT}/model.safetensors"
SOON_S = 5  # far more than the 0.3 or 0.5 s that a silent host is given, far less than a system's own minutes


@pytest.fixture
def silent(monkeypatch):
    """A host that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield url


def snapshot(repository="someone/tiny", revision=None, **options):
    options = {"connect_timeout_s": 3.0, "offline": False} | options
    return downloads.hub_snapshot(repository, revision, **options)


# Plain files of the Hub


def test_plain_files_arrive_as_they_are(site, folder):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    HUB_FILES.deliver(folder, 3.0)
    assert serving.contents(folder) == serving.HUGGING_FACE


@pytest.mark.parametrize("source", [HUB_FILES, "archive", "snapshot"])
def test_host_that_never_answers_is_given_up_soon(silent, folder, source):
    start = time.monotonic()
    if source == "snapshot":
        said = serving.reason(snapshot, connect_timeout_s=0.3)
    else:
        source = downloads.Archive(f"{silent}/model.zip") if source == "archive" else source
        said = serving.reason(source.deliver, folder, 0.3)
    assert "no answer within 0.3 s" in said
    assert time.monotonic() - start < SOON_S


def test_slow_name_lookup_counts_as_no_answer(folder, monkeypatch):
    released = threading.Event()

    def look_up_slowly(*args, **kwargs):
        released.wait(20)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    start = time.monotonic()
    assert serving.reason(HUB_FILES.deliver, folder, 0.3) == "no answer within 0.3 s"
    assert time.monotonic() - start < SOON_S
    released.set()


def test_download_that_falls_silent_is_given_up(site, folder):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.stalls = {WEIGHTS}
    start = time.monotonic()
    assert "Read timed out" in serving.reason(HUB_FILES.deliver, folder, 3.0)
    assert time.monotonic() - start < SOON_S


def test_short_body_is_no_file(site, folder):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.cut = {WEIGHTS: 102_400}
    assert "IncompleteRead(102400 bytes read" in serving.reason(HUB_FILES.deliver, folder, 3.0)


@pytest.mark.parametrize("code", [401, 404, 503])
def test_refusal_says_its_code(site, folder, code):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.refused = {WEIGHTS: (code, {})}
    assert str(code) in serving.reason(HUB_FILES.deliver, folder, 3.0)


@pytest.mark.parametrize("value", ["1", "true", "YES"])
@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_hub_is_not_asked_when_its_client_is_told_to_stay_offline(
    site, folder, monkeypatch, name, value
):
    monkeypatch.setenv(name, value)
    assert serving.reason(HUB_FILES.deliver, folder, 3.0) == f"not asked, because {name} is set"
    assert f"not asked, because {name} is set" in serving.reason(snapshot)
    assert site.requests == []


# Snapshots of the Hub


@pytest.mark.parametrize("revision", [None, "v1.0", serving.COMMIT])
def test_snapshot_holds_what_a_classifier_needs_in_the_cache_of_the_hub(
    site, tmp_path, caplog, revision
):
    caplog.set_level(logging.INFO, logger="bert.downloads")
    more = {"README.md": b"", "pytorch_model.bin": b"pickle", "onnx/config.json": b"{}"}
    site.publish("someone/tiny", {**serving.HUGGING_FACE, **more}, revision=revision or "main")
    folder = snapshot(revision=revision)
    assert folder == tmp_path / "hub/models--someone--tiny/snapshots" / serving.COMMIT
    assert serving.contents(folder) == serving.HUGGING_FACE
    assert f"using Hugging Face someone/tiny at commit {serving.COMMIT}" in caplog.text
    site.requests.clear()
    assert snapshot(revision=revision) == folder
    assert [request for request in site.requests if "/api/" not in request] == []


def test_pickled_weights_are_fetched_where_there_are_no_others(site):
    pickled = {"config.json": b"{}", "pytorch_model.bin": b"pickle", "vocab.txt": b"v"}
    site.publish("bert-tiny", {**pickled, "tf_model.h5": b"other", "flax_model.msgpack": b"other"})
    assert serving.contents(snapshot("bert-tiny")) == pickled


def test_snapshot_goes_on_where_it_was_cut(site):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.cut = {WEIGHTS: 1000}
    assert serving.contents(snapshot()) == serving.HUGGING_FACE
    assert site.requests.count(f"GET {WEIGHTS}") == 2


def test_snapshot_that_was_cut_short_is_not_mistaken_for_a_whole_one(site):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.refused = {WEIGHTS: (404, {})}
    said = serving.reason(snapshot)
    assert f"'404 Not Found' for url '{site.url}{WEIGHTS}'" in said
    assert "lacks model.safetensors or model.safetensors.index.json or" in said
    assert "\n" not in said
    site.refused = {}
    assert serving.contents(snapshot()) == serving.HUGGING_FACE


@pytest.mark.parametrize("way", ["offline", "variable", "nobody", "silent", "down"])
def test_without_the_hub_its_cache_is_used(site, silent, tmp_path, monkeypatch, caplog, way):
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    site.publish("someone/tiny", serving.HUGGING_FACE)
    folder = snapshot()
    site.requests.clear()
    if way == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elif way == "nobody":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    elif way == "silent":
        monkeypatch.setenv("HF_ENDPOINT", silent)
    elif way == "down":
        site.publish("someone/else", {})
        site.refused = {path: (502, {}) for path in site.content}
    options = {"connect_timeout_s": 0.3, "offline": way == "offline"}
    start = time.monotonic()
    assert snapshot(**options) == folder
    assert f"using the cached Hugging Face someone/tiny at commit {serving.COMMIT}" in caplog.text
    said = serving.reason(snapshot, "someone/else", **options)
    assert said.endswith(f", and the Hub's cache {tmp_path / 'hub'} does not hold it")
    assert time.monotonic() - start < SOON_S
    assert (site.requests != []) == (way == "down")


@pytest.mark.parametrize(
    ("code", "headers", "expected"),
    [
        (
            404,
            {"X-Error-Code": "RepoNotFound"},
            "HTTP 404 for .*/someone/tiny/revision/v2: check the id",
        ),
        (401, {}, "HTTP 401 for .*: check the id, and log in if it is private"),
        (403, {}, "HTTP 403 for .*: check the id, and log in if it is private"),
        (403, {"X-Error-Code": "GatedRepo"}, "/someone/tiny is gated: ask for access there"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "/someone/tiny has no revision 'v2'"),
    ],
)
def test_refusal_of_the_hub_is_one_clear_line_even_with_a_cache(site, code, headers, expected):
    site.publish("someone/tiny", serving.HUGGING_FACE, revision="v2")
    snapshot(revision="v2")
    site.refused = {"/api/models/someone/tiny/revision/v2": (code, headers)}
    with pytest.raises(OSError, match=expected) as caught:
        snapshot(revision="v2")
    assert "\n" not in str(caught.value)


def test_gated_files_of_a_public_page_are_refused_clearly(site):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.refused = {WEIGHTS: (401, {"X-Error-Code": "GatedRepo"})}
    assert "someone/tiny is gated" in serving.reason(snapshot)


def test_repository_without_a_model_says_what_it_lacks(site):
    site.publish("someone/tiny", {"config.json": b"{}", "vocab.txt": b"", "tf_model.h5": b""})
    assert serving.reason(snapshot) == (
        "it lacks model.safetensors or model.safetensors.index.json or pytorch_model.bin or "
        "pytorch_model.bin.index.json and holds config.json, vocab.txt, tf_model.h5"
    )


def test_page_that_is_no_hub_and_id_that_is_none_are_one_line(site):
    site.content["/api/models/someone/tiny"] = b"<html>log in first</html>"
    assert "/someone/tiny: Expecting value" in serving.reason(snapshot)
    assert "Cannot have -- or .. in repo_id" in serving.reason(snapshot, "some--one/tiny")


def test_cache_that_another_program_filled_in_part_is_used(site):
    site.publish("someone/tiny", {**serving.HUGGING_FACE, "README.md": b"not wanted there either"})
    huggingface_hub.snapshot_download(
        "someone/tiny", allow_patterns=list(serving.HUGGING_FACE), endpoint=site.url
    )
    site.requests.clear()
    assert serving.contents(snapshot(offline=True)) == serving.HUGGING_FACE
    assert site.requests == []


# Other clients


def test_client_without_a_timeout_gets_one_for_a_while(silent):
    start = time.monotonic()
    with downloads.impatient_sockets():
        assert "timed out" in serving.reason(urllib.request.urlopen, silent)
    assert time.monotonic() - start < SOON_S
    assert socket.getdefaulttimeout() is None
