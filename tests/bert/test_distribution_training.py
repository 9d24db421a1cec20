"""Two and four logical CPUs train what one does, with nothing dropped."""

import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import datasets
from bert import model_folder
from bert import options as options_lib
from bert import training
from bert import training_log
from tests import clusters


@pytest.fixture(scope="module")
def parts(tiny_release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("still")
    config = config_lib.BertConfig.from_json_file(clusters.without_dropout(tiny_release, folder))
    record = config_lib.ClassifierConfig(labels=("0", "1"), max_seq_length=16)
    vocabulary = str(tiny_release / "vocab.txt")
    return model_folder.Parts(config, record, vocabulary, str(tiny_release / "bert_model.ckpt"))


@pytest.fixture
def train(parts, tiny_data, monkeypatch, tmp_path):
    """Return a function from options to the folder of a training with them."""
    monkeypatch.setattr(classifier, "_CLASSIFIER_DROPOUT", 0.0)
    processor = datasets.ImdbProcessor()
    examples = processor.get_train_examples(str(tiny_data))
    dev = processor.get_dev_examples(str(tiny_data))

    def in_folder(name, **values):
        given = {"data_dir": "d", "task_name": "imdb", "do_train": True, "train_batch_size": 16}
        given |= {"output_dir": str(tmp_path / name), "learning_rate": 1e-3, "num_train_epochs": 4}
        options = options_lib.RunConfig.parse(given | values)
        training.train(parts, parts.tokenizer(), examples, dev, options, lambda step, loss: None)
        return tmp_path / name

    return in_folder


def test_two_replicas_have_the_losses_weights_and_slots_of_one_device(train):
    expected = train("one")
    found = train("two", distribution="mirrored", num_replicas=2)
    loss, weight = clusters.differences(found, expected)
    assert loss < 1e-5
    assert weight < 1e-5
    rows = training_log.read(expected)
    assert len(rows) == 16
    assert rows[0].loss - rows[-1].loss > 0.01  # it did learn something
    (events,) = found.glob("events.*")
    tags = [
        value.tag
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    ]
    assert set(tags) >= {"loss", "learning_rate"}
    assert not [tag for tag in tags if "replica" in tag]  # one speaks for all


@pytest.mark.slow
def test_so_have_four_with_every_option_that_changes_the_step_and_an_evaluation_on_the_way(train):
    chosen = {
        "class_weights": "0=2,1=0.5",
        "gradient_accumulation_steps": 2,
        "bucket_by_length": True,
        "eval_every_steps": 5,
        "freeze_encoder": True,
        "num_train_epochs": 2,
    }
    expected = train("one", **chosen)
    found = train("four", distribution="mirrored", num_replicas=4, **chosen)
    loss, weight = clusters.differences(found, expected)
    assert loss < 1e-5
    assert weight < 1e-5
    evaluations = [row.step for row in training_log.read(found) if row.dev_loss is not None]
    assert evaluations == [5, 8]


@pytest.mark.slow
def test_a_training_goes_on_with_other_replicas(train):
    expected = train("whole", num_train_epochs=2)
    folder = train("parts", num_train_epochs=2, save_checkpoints_steps=3)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-3"\n')
    assert checkpoints.latest_step(folder) == 3
    train("parts", num_train_epochs=2, distribution="mirrored", num_replicas=2)
    loss, weight = clusters.differences(folder, expected)
    assert max(loss, weight) < 1e-5
