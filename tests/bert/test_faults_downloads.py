"""Downloads that break off: a file is whole under its name, or it is not there."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bert import downloads
from bert import pretrained
from tests import killed_training
from tests.bert import serving
from tests.bert import tiny_weights

cache = tiny_weights.cache
site = tiny_weights.site
shelf = tiny_weights.shelf
tiny = tiny_weights.tiny
toy = tiny_weights.toy
SMALL = ("config.json", "vocab.txt")


def address(name):
    return tiny_weights.WEIGHTS.replace("model.safetensors", name)


def require_nothing_then_all(site, cache):
    assert "could not be fetched" in tiny_weights.failure("tiny-l1")
    assert list(cache.iterdir()) == []
    site.cut.clear()
    site.content |= {address(name): data for name, data in tiny_weights.CONTENT.items()}
    assert serving.contents(pretrained.fetch("tiny-l1")) == tiny_weights.CONTENT


@pytest.mark.parametrize("way", ["connection", "file"])
@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 131_073, 204_799])
def test_weights_cut_at_a_byte_are_not_there_and_come_whole_next_time(site, cache, length, way):
    if way == "connection":
        site.cut = {tiny_weights.WEIGHTS: length}
    else:  # a host that serves half a file as if it were all
        site.content[tiny_weights.WEIGHTS] = tiny_weights.CONTENT["model.safetensors"][:length]
    require_nothing_then_all(site, cache)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_file_cut_at_any_byte_is_not_there(site, cache, name):
    for length in range(len(tiny_weights.CONTENT[name])):
        site.cut = {address(name): length}
        assert "IncompleteRead" in tiny_weights.failure("tiny-l1")
        assert list(cache.iterdir()) == []
    assert serving.contents(pretrained.fetch("tiny-l1")) == tiny_weights.CONTENT


@pytest.mark.parametrize("length", [0, 1, 102_400, 204_799])
def test_a_snapshot_of_the_hub_cut_at_a_byte_goes_on_from_there(site, length):
    site.publish("someone/tiny", serving.HUGGING_FACE)
    site.cut = {tiny_weights.WEIGHTS: length}
    folder = downloads.hub_snapshot("someone/tiny", None, connect_timeout_s=3.0, offline=False)
    assert serving.contents(folder) == serving.HUGGING_FACE


def test_a_process_killed_in_a_download_leaves_nothing_under_the_models_name(site, toy, cache):
    site.stalls = {toy}
    url = f"{site.url}{toy}"
    code = f"from bert import pretrained; pretrained.fetch({url!r}, connect_timeout_s=30)"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=killed_training.ROOT, env=dict(os.environ)
    ) as process:
        limit = time.monotonic() + killed_training.PATIENCE_S
        while f"GET {toy}" not in site.requests:  # half of its answer comes
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert all(path.name.startswith(".") for path in cache.iterdir())
    site.stalls.clear()
    assert tiny_weights.model_files(pretrained.fetch(url)) == serving.GOOGLE
