"""Every notebook runs from its first cell to its last, on a tiny model and three reviews."""

import ast
import pathlib

import nbclient
import nbformat
import pytest
import yaml

from bert import checkpoints
from explain import methods
from tests.explain import classifier_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(name, parameters, folder):
    """Execute a notebook with the values of its one settings cell replaced, and return its text outputs."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    (settings,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    names = {line.split(" = ")[0] for line in settings.source.splitlines()}
    assert names == set(parameters)
    settings.source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)


def test_the_attention_notebook_runs_and_writes_its_page(tiny_release, tiny_data, tmp_path):
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        lines = (tiny_data / f"{split}.tsv").read_text().splitlines(keepends=True)
        (tmp_path / "data" / f"{split}.tsv").write_text(
            "".join(lines[: 4 if split == "test" else None])
        )
    outputs = run(
        "BERT_viz_attention_imdb.ipynb",
        {
            "MODEL_DIR": str(tmp_path / "model"),
            "DATA_DIR": str(tmp_path / "data"),
            "PRETRAINED": str(tiny_release),
            "TRAINING_FLAGS": [
                "--max_seq_length=32",
                "--train_batch_size=8",
                "--num_train_epochs=1",
            ],
            "VIZ_FILE": str(tmp_path / "page.html"),
            "VIZ_RELATIVE": True,
            "MAX_EXAMPLES": 3,
        },
        ROOT / "notebooks",
    )
    page = (tmp_path / "page.html").read_text()
    assert [page.count(f"test-{index}<") for index in range(4)] == [1, 1, 1, 0]
    assert "2 layers, 3 heads" in outputs
    assert "café" in outputs
    assert "image/png" in outputs


@pytest.fixture
def config(tiny_release, tiny_data, tmp_path):
    """The config of a project on the tiny weights and data, not trained yet."""
    values = {
        "model": str(tiny_release),
        "data_path": str(tiny_data / "train.tsv"),
        "output_dir": str(tmp_path / "out"),
        "batch_size": 8,
        "num_epochs": 2,
        "attention_layers": [0, -1],
        "max_seq_length": 16,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_the_training_notebook_trains_from_the_config_and_draws_the_curve(config, tmp_path):
    outputs = run("Training_BERT.ipynb", {"CONFIG": str(config)}, ROOT / "notebooks")
    assert "58 examples to train on, 6 to evaluate on, labels ['0', '1']" in outputs
    assert "14 of 14 steps done" in outputs
    assert " of 6 right" in outputs
    assert "image/png" in outputs
    assert checkpoints.latest_step(tmp_path / "out") == 14


def test_the_attention_map_notebook_draws_every_layer_asked_and_every_head(
    config, tiny_release, tmp_path
):
    classifier_folder.make(tmp_path / "out", tiny_release)
    parameters = {"CONFIG": str(config), "SENTENCE": "so fine", "HEADS_OF_LAYER": -1}
    outputs = run("Visualize_Attention.ipynb", parameters, ROOT / "notebooks")
    assert "2 layers, 3 heads, 4 tokens" in outputs
    assert outputs.count("'image/png'") == 2 + 1 + 1  # two layers, all heads of one, rollout


def test_the_fine_tuning_notebook_compares_three_methods_and_one_of_its_own(config, tmp_path):
    asked = ["gradient_x_input", "occlusion", "rollout"]
    parameters = {"CONFIG": str(config), "TEXTS": ["so fine", "so dull"], "METHODS": asked}
    outputs = run("Fine_tuning_and_Explanation.ipynb", parameters, ROOT / "notebooks")
    assert all(method in outputs for method in asked)
    assert "srcdoc" in outputs
    assert outputs.count("'image/png'") == 2
    assert checkpoints.latest_step(tmp_path / "out") == 14


def test_the_lrp_notebook_states_the_patents_and_balances_its_ledger(
    config, tiny_release, tmp_path
):
    classifier_folder.make(tmp_path / "out", tiny_release)
    parameters = {"CONFIG": str(config), "SENTENCE": "so fine", "TARGET": "bad"}
    outputs = run("lrp_visualize.ipynb", parameters, ROOT / "notebooks")
    assert "logit of bad: " in outputs
    assert outputs.count("'image/png'") == 3
    for name in ("GS", "GI", "LRP", "LAT", "CP-LRP"):
        assert f"<th>{name}</th>" in outputs
    text = (ROOT / "notebooks" / "lrp_visualize.ipynb").read_text()
    assert "covered by patents of its inventors" in text


def test_what_the_lrp_notebook_calls_the_methods_of_bert_lrp_are_theirs():
    notebook = nbformat.read(ROOT / "notebooks" / "lrp_visualize.ipynb", as_version=4)
    (source,) = [cell.source for cell in notebook.cells if cell.source.startswith("NAMES = ")]
    theirs = {
        "gradient_sensitivity_squared": "GS",
        "gradient_x_input_squared": "GI",
        "bert_lrp_2021": "LRP",
        "lat": "LAT",
    }
    named = ast.literal_eval(source.removeprefix("NAMES = ").partition("}")[0] + "}")
    assert named == theirs | {"cp_lrp": "CP-LRP"}
    assert named.keys() <= methods.METHODS.keys()


def test_every_committed_notebook_was_run_and_is_small():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)], path.name
        assert not any(o.output_type == "error" for cell in cells for o in cell.outputs), path.name
        assert path.stat().st_size < 200_000, path.name
