import json

import numpy as np
import pytest

import run_classifier
from bert import anatomy
from bert import checkpoints
from bert import export
from explain import attention
from explain import methods
from explain import model
from scripts import prepare_nano


@pytest.fixture
def train_file(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("label\ttext\tmore\n1\tSo fine\tso\n0\tso dull\tgrim\n")
    return path


def run(train_file, *more):
    folder = train_file.parent / "nano"
    code = prepare_nano.main([f"--train_file={train_file}", f"--output_dir={folder}", *more])
    return code, folder


def test_vocabulary_and_config_are_written_and_counted(train_file, capsys):
    sizes = ["--n_layer=2", "--n_head=2", "--n_embed=6", "--dropout=0.3", "--max_seq_len=40"]
    code, folder = run(train_file, *sizes)
    assert code == 0
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "dull", "fine", "so"]
    assert (folder / "vocab.txt").read_text().splitlines() == words
    config = json.loads((folder / "bert_config.json").read_text())
    names = ("num_hidden_layers", "num_attention_heads", "hidden_size", "hidden_dropout_prob")
    assert [config[name] for name in names] == [2, 2, 6, 0.3]
    assert (config["max_position_embeddings"], config["vocab_size"]) == (40, 8)
    assert capsys.readouterr().out == f"{folder}: vocab.txt with 8 tokens, bert_config.json\n"
    assert sorted(path.name for path in folder.iterdir()) == ["bert_config.json", "vocab.txt"]


def test_rare_words_and_those_beyond_a_number_are_left_out(train_file):
    _, folder = run(train_file, "--min_count=2")
    assert (folder / "vocab.txt").read_text().splitlines()[5:] == ["so"]
    run(train_file, "--max_words=2")
    assert (folder / "vocab.txt").read_text().splitlines()[5:] == ["dull", "so"]


def test_other_columns_and_pairs_are_read_by_name(train_file):
    _, folder = run(train_file, "--text_column=more", "--text_b_column=text")
    assert (folder / "vocab.txt").read_text().splitlines()[5:] == ["dull", "fine", "grim", "so"]
    run(train_file, "--text_column=more")
    assert (folder / "vocab.txt").read_text().splitlines()[5:] == ["grim", "so"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--n_head=2"], "n_embed must be a multiple of n_head, got 3 and 2"),
        (["--text_column=body"], "must have the column"),
        (["--min_count=9"], "must hold a word that stands there 9 times"),
        (["--dropout=1"], "hidden_dropout_prob"),
    ],
)
def test_what_cannot_be_is_one_clear_message_and_writes_nothing(train_file, capsys, more, message):
    code, folder = run(train_file, *more)
    assert code == 1
    shown = capsys.readouterr().err
    assert shown.startswith("prepare_nano.py: ")
    assert message in shown
    assert not folder.exists()


@pytest.fixture(scope="module")
def trained(tiny_data, tmp_path_factory):
    """A model of two heads that the commands made, from prepare_nano on."""
    folder = tmp_path_factory.mktemp("nano")
    train_file = f"--train_file={tiny_data / 'train.tsv'}"
    sizes = ["--n_head=2", "--n_embed=6", "--max_seq_len=16"]
    assert prepare_nano.main([train_file, f"--output_dir={folder}", *sizes]) == 0
    command = [
        *(
            train_file,
            f"--dev_file={tiny_data / 'dev.tsv'}",
            f"--test_file={tiny_data / 'test.tsv'}",
        ),
        *(f"--vocab_file={folder / 'vocab.txt'}", f"--output_dir={folder / 'model'}"),
        f"--bert_config_file={folder / 'bert_config.json'}",
        *("--max_seq_length=16", "--learning_rate=3e-2", "--train_batch_size=16"),
        *("--num_train_epochs=32", "--classifier_head_config=global_average_pool"),
        *("--do_train", "--do_eval", "--do_predict", "--attn_processor_fn=rollout"),
    ]
    assert run_classifier.cli_main(command) == 0
    return folder / "model", command


def test_the_ordinary_commands_train_evaluate_and_predict_it(trained):
    folder, _ = trained
    lines = (folder / "eval_results.txt").read_text().splitlines()
    results = dict(line.split(" = ") for line in lines)
    assert float(results["eval_accuracy"]) > 0.9  # one of twelve may be wrong
    assert (folder / "report.html").is_file()
    assert len((folder / "test_results.tsv").read_text().splitlines()) == 9


def test_a_training_goes_on_where_it_stopped(trained):
    folder, command = trained
    more = [option.replace("epochs=32", "epochs=33") for option in command]
    assert run_classifier.cli_main(more) == 0
    assert checkpoints.latest_step(folder) == 33 * 64 // 16


def test_every_method_explains_it(trained):
    folder, _ = trained
    explain = model.load_explainer(folder, list(methods.METHODS), attn_processor_fn=attention.lat)
    records = explain(["so fine a film", "so dull a film"])
    assert [record.method for record in records] == 2 * list(methods.METHODS)
    for name in ("integrated_gradients", "occlusion"):
        scores = np.stack([record.scores for record in records if record.method == name])
        assert np.argmax(np.abs(scores)) % 4 == 1, name  # where "fine" and "dull" stand


def test_its_folder_for_transformers_adds_segments_that_add_nothing(trained, tmp_path):
    folder, _ = trained
    export.write_hugging_face(folder, tmp_path / "exported")
    config = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert config["type_vocab_size"] == 2
    ids = np.array([[1, 8, 9, 2], [1, 6, 2, 0]])
    np.testing.assert_allclose(
        anatomy.load(tmp_path / "exported").probabilities(ids),
        anatomy.load(folder).probabilities(ids),
        rtol=0,
        atol=1e-7,
    )
