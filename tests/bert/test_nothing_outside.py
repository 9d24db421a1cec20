"""Hostile archives, checkpoints and indices read and write nothing outside their own folder."""

import gc
import io
import logging
import os
import pathlib
import tarfile

import pytest

import run_classifier
from bert import checkpoints
from bert import config as config_lib
from bert import model_folder
from bert import pretrained
from bert import tf_hub
from tests import conftest
from tests.bert import serving
from tests.explain import classifier_folder

KINDS = {
    "symbolic link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "character device": tarfile.CHRTYPE,
    "block device": tarfile.BLKTYPE,
    "pipe": tarfile.FIFOTYPE,
}


def member(name, kind=tarfile.REGTYPE, target="", content=b"hostile"):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, target, 0o777
    found.size = len(content) if kind == tarfile.REGTYPE else 0
    return found, content


def tar(*members):
    with io.BytesIO() as memory:
        with tarfile.open(fileobj=memory, mode="w:gz") as archive:
            for info, content in members:
                archive.addfile(info, io.BytesIO(content))
        return memory.getvalue()


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Return a function that downloads an archive as TensorFlow Hub's handles are, into `tmp_path / "cache"`."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with serving.Site() as site:

        def resolve(archive):
            site.content["/google/bert/1?tf-hub-format=compressed"] = archive
            return tf_hub.resolve(f"{site.url}/google/bert/1")

        yield resolve


def refusal(fetch, archive):
    with pytest.raises(pretrained.PretrainedError) as no:
        fetch(archive)
    message = str(no.value)
    del no
    gc.collect()  # tensorflow_hub leaves the socket of a failed download to the collector, which complains
    return message


def outside(tmp_path):
    return {
        path: content for path, content in contents(tmp_path).items() if path.parts[0] != "cache"
    }


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../../evil.txt", "..", "./../mine.txt", "a/../../../mine.txt"]
)
def test_a_member_that_climbs_out_is_refused(fetch, tmp_path, name):
    assert "Relative path" in refusal(fetch, tar(member("saved_model.pb"), member(name)))
    assert outside(tmp_path) == {pathlib.Path("mine.txt"): b"mine"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_is_no_file_is_refused(fetch, tmp_path, kind):
    target = str(tmp_path / "mine.txt")
    links = member("assets", KINDS[kind], target), member("assets/vocab.txt"), member("assets")
    assert "Unexpected object type" in refusal(fetch, tar(*links))
    assert outside(tmp_path) == {pathlib.Path("mine.txt"): b"mine"}
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_symlink()]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_member_with_an_absolute_path_lands_inside_or_is_refused(fetch, tmp_path):
    hostile = member("saved_model.pb"), member(str(tmp_path / "mine.txt"))
    assert "No such file or directory" in refusal(fetch, tar(*hostile))  # of that place inside
    folder = pathlib.Path(fetch(tar(member("saved_model.pb"), member("/mine.txt"))))
    assert (folder / "mine.txt").read_bytes() == b"hostile"
    assert outside(tmp_path) == {pathlib.Path("mine.txt"): b"mine"}
    assert not pathlib.Path("/mine.txt").exists()


@pytest.fixture
def trained(tiny_release, tmp_path):
    """A trained folder, and beside it another one that is none of its business."""
    classifier_folder.make(tmp_path / "others", tiny_release, seed=12)
    return classifier_folder.make(tmp_path / "trained", tiny_release)


OUTSIDE = [
    'model_checkpoint_path: "../others/model.ckpt-7"',
    'model_checkpoint_path: "{others}/model.ckpt-7"',
    'model_checkpoint_path: "model.ckpt-7"\nall_model_checkpoint_paths: "../others/model.ckpt-7"',
    'model_checkpoint_path: "model.ckpt-7"\nall_model_checkpoint_paths: "{others}/model.ckpt-7"',
    'model_checkpoint_path: "model.ckpt-7"\nall_model_checkpoint_paths: "a/../../others/model.ckpt-7"',
]


@pytest.mark.parametrize("place", [".", "best"])
@pytest.mark.parametrize("state", OUTSIDE)
def test_a_state_that_names_another_folders_checkpoint_is_refused(trained, state, place):
    others = trained.parent / "others"
    (trained / place).mkdir(exist_ok=True)
    (trained / place / "checkpoint").write_text(state.format(others=others) + "\n")
    told = rf"^{trained / place / 'checkpoint'} must name checkpoints of its own folder, got '.*others/model.ckpt-7'; "
    with pytest.raises(ValueError, match=told):
        model_folder.load(trained)
    with pytest.raises(ValueError, match=told):
        checkpoints.newest(trained / place)


@pytest.mark.parametrize("has_record", [True, False])
def test_a_training_never_goes_on_from_another_folder_nor_deletes_there(
    trained, tiny_release, tiny_data, caplog, has_record
):
    if not has_record:
        (trained / config_lib.CLASSIFIER_FILE).unlink()
    before = contents(trained.parent / "others")
    (trained / "checkpoint").write_text(OUTSIDE[2])
    command = conftest.arguments(tiny_release, tiny_data, trained, "--do_train")
    caplog.set_level(logging.ERROR)
    assert run_classifier.cli_main(command) == 1
    assert "must name checkpoints of its own folder" in caplog.text
    assert contents(trained.parent / "others") == before


def test_a_state_that_is_no_text_is_named(trained):
    (trained / "checkpoint").write_bytes(b'model_checkpoint_path: "model.ckpt-7\xff"\n')
    with pytest.raises(
        ValueError, match=rf"^{trained / 'checkpoint'} must name a checkpoint of its"
    ):
        model_folder.load(trained)


def test_a_folder_may_be_named_from_where_one_is_by_a_link_and_in_full(trained, monkeypatch):
    monkeypatch.chdir(trained.parent)
    os.symlink("trained", "link")
    for name in ("trained", "./trained", "others/../trained", "link", str(trained)):
        assert pathlib.Path(checkpoints.newest(name)).resolve() == trained / "model.ckpt-7"
    (trained / "checkpoint").write_text(f'model_checkpoint_path: "{trained / "model.ckpt-7"}"')
    for name in ("trained", "link", str(trained)):
        assert checkpoints.newest(name) == str(trained / "model.ckpt-7")
    (trained / "checkpoint").unlink()
    assert checkpoints.newest("trained") is None
