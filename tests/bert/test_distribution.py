"""Shares of a batch, sums over replicas, and what TF_CONFIG says: all by hand."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from bert import distribution
from bert import estimator
from bert import features
from bert import hooks
from bert import input_fn
from bert import layers
from tests.bert import tiny_estimator

model = tiny_estimator.model
pretrained = tiny_estimator.pretrained


def contexts(processes, replicas):
    return [tf.distribute.InputContext(processes, index, replicas) for index in range(processes)]


@pytest.mark.parametrize(
    ("processes", "replicas", "shares"),
    [
        (1, 2, [(2, 0, 2)]),
        (2, 2, [(2, 0, 1), (2, 1, 1)]),
        (2, 6, [(6, 0, 3), (6, 3, 3)]),
    ],
)
def test_processes_have_equal_shares_one_after_the_other(processes, replicas, shares):
    found = [distribution.share_of(context) for context in contexts(processes, replicas)]
    assert found == [distribution.Share(*share) for share in shares]


@pytest.mark.parametrize(
    ("share", "parts"),
    [
        ((3, 0, 1), [[0, 1], [6, 7]]),
        ((3, 1, 2), [[2, 3], [4, 5], [8, 9], [10, 11]]),
        ((1, 0, 1), [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]),
    ],
)
def test_each_replica_reads_its_part_of_every_batch(share, parts):
    batches = tf.data.Dataset.range(12).batch(6)
    found = distribution.split(batches, distribution.Share(*share))
    assert [part.tolist() for part in found.as_numpy_iterator()] == parts


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Ten examples of 3 to 7 tokens; the label is the number."""
    path = tmp_path_factory.mktemp("records") / "train.tf_record"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(10):
            length = 3 + number % 5
            row = [5 + number] * length + [0] * (7 - length)
            mask = [int(token > 0) for token in row]
            writer.write(features.serialize(features.InputFeatures(row, mask, [0] * 7, number)))
    return path


def labels(builder, context=None, count=5):
    """Return the labels of the first batches, read in a graph with a seed, as an Estimator does."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(9)
        given = {"input_context": context} if context else {}
        batch = tf.compat.v1.data.make_one_shot_iterator(builder({}, **given)).get_next()
        return [session.run(batch["label_ids"]).tolist() for _ in range(count)]


@pytest.mark.parametrize("chosen", [{}, {"skip_examples": 8}])
def test_the_processes_together_read_what_one_reads_step_by_step(records, chosen):
    builder = input_fn.file_based_input_fn_builder(
        records, 7, True, True, batch_size=4, seed=9, pads_to_longest=True, **chosen
    )
    whole = labels(builder)
    first, second = (labels(builder, context) for context in contexts(2, 2))
    assert [a + b for a, b in zip(first, second, strict=True)] == whole
    (mirrored,) = (labels(builder, context, 10) for context in contexts(1, 2))
    assert [a + b for a, b in zip(mirrored[::2], mirrored[1::2], strict=True)] == whole
    assert whole[0] != sorted(whole[0])  # it is shuffled


def on_two(compute):
    """Return what each of two replicas computes, `compute` being given 0 or 1."""
    spread = distribution.Distribution(2)
    config = tf.compat.v1.ConfigProto()
    with tf.Graph().as_default():
        strategy = spread.settings(config)["train_distribute"]
        with strategy.scope():
            values = strategy.extended.call_for_each_replica(
                lambda: compute(
                    int(
                        tf.get_static_value(
                            tf.distribute.get_replica_context().replica_id_in_sync_group
                        )
                    )
                )
            )
        found = tf.nest.map_structure(strategy.experimental_local_results, values)
        with tf.compat.v1.Session(config=config) as session:
            return session.run(found)


def test_gradients_are_those_of_the_mean_over_all_real_examples():
    """One real example with loss 4 here, three with mean 8 there: the mean of all is (4 + 24) / 4."""
    losses, counts = [4.0, 8.0], [1.0, 3.0]
    dense = [[2.0, 0.0], [0.0, 4.0]]
    rows = [([1.0, 2.0], [2, 0]), ([4.0, 8.0], [2, 2])]  # values of a table of three, by row

    def compute(replica):
        values, indices = rows[replica]
        table = tf.IndexedSlices(
            tf.constant(values)[:, tf.newaxis], tf.constant(indices), tf.constant([3, 1])
        )
        gradients = [tf.constant(dense[replica]), None, table]
        loss, summed = distribution.sum_over_replicas(
            tf.constant(losses[replica]), gradients, tf.constant(counts[replica])
        )
        assert summed[1] is None
        return loss, summed[0], summed[2]

    loss, first, table = on_two(compute)
    np.testing.assert_allclose(loss, [1.0, 6.0])  # what is reported is their sum
    np.testing.assert_allclose(first, [[0.5, 3.0]] * 2)
    np.testing.assert_allclose(table, [[[0.5], [0.0], [0.25 + 0.75 * 12]]] * 2)


def test_one_replica_keeps_its_gradients_as_they_are():
    gradients = [tf.constant([1.0]), None]
    loss, found = distribution.sum_over_replicas(tf.constant(3.0), gradients, tf.constant(2.0))
    assert float(loss) == 3.0
    assert found[0] is gradients[0]
    assert found[1] is None


def test_every_replica_has_a_moment_and_dropout_masks_of_its_own():
    step = np.int64(5)
    assert int(distribution.moment(tf.constant(step))) == 5

    def compute(replica):
        moment = distribution.moment(tf.constant(step))
        drop = layers.stateless_dropout(3, moment)
        return moment, drop(tf.ones([64]), 0.5, "place")

    moments, masks = on_two(compute)
    assert [int(moment) for moment in moments] == [10, 11]
    assert (masks[0] != masks[1]).sum() > 10


def test_the_first_replica_speaks_for_all():
    assert distribution.is_first_replica()
    (spoken,) = on_two(lambda replica: (tf.constant(distribution.is_first_replica()),))
    assert list(spoken) == [True, False]


def tf_config(kind="worker", index=0, **cluster):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


WORKERS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (tf_config(**WORKERS), ("worker 0", 0, 2)),
        (tf_config(index=1, **WORKERS), ("worker 1", 1, 2)),
        (tf_config("chief", chief=["c:1"], **WORKERS), ("chief 0", 0, 3)),
        (tf_config(index=1, chief=["c:1"], **WORKERS), ("worker 1", 2, 3)),
        (tf_config("chief", chief=["c:1"]), ("chief 0", 0, 1)),
    ],
)
def test_tf_config_says_which_process_this_is_and_of_how_many(text, expected):
    found = distribution.process_of(text)
    assert found == distribution.Process(*expected)
    assert found.is_chief == (expected[1] == 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"--distribution=multi_worker needs TF_CONFIG in the environment of every process"),
        ("", r"needs TF_CONFIG"),
        ("{", r"TF_CONFIG must be as .* got Invalid JSON"),
        ("[]", r"TF_CONFIG must be as .* got Input should be an object"),
        ("{}", r"got cluster: Field required"),
        (json.dumps({"cluster": WORKERS}), r"got task: Field required"),
        (tf_config(worker="a:1"), r"got cluster.worker: Input should be a valid"),
        (tf_config("evaluator", **WORKERS), r"got task.type: Input should be 'chief' or 'worker'"),
        (tf_config(ps=["p:1"], **WORKERS), r"got cluster.ps: Extra inputs are not permitted"),
        (
            tf_config("chief", chief=["a:1", "b:1"]),
            r"got cluster.chief: List should have at most 1",
        ),
        (tf_config(index=2, **WORKERS), r"which are worker 0, worker 1, got worker 2"),
        (tf_config(index=-1, **WORKERS), r"got worker -1"),
        (tf_config(), r"which are none, got worker 0"),
        (tf_config(worker=["a:1", "a:1"]), r"an address of its own, got a:1, a:1"),
    ],
)
def test_what_is_wrong_with_tf_config_is_told_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        distribution.process_of(text)
    assert "\n" not in str(caught.value)


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * count)

    return pretend


def test_mirrored_takes_all_gpus_or_as_many_devices_as_asked(gpus):
    assert distribution.find(None) == distribution.ONE_DEVICE
    gpus(0)
    assert distribution.find("mirrored", 3) == distribution.Distribution(3, "CPU")
    with pytest.raises(ValueError, match=r"mirrored found no GPU; give --num_replicas"):
        distribution.find("mirrored")
    gpus(4)
    assert distribution.find("mirrored") == distribution.Distribution(4, "GPU")
    assert distribution.find("mirrored", 2) == distribution.Distribution(2, "GPU")
    with pytest.raises(ValueError, match=r"--num_replicas must be at most the 4 GPUs, got 5"):
        distribution.find("mirrored", 5)


def test_a_clusters_replicas_are_those_of_all_its_processes(gpus, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config(index=1, **WORKERS))
    gpus(3)
    found = distribution.find("multi_worker")
    assert (found.replicas, found.is_chief) == (6, False)
    gpus(0)
    assert distribution.find("multi_worker").replicas == 2


def test_a_batch_divides_into_equal_shares():
    distribution.Distribution(3).check_batch(12, 2)
    with pytest.raises(ValueError, match=r"all 3 replicas .* multiple of 3, got 8"):
        distribution.Distribution(3).check_batch(8)
    with pytest.raises(ValueError, match=r"3 times --gradient_accumulation_steps=2, got 9"):
        distribution.Distribution(3).check_batch(9, 2)


def test_evaluation_and_prediction_take_no_notice_of_a_cluster(pretrained, tmp_path, monkeypatch):
    text = tf_config(index=1, **WORKERS)
    monkeypatch.setenv("TF_CONFIG", text)
    built = estimator.build_estimator(tmp_path, pretrained)
    assert not built.config.cluster_spec
    assert built.config.is_chief
    with distribution.tf_config_for(distribution.ONE_DEVICE):
        assert "TF_CONFIG" not in os.environ
    with distribution.tf_config_for(distribution.find("multi_worker")):
        assert os.environ["TF_CONFIG"] == text
    assert os.environ["TF_CONFIG"] == text


def test_a_training_whose_session_is_lost_ends():
    hook = hooks.OneSession()
    hook.after_create_session(None, None)
    with pytest.raises(ConnectionError, match=r"a process of the cluster is gone; start all"):
        hook.after_create_session(None, None)
