"""Every notebook runs from its first cell to its last, on a tiny model and three reviews."""

import pathlib

import nbclient
import nbformat
import pytest

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


@pytest.mark.slow
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
