"""Files cut short or with a bit flipped: each command that reads one names it in a line, and never answers wrongly."""

import logging
import shutil

import pytest

import run_classifier
from bert import checkpoints
from bert import estimator
from bert import features
from bert import model_folder
from explain import model
from scripts import explain_file
from tests import conftest
from tests.bert import hugging_face_folders
from tests.explain import classifier_folder

ROWS = "id,text,label\n1,the film was fine.,good\n2,so dull,bad\n3,it was so so,so-so\n"
CHECKPOINT = "model.ckpt-7"
DATA = f"{CHECKPOINT}.data-00000-of-00001"
FILES = {  # what its error calls it
    f"{CHECKPOINT}.index": CHECKPOINT,
    DATA: CHECKPOINT,
    "checkpoint": "checkpoint must name a checkpoint of its folder",
    "vocab.txt": "vocab.txt",
    "bert_config.json": "bert_config.json",
    "classifier_config.json": "classifier_config.json",
}


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    """Flip a bit in the middle, or in the name that a state file holds."""
    place = data.index(b"ckpt") if data.startswith(b"model_checkpoint") else len(data) // 2
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def emptied(data):
    return b""


def predict(folder, texts, output):
    shutil.copytree(folder, output)
    return run_classifier.cli_main(
        [f"--output_dir={output}", f"--test_file={texts}", "--do_predict"]
    )


def evaluate(folder, texts, output):
    shutil.copytree(folder, output)
    return run_classifier.cli_main([f"--output_dir={output}", f"--dev_file={texts}", "--do_eval"])


def explain(folder, texts, output):
    command = [f"--model_dir={folder}", f"--input_file={texts}", f"--output_dir={output}"]
    return explain_file.cli_main([*command, "--method=gradient_x_input"])


RESULTS = {
    predict: "test_results.tsv",
    evaluate: "eval_results.txt",
    explain: "explanations.jsonl",
}


@pytest.fixture(scope="module")
def sound(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("sound") / "model", tiny_release)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text(ROWS)
    return path


@pytest.fixture
def damaged(sound, tmp_path):
    """Return a function that copies the sound folder with one file damaged."""

    def make(name, damage):
        folder = shutil.copytree(sound, tmp_path / "model")
        path = folder / name
        changed = damage(path.read_bytes())
        assert changed != path.read_bytes()
        path.write_bytes(changed)
        return folder

    return make


@pytest.mark.parametrize("command", RESULTS, ids=lambda f: f.__name__)
def test_a_sound_folder_gives_results(command, sound, texts, tmp_path):
    output = tmp_path / "out"
    assert command(sound, texts, output) == 0
    assert (output / RESULTS[command]).stat().st_size > 0


@pytest.mark.parametrize("command", RESULTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("damage", [cut, flip, emptied], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_in_one_line_and_gives_no_results(
    name, damage, command, damaged, texts, tmp_path, caplog
):
    output = tmp_path / "out"
    assert command(damaged(name, damage), texts, output) == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert FILES[name] in line
    assert "\n" not in line
    assert any(remedy in line for remedy in ("copy", "write model_checkpoint_path")), line
    assert not (output / RESULTS[command]).exists()


@pytest.mark.parametrize("damage", [cut, flip, emptied], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_an_error_for_programs_too(name, damage, damaged):
    with pytest.raises(ValueError, match=FILES[name]):
        model.load_explainer(damaged(name, damage), ("random",))(["the film was fine."])


@pytest.mark.parametrize("damage", [cut, flip, emptied], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ["vocab.txt", "bert_config.json", "classifier_config.json"])
def test_an_estimator_is_not_made_beside_a_damaged_file(name, damage, damaged, tmp_path):
    folder = damaged(name, damage)
    told = rf"must hold what its training wrote, but sha256 of {name} must be \w+, got"
    with pytest.raises(ValueError, match=told):
        model.load_bert_model(folder)
    given = folder / "bert_config.json", folder / CHECKPOINT
    with pytest.raises(ValueError, match=told):
        model.load_bert_model(tmp_path / "of_its_own", *given)


def test_an_estimator_does_not_begin_anew_where_the_newest_checkpoint_is_not_found(damaged, sound):
    parts = model_folder.load(sound)
    folder = damaged("checkpoint", lambda data: data.replace(b"ckpt-7", b"ckpt-8"))
    told = r"checkpoint must name a checkpoint of its folder, but is damaged or names one that"
    for to_train in (True, False):
        with pytest.raises(ValueError, match=told):
            estimator.model_of(parts, folder, to_train=to_train)
    asked = estimator.build_estimator(folder, estimator.model_of(parts, sound))
    row = features.InputFeatures([2, 5, 3], [1, 1, 1], [0, 0, 0], 0)
    with pytest.raises(ValueError, match=told):
        next(asked.predict(run_classifier.input_fn_builder([row], 3, False, False)))


def test_a_file_that_its_owner_has_changed_is_read_once_the_checksums_are_gone(
    damaged, texts, tmp_path, caplog
):
    folder = damaged("classifier_config.json", lambda data: data.replace(b"so-so", b"fair!"))
    (folder / "texts.csv").write_text(ROWS.replace("so-so", "fair!"))
    assert explain(folder, texts, tmp_path / "out") == 1
    assert f"if it was you who changed it, delete {folder / 'SHA256SUMS'}" in caplog.text
    (folder / "SHA256SUMS").unlink()
    assert explain(folder, texts, tmp_path / "out") == 0


def small(release, data, output, epochs):
    options = ("--do_train", "--save_checkpoints_steps=2", f"--num_train_epochs={epochs}")
    return conftest.arguments(release, data, output, *options)


@pytest.mark.parametrize(
    ("part", "damage"),
    [("index", flip), ("data-00000-of-00001", flip), ("data-00000-of-00001", cut)],
)
def test_a_training_refuses_a_damaged_checkpoint_and_goes_on_from_an_older_one_when_told(
    part, damage, partly_trained, tiny_release, tiny_data, tmp_path, caplog
):
    output = shutil.copytree(partly_trained, tmp_path / "out")
    path = output / f"model.ckpt-4.{part}"
    path.write_bytes(damage(path.read_bytes()))
    command = small(tiny_release, tiny_data, output, 1)
    assert run_classifier.cli_main(command) == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert "model.ckpt-4" in line
    assert "\n" not in line
    assert checkpoints.newest(output) == str(output / "model.ckpt-4")
    (output / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-2"\n')
    assert run_classifier.cli_main(command) == 0
    assert checkpoints.latest_step(output) == 8


@pytest.fixture(scope="module")
def partly_trained(tiny_release, tiny_data, tmp_path_factory):
    output = tmp_path_factory.mktemp("partly") / "out"
    assert run_classifier.cli_main(small(tiny_release, tiny_data, output, 0.5)) == 0
    return output


def test_damaged_examples_are_written_anew_and_halves_of_checkpoints_are_cleared_away(
    partly_trained, tiny_release, tiny_data, tmp_path
):
    output = shutil.copytree(partly_trained, tmp_path / "out")
    records = output / "train.tf_record"
    sound = records.read_bytes()
    records.write_bytes(flip(sound))
    halves = [output / "model.ckpt-6_temp", output / "best" / ".checkpoint-ab12"]
    for half in halves:  # as a process leaves them that is killed while it saves
        half.mkdir(parents=True)
        (half / "part-00000-of-00001.data-00000-of-00001.tempstate7").touch()
    assert run_classifier.cli_main(small(tiny_release, tiny_data, output, 1)) == 0
    assert records.read_bytes() == sound
    assert not any(half.exists() for half in halves)


def test_a_folder_whose_newest_checkpoint_is_gone_is_not_trained_anew(
    partly_trained, tiny_release, tiny_data, tmp_path, caplog
):
    output = shutil.copytree(partly_trained, tmp_path / "out")
    for path in output.glob("model.ckpt-4.*"):
        path.unlink()
    log = (output / "log.txt").read_bytes()
    assert run_classifier.cli_main(small(tiny_release, tiny_data, output, 1)) == 1
    assert "of those there (model.ckpt-0, model.ckpt-2), or delete the folder" in caplog.text
    assert (output / "log.txt").read_bytes() == log


@pytest.mark.parametrize("damage", [cut, emptied], ids=lambda f: f.__name__)
def test_a_hugging_face_model_cut_short_is_named_in_one_line(
    damage, texts, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("BERT_CACHE_DIR", str(tmp_path / "cache"))
    folder = hugging_face_folders.write(tmp_path / "model")
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert explain(folder, texts, tmp_path / "out") == 1
    (line,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert f"{path} must be a whole safetensors file" in line
    assert "\n" not in line
    assert not list(tmp_path.glob("cache/converted/*"))
