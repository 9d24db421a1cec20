"""`scripts/visual_explain.py`: what it writes, what it prints, what it refuses."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

from bert import checkpoints
from bert import model_folder
from explain import explanation
from explain import plots
from scripts import visual_explain
from tests import reference_bert
from tests.explain import classifier_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = "The film was so, so fine!"

METHOD_OF_ONES_OWN = '''
import tensorflow as tf

from explain import plots


def token_number(question):
    """A score that the test knows: the place of each token."""
    count = tf.shape(question.features.input_ids)[1]
    row = tf.cast(tf.range(count), tf.float32)
    return row * tf.cast(question.features.input_mask, tf.float32)


def counted(record):
    figure = plots.Figure()
    figure.subplots().set_title(f"{record.method}: {len(record.tokens)} tokens")
    return figure
'''


@pytest.fixture
def trained(tiny_release, tmp_path):
    return classifier_folder.make(tmp_path / "out", tiny_release)


@pytest.fixture
def config(tmp_path):
    values = {
        "model": "minilm-l6",
        "data_path": "gone.csv",  # only a training reads it
        "output_dir": str(tmp_path / "out"),
        "batch_size": 8,
        "num_epochs": 1,
        "attention_layers": [0, -1],
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def pictures(folder):
    return sorted(path.name for path in (folder / "visualizations").iterdir())


def test_the_command_runs_without_a_display_and_prints_answer_and_paths(trained, config):
    command = [sys.executable, "scripts/visual_explain.py", f"--config={config}", f"--input={TEXT}"]
    unset = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    answer, *lines = done.stdout.splitlines()
    (record,) = explanation.load_jsonl(trained / "visualizations" / "explanation.jsonl")
    assert f"predicted {record.predicted} ({record.confidence:.3f})" in answer
    assert TEXT in done.stdout
    assert "\x1b[" not in done.stdout  # no terminal
    assert lines[-6:] == [
        f"{trained}/visualizations/{name}"
        for name in (
            "attention.npz",
            "attention_layer_0.png",
            "attention_layer_1.png",
            "token_importance.png",
            "explanation.html",
            "explanation.jsonl",
        )
    ]
    assert pictures(trained) == sorted(line.rpartition("/")[2] for line in lines[-6:])
    assert (record.method, record.target) == ("integrated_gradients", record.predicted)


def test_the_saved_matrices_are_those_of_the_numpy_reference(trained, config, capsys):
    status = visual_explain.cli_main(
        [f"--config={config}", f"--input={TEXT}", "--method=rollout", "--layers=1,0"]
    )
    assert status == 0
    saved = np.load(trained / "visualizations" / "attention.npz")
    parts = model_folder.load(trained)
    tokens = [token.text for token in parts.tokenizer().tokenize_with_spans(TEXT)]
    assert saved["tokens"].tolist() == ["[CLS]", *tokens, "[SEP]"]
    ids = parts.tokenizer().convert_tokens_to_ids(saved["tokens"].tolist())
    names = checkpoints.checkpoint_shapes(parts.init_checkpoint)
    variables = checkpoints.load_variables(parts.init_checkpoint, [*names])
    expected = reference_bert.forward(
        variables,
        parts.config.num_attention_heads,
        np.array([ids]),
        np.ones((1, len(ids))),
        np.zeros((1, len(ids)), int),
    )
    # 1e-5: float32 against float64 through two layers
    np.testing.assert_allclose(
        saved["attention"], np.stack(expected.attention_probs)[:, 0], atol=1e-5
    )
    assert saved["layers"].tolist() == [1, 0]
    assert "row sum error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("--layers=1", ["attention.npz", "attention_layer_1.png"]),
        ("--layers=-2,-1,0", ["attention.npz", "attention_layer_0.png", "attention_layer_1.png"]),
        ("--layers=", []),
    ],
)
def test_exactly_the_layers_asked_for_are_drawn(trained, config, layers, names):
    arguments = [f"--config={config}", f"--input={TEXT}", "--method=random", layers]
    assert visual_explain.cli_main(arguments) == 0
    rest = ["explanation.html", "explanation.jsonl", "token_importance.png"]
    assert pictures(trained) == [*names, *rest]


def test_the_bars_are_the_scores_of_the_method_and_each_method_has_its_own(
    trained, config, monkeypatch
):
    drawn = {}

    def draw(record):
        figure = plots.token_importance(record, special_tokens=True)
        drawn[record.method] = [
            bar.vertices[1, 1] for bar in figure.axes[0].collections[0].get_paths()
        ]
        return figure

    draw.__name__ = "token_importance"
    monkeypatch.setitem(visual_explain.gallery.PICTURES, "token_importance", draw)
    arguments = [f"--config={config}", f"--input={TEXT}", "--method=occlusion,rollout", "--layers="]
    assert visual_explain.cli_main(arguments) == 0
    records = explanation.load_jsonl(trained / "visualizations" / "explanation.jsonl")
    assert [record.method for record in records] == ["occlusion", "rollout"]
    for record in records:
        np.testing.assert_allclose(drawn[record.method], record.token_scores, rtol=1e-6)
    assert {"token_importance_occlusion.png", "token_importance_rollout.png"} < {*pictures(trained)}


def test_nothing_of_an_earlier_text_stays_beside_the_new_page(trained, config):
    arguments = [f"--config={config}", "--input=so fine", "--layers=0,1"]
    assert visual_explain.cli_main([*arguments, "--method=rollout,random"]) == 0
    assert visual_explain.cli_main([f"--config={config}", "--input=dull", "--layers=0"]) == 0
    rest = ["explanation.html", "explanation.jsonl", "token_importance.png"]
    assert pictures(trained) == ["attention.npz", "attention_layer_0.png", *rest]
    assert visual_explain.cli_main([f"--config={config}", "--input=so", "--layers="]) == 0
    assert pictures(trained) == rest


def test_options_of_methods_come_from_the_config_and_layers_have_their_picture(trained, config):
    options = {"integrated_gradients": {"baseline": "mask"}, "epsilon_lrp": {"layers": True}}
    config.write_text(config.read_text() + yaml.safe_dump({"method_options": options}))
    arguments = [f"--config={config}", f"--input={TEXT}", "--layers="]
    assert visual_explain.cli_main(arguments) == 0  # options of a method not asked for lie idle
    (record,) = explanation.load_jsonl(trained / "visualizations" / "explanation.jsonl")
    assert record.settings["options"]["baseline"] == "mask"
    assert "layer_profile_epsilon_lrp.png" not in pictures(trained)
    assert visual_explain.cli_main([*arguments, "--method=epsilon_lrp"]) == 0
    assert "layer_profile_epsilon_lrp.png" in pictures(trained)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rolout": {}}, r"method_options must be for .* got some for rolout"),
        ({"cp_lrp": {"epsilon": 1}}, r"options of cp_lrp must be of layers; got 'epsilon'"),
        (
            {"integrated_gradients": {"baseline": "zero!"}},
            r"integrated_gradients: baseline got 'zero!'",
        ),
    ],
)
def test_a_wrong_option_is_the_configs_problem(trained, config, caplog, options, expected):
    config.write_text(config.read_text() + yaml.safe_dump({"method_options": options}))
    assert visual_explain.cli_main([f"--config={config}", f"--input={TEXT}"]) == 2
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert re.search(expected, record.getMessage())


def test_a_model_folder_is_enough_without_a_config(trained, tmp_path, capsys):
    where = [f"--model_dir={trained}", f"--output_dir={tmp_path}"]
    assert visual_explain.cli_main([*where, "--input=so fine", "--layers=0"]) == 0
    names = {path.name for path in (tmp_path / "visualizations").iterdir()}
    assert names >= {"explanation.html", "token_importance.png", "attention_layer_0.png"}
    assert "predicted" in capsys.readouterr().out


def test_target_pair_and_output_folder_can_be_chosen(trained, config, tmp_path, capsys):
    arguments = [
        *(f"--config={config}", "--input=so dull", "--input_b=very fine", "--target=bad-good"),
        *(f"--output_dir={tmp_path / 'elsewhere'}", f"--model_dir={trained}", "--layers=0"),
    ]
    assert visual_explain.cli_main(arguments) == 0
    assert not (trained / "visualizations").exists()
    (record,) = explanation.load_jsonl(tmp_path / "elsewhere/visualizations/explanation.jsonl")
    assert (record.texts, record.target) == (("so dull", "very fine"), "bad-good")


def test_all_targets_have_a_picture_each(trained, config):
    arguments = [f"--config={config}", f"--input={TEXT}", "--target=all", "--layers="]
    assert visual_explain.cli_main([*arguments, "--method=gradient_x_input"]) == 0
    assert [name for name in pictures(trained) if name.endswith("png")] == [
        f"token_importance_target_{index}.png" for index in range(3)
    ]


def test_a_method_and_a_picture_of_ones_own_plug_in_from_the_folder_of_the_command(
    trained, config, tmp_path, monkeypatch
):
    (tmp_path / "my_explain.py").write_text(METHOD_OF_ONES_OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    own = ["--method=my_explain:token_number", "--picture=my_explain:counted", "--layers="]
    assert visual_explain.cli_main([f"--config={config}", f"--input={TEXT}", *own]) == 0
    (record,) = explanation.load_jsonl(trained / "visualizations" / "explanation.jsonl")
    assert record.method == "token_number"
    assert record.token_scores.tolist() == [*range(len(record.tokens))]
    assert pictures(trained) == ["counted.png", "explanation.html", "explanation.jsonl"]


def test_a_text_read_in_windows_has_no_heat_map_and_says_so(trained, config, capsys):
    config.write_text(config.read_text() + "word_scores: max\n")
    text = "the film was so very fine and it was so very dull"
    arguments = [f"--config={config}", f"--input={text}", "--method=lat", "--long_text=window"]
    assert visual_explain.cli_main(arguments) == 0
    assert "no heat maps: the text is read in windows" in capsys.readouterr().out
    (record,) = explanation.load_jsonl(trained / "visualizations" / "explanation.jsonl")
    assert (record.settings["long_text"], record.settings["word_scores"]) == ("window", "max")
    assert not any(name.startswith("attention") for name in pictures(trained))


@pytest.mark.parametrize(
    ("more", "status", "expected"),
    [
        (
            ["--layers=0,2"],
            2,
            r"attention_layers: must be from -2 to 1 in a model of 2 layers, got 2",
        ),
        (["--method=integrated_gradient"], 2, r"did you mean 'integrated_gradients'\?"),
        (["--target=superb"], 1, r"a class must be one of 'bad', 'good', 'so-so'"),
        (["--picture=pie"], 1, r"picture must be one of token_importance"),
        (["--model_dir=no/such/folder/at/all"], 1, r"no/such/folder/at/all"),
    ],
)
def test_what_cannot_be_explained_is_told_in_one_line(
    trained, config, caplog, more, status, expected
):
    assert visual_explain.cli_main([f"--config={config}", f"--input={TEXT}", *more]) == status
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert "\n" not in record.getMessage()
    assert re.search(expected, record.getMessage())
    assert not (trained / "visualizations").exists()


def test_a_folder_without_a_model_says_what_to_run(config, caplog, tmp_path):
    assert visual_explain.cli_main([f"--config={config}", f"--input={TEXT}"]) == 1
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert record.getMessage() == (
        f"visual_explain.py: {tmp_path / 'out'} must hold a trained model, got none; run scripts/train.py --config "
        f"{config} first, or give --model_dir"
    )


@pytest.mark.parametrize(
    "arguments",
    [[], ["--input=a"], ["--config=c", "--input=a", "--layers=x"], ["--config=c", "--input= "]],
)
def test_wrong_usage_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        visual_explain.cli_main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err
