"""`scripts/train.py`: its command line, what it refuses, and that looking on changes nothing."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import yaml

from bert import checkpoints
from bert import model_folder
from bert import training_log
from explain import model as model_lib
from scripts import train

ROOT = pathlib.Path(__file__).resolve().parent.parent
SENTENCE = "The film was fine."


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """64 rows with commas, quotes and newlines in them, under the header of a well-known file."""
    texts = ["the film was {}.", 'it was ""so"" {}, and {}', "i was {}\nvery {}", "a {} film"]
    lines = [
        '"{}",{}'.format(texts[i % 4].replace("{}", ("dull", "fine")[i % 2]), ("no", "yes")[i % 2])
        for i in range(64)
    ]
    path = tmp_path_factory.mktemp("rows") / "reviews.csv"
    path.write_text("\n".join(["sentence,sentiment", *lines]) + "\n")
    return path


@pytest.fixture
def build_config(tiny_release, rows, tmp_path):
    """Return a function that writes a config of the six keys, and what else it is given."""

    def build(name="config.yaml", **values):
        required = {
            "model": str(tiny_release),
            "data_path": str(rows),
            "batch_size": 8,
            "num_epochs": 3,
            "attention_layers": [0, -1],
            "output_dir": str(tmp_path / "out"),
        }
        more = {"max_seq_length": 16, "learning_rate": 3e-3}
        path = tmp_path / name
        merged = {k: v for k, v in (required | more | values).items() if v is not None}
        path.write_text(yaml.safe_dump(merged))
        return path

    return build


def weights(folder):
    newest = checkpoints.latest_step(folder)
    prefix = pathlib.Path(folder) / f"model.ckpt-{newest}"
    return newest, checkpoints.load_variables(prefix, [*checkpoints.checkpoint_shapes(prefix)])


def test_the_command_of_the_readme_trains_evaluates_and_says_where(build_config, tmp_path):
    command = [sys.executable, "scripts/train.py", "--config", str(build_config())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model, accuracy = done.stdout.splitlines()
    assert model == f"model: {tmp_path / 'out'}"
    assert accuracy.startswith("dev accuracy: ")
    assert accuracy.endswith(" of 6)")  # a tenth of 32 rows each, rounded
    assert "training on 58 examples, dev 6" in done.stderr
    assert checkpoints.latest_step(tmp_path / "out") == 21
    parts = model_folder.load(tmp_path / "out")
    assert parts.labels == ["no", "yes"]
    assert yaml.safe_load((tmp_path / "out" / "resolved_config.yaml").read_text())["seed"] == 12345
    for name in ("training_curves", "confusion_dev"):
        picture = tmp_path / "out" / "visualizations" / f"{name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")
    curves = training_log.curves(tmp_path / "out")
    assert [step for step, _ in curves["loss"]["train"]] == list(range(1, 22))
    ((step, found),) = curves["accuracy"]["validation"]
    assert (step, f"{found:.4f}") == (21, accuracy.split()[2])

    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.stdout == done.stdout
    assert "not needed, of 21 steps" in again.stderr


def test_recording_attention_changes_no_bit_and_writes_what_the_model_attends_to(
    build_config, tmp_path, capsys
):
    plain = build_config("plain.yaml", output_dir=str(tmp_path / "plain"), dev_fraction=0)
    assert train.cli_main([f"--config={plain}"]) == 0
    watched = build_config("watched.yaml", output_dir=str(tmp_path / "watched"), dev_fraction=0)
    recorded = [f"--config={watched}", f"--record_attention={SENTENCE}", "--every=8"]
    assert train.cli_main(recorded) == 0
    assert "accuracy" not in capsys.readouterr().out  # nothing was held out

    (steps, without), (steps_watched, with_it) = (
        weights(tmp_path / "plain"),
        weights(tmp_path / "watched"),
    )
    assert steps == steps_watched == 24
    for name, value in without.items():
        assert value.tobytes() == with_it[name].tobytes(), name

    pictures = tmp_path / "watched" / "visualizations" / "training"
    assert sorted(path.name for path in pictures.iterdir()) == sorted(
        f"step_{step}{end}"
        for step in (0, 8, 16, 24)
        for end in (".npz", "_layer_0.png", "_layer_1.png")
    )
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures.glob("*.png"))
    (record,) = model_lib.explain_texts(tmp_path / "watched", [SENTENCE])
    last, first = (np.load(pictures / f"step_{step}.npz") for step in (24, 0))
    assert tuple(last["tokens"]) == record.tokens
    assert last["attention"].shape == (2, 3, len(record.tokens), len(record.tokens))
    assert last["layers"].tolist() == [0, 1]
    np.testing.assert_array_equal(last["mean_over_heads"], last["attention"].mean(axis=1))
    # 1e-6: float32 softmax, in a graph of another padding
    np.testing.assert_allclose(last["mean_over_heads"][1, 0], record.token_scores, atol=1e-6)
    assert np.abs(last["attention"] - first["attention"]).max() > 1e-3  # training moved it


def test_a_stopped_training_goes_on_and_ends_where_it_would_have(
    build_config, tmp_path, monkeypatch
):
    whole = build_config("whole.yaml", output_dir=str(tmp_path / "whole"))
    assert train.cli_main([f"--config={whole}"]) == 0

    def stop(recorder, step, values):
        if step == 8:
            raise KeyboardInterrupt

    stopped = build_config(output_dir=str(tmp_path / "stopped"), save_checkpoints_steps=4)
    monkeypatch.setattr(train.AttentionRecorder, "__call__", stop)
    assert train.cli_main([f"--config={stopped}", "--record_attention=fine", "--every=1"]) == 130
    assert 0 < checkpoints.latest_step(tmp_path / "stopped") < 21
    assert train.cli_main([f"--config={stopped}"]) == 0
    (_, expected), (step, found) = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert step == 21
    for name, value in expected.items():
        assert value.tobytes() == found[name].tobytes(), name


def refused(arguments, status, caplog):
    assert train.cli_main(arguments) == status
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    return record.getMessage()


def test_a_bad_config_is_refused_before_anything_is_written(build_config, tmp_path, caplog):
    config = build_config(batchsize=4, model=None, num_epochs="many", data_path="gone.csv")
    lines = refused([f"--config={config}"], 2, caplog).splitlines()
    keys = {"model", "batchsize", "num_epochs", "data_path"}
    assert sorted(line.split(": ")[1] for line in lines) == sorted(keys)
    assert not (tmp_path / "out").exists()


def test_the_layers_are_counted_in_the_model_itself(build_config, caplog):
    (line,) = refused(
        [f"--config={build_config(attention_layers=[2, -2])}"], 2, caplog
    ).splitlines()
    assert line.endswith("attention_layers: must be from -2 to 1 in a model of 2 layers, got 2")


def test_an_unknown_method_is_told_before_the_training_not_after_it(build_config, caplog):
    (line,) = refused([f"--config={build_config(method='rolout')}"], 2, caplog).splitlines()
    assert line.endswith("got 'rolout'; did you mean 'rollout'?")


def test_a_model_that_is_neither_folder_nor_name_is_told(build_config, caplog):
    (line,) = refused([f"--config={build_config(model='minilm-l7')}"], 2, caplog).splitlines()
    assert "model: a model must be an existing folder, a name (" in line
    assert "did you mean 'minilm-l6'?" in line


def test_a_bad_row_is_named_with_file_and_line(build_config, tmp_path, caplog):
    path = tmp_path / "bad.csv"
    path.write_text('text,label\n"fine, so fine",1\ndull\n')
    told = refused([f"--config={build_config(data_path=str(path))}"], 1, caplog)
    assert told.startswith(f"train.py: {path}:3: a row must have 2 comma-separated cells")


@pytest.mark.parametrize("arguments", [[], ["--config=x.yaml", "--every=0"], ["--confg=x"]])
def test_wrong_usage_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        train.cli_main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_help_lists_the_keys(capsys):
    with pytest.raises(SystemExit) as caught:
        train.cli_main(["--help"])
    assert caught.value.code == 0
    assert "attention_layers (required): Layers whose attention is drawn" in capsys.readouterr().out
