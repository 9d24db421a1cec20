import re

import numpy as np
import pytest
import tensorflow as tf

from explain import model
from scripts import export_model
from tests.explain import classifier_folder


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("trained"), tiny_release)


def test_the_command_writes_a_model_and_says_how_to_load_it(trained, tmp_path, capsys):
    command = [f"--model_dir={trained}", f"--output={tmp_path / 'out' / '1'}", "--no_text"]
    command += ["--methods=attention_last,", "--attn_processor_fn=average_last_layer_by_head"]
    assert export_model.cli_main(command) == 0
    call = re.escape(f'tf.saved_model.load("{tmp_path / "out" / "1"}")')
    assert re.fullmatch(rf"{call}  # [0-9]\.[0-9] MB\n", capsys.readouterr().out)
    loaded = tf.saved_model.load(str(tmp_path / "out" / "1"))
    assert set(loaded.signatures) == {"ids", "explain"}
    ids = tf.constant([[2, 5, 6, 7, 3]])
    answer = loaded.signatures["ids"](input_ids=ids, input_mask=ids // ids, segment_ids=0 * ids)
    assert set(answer) == {"label", "probabilities", "attribution_attention_last", "attention"}
    (record,) = model.load_explainer(trained, ["attention_last"])(["the film was"])
    assert answer["label"].numpy().tolist() == [record.predicted.encode()]
    np.testing.assert_allclose(answer["probabilities"][0], record.probabilities, atol=1e-6)
    np.testing.assert_allclose(answer["attention"][0], record.token_scores, atol=1e-6)


def test_the_command_writes_a_model_of_texts(trained, tmp_path):
    pytest.importorskip("tensorflow_text")
    command = [f"--model_dir={trained}", f"--output={tmp_path / 'out'}", "--methods="]
    assert export_model.cli_main(command) == 0
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    assert set(loaded.signatures) == {"ids", "serving_default", "explain"}
    answer = loaded.signatures["serving_default"](
        text=tf.constant(["the film"]), text_b=tf.constant([""])
    )
    assert set(answer) == {"label", "probabilities", "tokens", "spans"}
    assert answer["tokens"].numpy().tolist() == [[b"[CLS]", b"the", b"film", b"[SEP]"]]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model_dir=tests"], r"tests must be the output_dir of a finished training"),
        (["--methods=chefr"], r"a method must be one of .*did you mean 'chefer'"),
        (["--attn_processor_fn=first"], r"attn_processor_fn must be one of"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(trained, tmp_path, caplog, arguments, line):
    command = [f"--model_dir={trained}", f"--output={tmp_path / 'out'}", "--no_text", *arguments]
    assert export_model.cli_main(command) == 1
    (told,) = [r.getMessage() for r in caplog.records if r.name.startswith("bert.failures")]
    assert told.startswith("export_model.py: ")
    assert re.search(line, told)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone_and_named(trained, tmp_path, caplog):
    (tmp_path / "mine").write_text("mine")
    command = [f"--model_dir={trained}", f"--output={tmp_path}", "--no_text"]
    assert export_model.cli_main(command) == 1
    assert f"export_model.py: {tmp_path} must be a new or an empty folder" in caplog.text
    assert "output_dir" not in caplog.text  # which is no flag of this command
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
