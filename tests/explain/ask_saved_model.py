"""Ask a SavedModel with TensorFlow alone: `python ask_saved_model.py FOLDER < questions.json > answers.json`.

A question is a signature's name and its inputs by name. Nothing of this project is imported. Where tensorflow-text
cannot be imported, as version 2.21.0 cannot (tensorflow/text#1541), its one library that such a model needs is loaded.
"""

import importlib.util
import json
import pathlib
import sys
import time

import tensorflow as tf


def load_library() -> None:
    """Register the op that texts need, if it is installed."""
    package = importlib.util.find_spec("tensorflow_text")
    if package is not None:
        try:
            importlib.import_module("tensorflow_text")
        except ImportError:
            folder = pathlib.Path(package.submodule_search_locations[0])
            tf.load_op_library(str(folder / "python/ops/_wordpiece_tokenizer.so"))


def plain(value):
    """Return arrays as JSON has them."""
    found = value.numpy().tolist()
    return json.loads(json.dumps(found, default=bytes.decode))


if __name__ == "__main__":
    if "--plain" not in sys.argv:
        load_library()
    start = time.perf_counter()
    model = tf.saved_model.load(sys.argv[1])
    answers = {"version": tf.__version__, "seconds": time.perf_counter() - start, "answers": []}
    for name, inputs in json.load(sys.stdin):
        signature = model.signatures[name]
        _, specs = signature.structured_input_signature
        given = {key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()}
        answers["answers"].append({key: plain(v) for key, v in signature(**given).items()})
    json.dump(answers, sys.stdout)
