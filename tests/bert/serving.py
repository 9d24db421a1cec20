"""A web site on this machine that publishes models as their hosts do, and can be as unkind as those."""

import http.server
import io
import json
import re
import stat
import threading
import zipfile

import huggingface_hub
import pytest

from bert import downloads

GOOGLE = {
    "bert_config.json": b'{"vocab_size": 3}',
    "bert_model.ckpt.data-00000-of-00001": bytes(range(256)) * 3,
    "bert_model.ckpt.index": b"index",
    "vocab.txt": b"[PAD]\n[UNK]\nhello\n",
}
HUGGING_FACE = {
    "config.json": b'{"vocab_size": 4}',
    "model.safetensors": bytes(range(256)) * 800,  # 204,800 bytes: several chunks of a download
    "tokenizer.json": b"{}",
    "vocab.txt": b"[PAD]\n[UNK]\nbye\n",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Site:
    """Serves `content`, path to bytes, and keeps a list of the requests.

    Attributes:
      refused: path to status code and headers.
      headers: path to more headers of a good answer.
      cut: path to the number of bytes after which the first answer breaks off.
      stalls: paths whose answer stops in the middle and never goes on.
    """

    def __init__(self):
        """Listen on a free port."""
        self.content: dict[str, bytes] = {}
        self.refused: dict[str, tuple[int, dict[str, str]]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.cut: dict[str, int] = {}
        self.stalls: set[str] = set()
        self.requests: list[str] = []
        self.closing = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self):
        """Return the site, which listens already."""
        return self

    def __exit__(self, *_):
        """Let stalled answers go and stop listening."""
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def publish(self, repository, files, *, revision="main", commit=COMMIT):
        """Publish a repository as Hugging Face does: what its API says of a revision, and its files."""
        siblings = [{"rfilename": name} for name in files]
        about = json.dumps({"id": repository, "sha": commit, "siblings": siblings}).encode()
        for suffix in ([""] if revision == "main" else []) + [
            f"/revision/{revision}",
            f"/revision/{commit}",
        ]:
            self.content[f"/api/models/{repository}{suffix}"] = about
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
            for name, data in files.items()
        ]
        query = "recursive=true&expand=false"
        self.content[f"/api/models/{repository}/tree/{commit}?{query}"] = json.dumps(tree).encode()
        for name, data in files.items():
            path = f"/{repository}/resolve/{commit}/{name}"
            self.content[path] = data
            self.headers[path] = {"X-Repo-Commit": commit, "ETag": f'"{hash(data):x}"'}


def _handler(site):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.begin()

        def do_GET(self):
            data = self.begin()
            path = self.path
            if path in site.stalls:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                site.closing.wait(20)
            else:
                self.wfile.write(data[: site.cut.pop(path, len(data))])

        def begin(self):
            site.requests.append(f"{self.command} {self.path}")
            code, headers = site.refused.get(self.path, (200, site.headers.get(self.path, {})))
            data = b"" if code != 200 else site.content.get(self.path)
            if data is None:
                code, data = 404, b""
            first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if code == 200 and first:
                start = int(first[1])
                headers = {
                    **headers,
                    "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}",
                }
                code, data = 206, data[start:]
            self.send_response(code)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            return data

        def log_message(self, *args):
            """Keep the test's output clean."""

    return Handler


def zipped(files, *, folder="", links=(), compression=zipfile.ZIP_DEFLATED):
    """Return a zip file's bytes; the content of a member in `links` is where a symbolic link leads."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(folder + name)
            member.compress_type = compression
            if name in links:
                member.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, data)
    return packed.getvalue()


def contents(folder):
    """Return a folder's files, name to bytes, with what lies below it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def isolate(monkeypatch, tmp_path):
    """Give empty caches and no way to the real hosts; then a silent server is given up soon."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "packages").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "packages"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    # The Hub's client reads its variables once, when it is imported.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(downloads, "SILENCE_TIMEOUT_S", 0.5)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    isolate(monkeypatch, tmp_path)
    yield
    huggingface_hub.close_session()


@pytest.fixture
def site(monkeypatch):
    """A server that is the Hugging Face of this test."""
    with Site() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        yield site


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "draft" / "model").mkdir(parents=True)
    return tmp_path / "draft" / "model"


def reason(call, *arguments, **options):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the callers look at the message
        call(*arguments, **options)
    return str(caught.value)
