import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import hugging_face
from bert import model_folder
from scripts import export_huggingface


@pytest.fixture
def trained(tiny_release, tmp_path):
    """A trained folder that pools the mean, and its variables."""
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    record = config_lib.ClassifierConfig(
        labels=("no", "yes"), max_seq_length=16, pooling="global_average_pool"
    )
    parts = model_folder.Parts(config, record, str(tiny_release / "vocab.txt"), None)
    parts.save(tmp_path / "trained")
    rng = np.random.default_rng(8)
    shapes = classifier.variable_shapes(config, 2, record.pooling)
    variables = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    prefix = tmp_path / "trained" / "model.ckpt-4"
    checkpoints.write(prefix, variables | {"global_step": np.int64(4)})
    tf.compat.v1.train.update_checkpoint_state(str(prefix.parent), prefix.name)
    return prefix.parent, variables


def arguments(source, target):
    return [f"--model_dir={source}", f"--output_dir={target}"]


def test_the_command_writes_the_folder_and_says_how_to_open_it(trained, tmp_path):
    folder, variables = trained
    command = ["scripts/export_huggingface.py", *arguments(folder, tmp_path / "out")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    call = f'AutoModelForSequenceClassification.from_pretrained("{tmp_path / "out"}"'
    assert done.stdout == f"{call}, trust_remote_code=True)\n"
    found = hugging_face.read(tmp_path / "out").variables
    assert found.keys() == variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_model_that_transformers_knows_needs_no_trust(trained, tmp_path, capsys):
    folder, variables = trained
    record = json.loads((folder / "classifier_config.json").read_text()) | {"pooling": "default"}
    (folder / "classifier_config.json").write_text(json.dumps(record))
    (folder / "SHA256SUMS").unlink()
    pooler = {"kernel": np.eye(12, dtype=np.float32), "bias": np.zeros(12, np.float32)}
    pooler = {f"bert/pooler/dense/{name}": value for name, value in pooler.items()}
    checkpoints.write(folder / "model.ckpt-4", variables | pooler | {"global_step": np.int64(4)})
    assert export_huggingface.main(arguments(folder, tmp_path / "out")) == 0
    assert capsys.readouterr().out.endswith(f'from_pretrained("{tmp_path / "out"}")\n')


def test_a_folder_without_a_model_is_told_in_one_line(tmp_path, capsys):
    assert export_huggingface.main(arguments(tmp_path, tmp_path / "out")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"export_huggingface.py: {tmp_path} must be the output_dir of")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(trained, tmp_path, capsys):
    folder, _ = trained
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("mine")
    assert export_huggingface.main(arguments(folder, tmp_path / "out")) == 1
    assert "must be a new or an empty folder" in capsys.readouterr().err
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]
