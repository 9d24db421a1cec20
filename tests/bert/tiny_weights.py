"""Weights that this machine publishes: a site, a shelf and an empty cache."""

import dataclasses
import hashlib

import huggingface_hub
import pytest

from bert import checksums
from bert import downloads
from bert import pretrained
from tests.bert import serving

CONTENT = {
    name: serving.HUGGING_FACE[name] for name in ("config.json", "model.safetensors", "vocab.txt")
}
WEIGHTS = f"/someone/tiny/resolve/{serving.COMMIT}/model.safetensors"


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
