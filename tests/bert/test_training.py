import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils import class_weight

from bert import checkpoints
from bert import config as config_lib
from bert import datasets
from bert import estimator
from bert import input_fn
from bert import model_folder
from bert import options as options_lib
from bert import training
from bert import training_log

LABELS = ("0", "1")


def labelled(counts):
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [datasets.InputExample(f"x-{i}", "fine", None, label) for i, label in enumerate(labels)]


@pytest.fixture(scope="module")
def parts(tiny_release):
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    record = config_lib.ClassifierConfig(labels=LABELS, max_seq_length=12)
    vocabulary = str(tiny_release / "vocab.txt")
    return model_folder.Parts(config, record, vocabulary, str(tiny_release / "bert_model.ckpt"))


@pytest.fixture(scope="module")
def splits(tiny_data):
    processor = datasets.ImdbProcessor()
    return processor.get_train_examples(str(tiny_data)), processor.get_dev_examples(str(tiny_data))


def options(output, **values):
    defaults = {"train_batch_size": 8, "num_train_epochs": 2, "learning_rate": 1e-3}
    return options_lib.RunConfig.parse(
        {"data_dir": "d", "task_name": "imdb", "output_dir": str(output), "do_train": True}
        | defaults
        | values
    )


def train(parts, splits, chosen, **more):
    seen = []
    plan = training.train(
        parts, parts.tokenizer(), *splits, chosen, lambda step, loss: seen.append(step), **more
    )
    return plan, seen


def test_balanced_class_weights_are_scikit_learns():
    examples = labelled({"0": 6, "1": 2, "2": 4})
    expected = class_weight.compute_class_weight(
        "balanced", classes=np.array(["0", "1", "2"]), y=[e.label for e in examples]
    )
    found = training.class_weights("balanced", ["0", "1", "2"], examples)
    np.testing.assert_allclose(found, expected)


def test_class_weights_name_labels_and_leave_the_others_at_one():
    assert training.class_weights("pos=2.5", ["neg", "pos"], []) == (1.0, 2.5)
    assert training.class_weights("a=b=3, neg=0.5", ["neg", "a=b"], []) == (0.5, 3.0)
    assert training.class_weights(None, ["neg", "pos"], []) is None


@pytest.mark.parametrize(
    "text", ["pos", "pos=1,pos=2", "pos=-1", "pos=0", "pos=inf", "good=1", "pos=1,,neg=2", ""]
)
def test_other_class_weights_are_refused(text):
    with pytest.raises(ValueError, match="class_weights must be balanced or label=factor"):
        training.class_weights(text, ["neg", "pos"], [])


def test_balanced_weights_need_every_label():
    with pytest.raises(ValueError, match="needs training examples of every label, got none of 1"):
        training.class_weights("balanced", ["0", "1"], labelled({"0": 3}))


def test_steps_are_those_of_the_release(tmp_path):
    plan = training.plan(options(tmp_path, num_train_epochs=2.5, train_batch_size=8), 30)
    assert plan == training.Plan(0, int(30 / 8 * 2.5), None, False)


def test_a_training_logs_losses_and_rates_and_is_whole_afterwards(parts, splits, tmp_path):
    plan, seen = train(parts, splits, options(tmp_path))
    assert plan == training.Plan(16, 16, None, False)
    assert seen == list(range(1, 17))
    rows = training_log.read(tmp_path)
    assert [row.step for row in rows] == list(range(1, 17))
    assert rows[-1].epoch == 2.0
    # the release's schedule: 1 of 16 steps is warm-up, from 0; the last step is 1/16 of the peak from the end
    np.testing.assert_allclose(rows[0].learning_rate, 0.0)
    np.testing.assert_allclose(rows[-1].learning_rate, 1e-3 / 16, rtol=1e-4)
    assert model_folder.load(tmp_path).init_checkpoint.endswith("model.ckpt-16")


def scripted(monkeypatch, accuracies):
    """Let evaluations find these accuracies, one after the other; return the steps they were asked at."""
    asked = []
    found = iter(accuracies)

    def evaluate(self, input_fn, name):
        asked.append(checkpoints.latest_step(self.model_dir))
        return {"eval_accuracy": next(found), "eval_f1": 0.5, "eval_loss": 0.5}

    monkeypatch.setattr(tf.estimator.Estimator, "evaluate", evaluate)
    return asked


def test_the_best_model_on_the_dev_set_is_kept_and_patience_stops_at_the_right_step(
    parts, splits, tmp_path, monkeypatch
):
    asked = scripted(monkeypatch, [0.5, 0.7, 0.7, 0.6, 0.9])
    chosen = options(tmp_path, eval_every_steps=2, early_stopping_patience=2, num_train_epochs=2)
    plan, seen = train(parts, splits, chosen)
    assert asked == [2, 4, 6, 8]  # 0.7 at step 4, and two evaluations without a better one
    assert plan == training.Plan(8, 16, 4, True)
    assert plan.is_finished
    assert seen[-1] == 8
    assert model_folder.best_folder(tmp_path) == tmp_path / "best"
    assert checkpoints.latest_step(tmp_path / "best") == 4
    assert training.plan(chosen, 64).has_stopped  # the same command again trains no further
    plan, seen = train(parts, splits, chosen)
    assert seen == []


def test_the_kept_model_has_the_weights_of_its_step_without_the_optimisers_slots(
    parts, splits, tmp_path
):
    plan, _ = train(parts, splits, options(tmp_path, eval_every_steps=4, num_train_epochs=1.5))
    assert plan.done == 12
    best = tmp_path / "best"
    kept = checkpoints.load_variables(
        tf.train.latest_checkpoint(str(best)), [n for n, _ in tf.train.list_variables(str(best))]
    )
    assert int(kept.pop("global_step")) == plan.best_step
    assert not [name for name in kept if "adam" in name]
    assert len(kept) == 5 + 16 * 2 + 2 + 2
    original = tmp_path / f"model.ckpt-{plan.best_step}"
    for name, value in checkpoints.load_variables(original, kept).items():
        np.testing.assert_array_equal(kept[name], value, err_msg=name)
    loaded = model_folder.load(tmp_path)
    assert loaded.init_checkpoint == str(best / f"model.ckpt-{plan.best_step}")
    assert len([path for path in best.iterdir() if path.suffix == ".index"]) == 1
    rows = [row for row in training_log.read(tmp_path) if row.dev_accuracy is not None]
    assert [row.step for row in rows] == [4, 8, 12]


def test_going_on_without_evaluations_would_leave_the_best_model_behind(parts, splits, tmp_path):
    train(parts, splits, options(tmp_path, eval_every_steps=4, num_train_epochs=0.5))
    with pytest.raises(ValueError, match="holds the best model of a training with --eval_every"):
        training.plan(options(tmp_path, num_train_epochs=1), 64)


EVALUATED = {"eval_every_steps": 3, "num_train_epochs": 1, "best_metric": "loss"}


@pytest.fixture(scope="module")
def uninterrupted(parts, splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(parts, splits, options(folder, **EVALUATED))
    return folder


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    parts, splits, uninterrupted, tmp_path, stop
):
    """It stops between a checkpoint and its evaluation, the worst place: the first, the second or the last."""
    evaluate, calls = training._evaluate, []

    def die(*arguments):
        calls.append(arguments)
        if len(calls) == stop:
            raise KeyboardInterrupt
        evaluate(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_evaluate", die)
        with pytest.raises(KeyboardInterrupt):
            train(parts, splits, options(tmp_path, **EVALUATED))
    assert checkpoints.latest_step(tmp_path) == min(3 * stop, 8)
    assert not training.plan(options(tmp_path, **EVALUATED), 64).is_finished
    plan, _ = train(parts, splits, options(tmp_path, **EVALUATED))
    assert plan.is_finished
    assert (tmp_path / "log.txt").read_text() == (uninterrupted / "log.txt").read_text()
    steps = [checkpoints.latest_step(folder / "best") for folder in (uninterrupted, tmp_path)]
    assert steps == [plan.best_step] * 2


def test_a_best_model_that_the_log_does_not_know_is_told(parts, splits, tmp_path, monkeypatch):
    scripted(monkeypatch, [0.9, 0.5])
    chosen = {"eval_every_steps": 4, "num_train_epochs": 1}
    train(parts, splits, options(tmp_path, **chosen))
    rows = training_log.read(tmp_path)
    better = [row._replace(dev_loss=0.1) if row.step == 8 and row.dev_loss else row for row in rows]
    training_log.start(tmp_path, 0)
    for row in better:
        training_log.append(tmp_path, row)
    with pytest.raises(ValueError, match="that of step 8 by --best_metric=loss, but holds step 4"):
        training.plan(options(tmp_path, **chosen, best_metric="loss"), 64)
    (tmp_path / "log.txt").unlink()
    with pytest.raises(ValueError, match=r"that of step None .* but holds step 4"):
        training.plan(options(tmp_path, eval_every_steps=5, num_train_epochs=1), 64)


def test_the_dev_set_is_what_the_best_model_is_chosen_on(parts, splits, tmp_path):
    turned = [dataclasses.replace(e, label={"0": "1", "1": "0"}[e.label]) for e in splits[0]]
    chosen = options(
        tmp_path, eval_every_steps=40, num_train_epochs=10, learning_rate=3e-3, best_metric="loss"
    )
    train(parts, (splits[0], turned), chosen)
    rows = [row for row in training_log.read(tmp_path) if row.dev_accuracy is not None]
    assert rows[-1].dev_accuracy < 0.2  # what is learned is wrong there
    assert checkpoints.latest_step(tmp_path / "best") == 40  # and the first model the least wrong
    assert checkpoints.latest_step(tmp_path) == 80


def test_other_batches_on_the_way_are_refused(parts, splits, tmp_path):
    train(parts, splits, options(tmp_path, num_train_epochs=1))
    with pytest.raises(
        ValueError, match=r"trained for 1 epochs in 8 steps, which would be 0.5 with"
    ):
        training.plan(options(tmp_path, train_batch_size=4), 64)
    assert training.plan(options(tmp_path, num_train_epochs=3), 64).done == 8


def test_going_on_without_the_freeze_says_what_is_missing(parts, splits, tmp_path):
    frozen = {"freeze_encoder": True}
    train(parts, splits, options(tmp_path, num_train_epochs=1, **frozen))
    with pytest.raises(
        ValueError, match=r"optimiser's slots of every variable .* --freeze_encoder as"
    ):
        train(parts, splits, options(tmp_path, num_train_epochs=2))
    plan, _ = train(parts, splits, options(tmp_path, num_train_epochs=2, **frozen))
    assert plan.done == 16


def test_class_weights_reach_the_loss(parts, splits, tmp_path):
    losses = []
    for name, factors in {"a": None, "b": "0=8,1=8"}.items():
        train(
            parts, splits, options(tmp_path / name, num_train_epochs=0.125, class_weights=factors)
        )
        losses.append(training_log.read(tmp_path / name)[0].loss)
    np.testing.assert_allclose(losses[1], 8 * losses[0], rtol=1e-4)


def test_the_last_step_is_logged_and_summarised_whatever_the_interval(
    parts, splits, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "log_interval", lambda options, steps: 3)
    train(parts, splits, options(tmp_path, num_train_epochs=1))
    rows = training_log.read(tmp_path)
    assert [row.step for row in rows] == [3, 6, 8]
    (events,) = tmp_path.glob("events.*")
    summaries = {
        (event.step, value.tag): value.simple_value
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    for name, logged in {"loss": rows[-1].loss, "learning_rate": rows[-1].learning_rate}.items():
        np.testing.assert_allclose(summaries[8, name], logged, rtol=1e-5)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, (True, False)),
        ({"bucket_by_length": True}, (True, True)),
        ({"use_tpu": True}, (False, False)),
    ],
)
def test_batches_are_padded_to_their_longest_but_on_a_tpu_and_sorted_only_on_request(
    parts, splits, tmp_path, monkeypatch, chosen, expected
):
    asked = []

    def build(*arguments, **settings):
        asked.append((settings["pads_to_longest"], settings["bucket_by_length"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(input_fn, "file_based_input_fn_builder", build)
    with pytest.raises(KeyboardInterrupt):
        train(parts, splits, options(tmp_path, **chosen))
    assert asked == [expected]


def test_a_hook_of_ones_own_runs_in_every_step(parts, splits, tmp_path):
    class Collect(tf.compat.v1.train.SessionRunHook):
        count = 0

        def after_run(self, run_context, run_values):
            self.count += 1

    hook = Collect()
    train(parts, splits, options(tmp_path, num_train_epochs=0.5), hooks=[hook])
    assert hook.count == 4


def test_a_range_test_logs_every_step_up_to_its_own_highest_rate(parts, splits, tmp_path):
    chosen = options(tmp_path, learning_rate_schedule="lr_range_test", max_learning_rate=0.07)
    train(parts, splits, chosen)
    rates = [rate for rate, _ in training_log.losses_by_rate(training_log.read(tmp_path))]
    np.testing.assert_allclose(rates, np.linspace(0.0, 0.07, 16), atol=1e-7)


def test_a_checkpoint_of_another_model_in_the_folder_is_named(parts, splits, tmp_path):
    train(parts, splits, options(tmp_path, num_train_epochs=0.25))
    three = dataclasses.replace(
        parts, record=parts.record.model_copy(update={"labels": ("a", "b", "c")})
    )
    with pytest.raises(
        ValueError, match=r"model.ckpt-2 must hold .* output_weights must have shape"
    ):
        estimator.model_of(three, tmp_path)
