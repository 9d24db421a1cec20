"""The tiny release as a model of three classes, untrained and pretrained, and a batch for it."""

import dataclasses

import pytest
import tensorflow as tf

from bert import config as config_lib
from bert import estimator
from bert import features


@pytest.fixture(scope="module")
def model(tiny_release):
    config = config_lib.BertConfig.from_json_file(tiny_release / "bert_config.json")
    return estimator.Model(config, 3)


@pytest.fixture(scope="module")
def pretrained(model, tiny_release):
    return dataclasses.replace(model, init_checkpoint=str(tiny_release / "bert_model.ckpt"))


def batch(real=(1, 1, 1)):
    ids = tf.constant([[2, 5, 6, 3], [2, 7, 8, 3], [2, 9, 3, 0]])
    values = features.Features(
        ids,
        tf.cast(ids > 0, tf.int32),
        tf.zeros_like(ids),
        tf.constant([0, 1, 2]),
        tf.constant(real),
    )
    return {name: value for name, value in values._asdict().items() if value is not None}
