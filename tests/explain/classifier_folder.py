"""A folder of a random classifier with three labels, as a training leaves one behind, made in a moment."""

import pathlib

import numpy as np
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import model_folder
from tests import conftest

LABELS = ("bad", "good", "so-so")
LENGTH = 12


def make(
    folder: pathlib.Path, release: pathlib.Path, *, seed: int = 11, **settings
) -> pathlib.Path:
    """Write the folder; `release` brings config and vocabulary, `settings` go to its record."""
    config = config_lib.BertConfig.from_json_file(release / config_lib.CONFIG_FILE)
    record = config_lib.ClassifierConfig(
        **({"labels": LABELS, "max_seq_length": LENGTH} | settings)
    )
    rng = np.random.default_rng(seed)
    values = {
        name: (1.0 if name.endswith("gamma") else 0.0)
        + rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in classifier.variable_shapes(
            config, len(record.labels), record.pooling
        ).items()
    }
    model_folder.Parts(config, record, str(release / config_lib.VOCAB_FILE), None).save(folder)
    checkpoints.write(folder / "model.ckpt-7", values | {"global_step": np.int64(7)})
    tf.compat.v1.train.update_checkpoint_state(str(folder), "model.ckpt-7")
    return folder


WORDS = [word for word in conftest.TINY_WORDS if word.isalpha()]
"""Words that the vocabulary holds whole."""
