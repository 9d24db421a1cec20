"""The golden model as training leaves it, and as it goes out to others."""

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import export
from bert import features as features_lib
from bert import model_folder

PIECES = ["the", "film", "was", "fine", "dull", "##ness", "Film", "naive", ",", ".", "[", "]", "a"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES, "##a"]
VOCABULARY += [f"w{index}" for index in range(40 - len(VOCABULARY))]
LABELS = ("bad", "so so", "good", "très bon", "best")
STEP = 7


def tune(folder, config, variables, **fields):
    """Make a folder as training leaves it: parts, variables, the optimiser's slots, the global step."""
    folder.mkdir()
    vocab_file = folder.parent / "words.txt"
    vocab_file.write_text("\n".join(VOCABULARY) + "\n")
    record = config_lib.ClassifierConfig(labels=LABELS, **fields)
    model_folder.Parts(config, record, str(vocab_file), None).save(folder)
    slots = {f"{name}/adam_{s}": np.ones_like(v) for name, v in variables.items() for s in "mv"}
    prefix = folder / f"model.ckpt-{STEP}"
    checkpoints.write(prefix, variables | slots | {"global_step": np.int64(STEP)})
    tf.compat.v1.train.update_checkpoint_state(str(folder), prefix.name)
    return folder


def of_pooling(golden, pooling):
    """Return the golden model's variables that a classifier of this pooling has."""
    names = classifier.variable_shapes(golden.config, len(LABELS), pooling)
    return {name: golden.variables[name] for name in names}


@pytest.fixture
def tuned(golden, tmp_path):
    def make(pooling="default", config=golden.config, **fields):
        fields = {"max_seq_length": 9, "pooling": pooling} | fields
        return tune(tmp_path / "tuned", config, of_pooling(golden, pooling), **fields)

    return make


def exported(folder):
    export.write_hugging_face(folder, folder.parent / "exported")
    return folder.parent / "exported"


def logits(golden, variables, config, pooling):
    batch = features_lib.Features(golden.input_ids, golden.input_mask, golden.segment_ids)
    tensors = {name: tf.constant(value) for name, value in variables.items()}
    return classifier.forward(tensors, config, batch, pooling=pooling).logits.numpy()
