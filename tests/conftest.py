"""What every test may use: the default weights, and a tiny BERT with a task it can learn."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from bert import checkpoints
from bert import config as config_lib
from bert import pretrained
from bert import weights

# What a TensorFlow without Estimators, Beam's requirements and an importable tensorflow-text cannot run: files that
# import these (scripts/test --current-tf).
_BOUND_TO_2_15 = re.compile(
    r"^from \w+ import (estimator|training|project|tiny_estimator|worker|distribution|bulk\w*|graph_tokenization)\b"
    r"|^from \S+ import (test_run_classifier|clusters|killed_training|saved_model)\b|^import (run_classifier|pyarrow)\b"
    r"|tensorflow_hub|tf\.estimator",
    re.MULTILINE,
)
_HERE = pathlib.Path(__file__).parent
collect_ignore = (
    []
    if hasattr(tf, "estimator")
    else [
        str(path.relative_to(_HERE))
        for path in _HERE.rglob("*.py")
        if _BOUND_TO_2_15.search(path.read_text(encoding="utf-8"))
    ]
)

needs_estimator = pytest.mark.skipif(
    not hasattr(tf, "estimator"), reason="this TensorFlow has no tf.estimator"
)

TINY_WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "the",
    "film",
    "was",
    "so",
    "very",
    "and",
    "it",
    "i",
    "me",
    "a",
    "fine",
    "dull",
    "##ness",
    "##ly",
    ",",
    ".",
    "!",
]


@pytest.fixture(scope="session")
def minilm_folder() -> pathlib.Path:
    """The default weights, from the cache or the network."""
    try:
        return pretrained.fetch("minilm-l6")
    except pretrained.PretrainedError as error:
        pytest.skip(f"the default weights cannot be had: {error}")


@pytest.fixture(scope="session")
def tiny_release(tmp_path_factory) -> pathlib.Path:
    """A Google release folder of a random BERT: 2 layers, 3 heads, width 12, 22 words."""
    folder = tmp_path_factory.mktemp("tiny_release")
    config = config_lib.BertConfig(
        len(TINY_WORDS),
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=24,
        max_position_embeddings=32,
        type_vocab_size=2,
    )
    (folder / "bert_config.json").write_text(config.to_json_string())
    (folder / "vocab.txt").write_text("\n".join(TINY_WORDS) + "\n")
    rng = np.random.default_rng(5)
    shapes = weights.encoder_shapes(config) | weights.pooler_shapes(config)
    variables = {
        name: np.ones(shape, np.float32)
        if name.endswith("gamma")
        else rng.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    checkpoints.write(folder / checkpoints.GOOGLE_CHECKPOINT, variables)
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> pathlib.Path:
    """IMDb-shaped files whose label is 1 where the text says fine, 0 where it says dull; sorted by label."""
    folder = tmp_path_factory.mktemp("tiny_data")
    rng = np.random.default_rng(6)
    filler = ["the", "film", "was", "so", "very", "and", "it", "i", "me", "a"]
    for split, count in {"train": 64, "dev": 12, "test": 9}.items():
        rows = []
        for index in range(count):
            label = int(index >= count // 2)
            words = list(rng.choice(filler, rng.integers(3, 9)))
            words.insert(rng.integers(len(words)), ("dull", "fine")[label])
            rows.append(f"{index}\t{label}\t{' '.join(words)}.\n")
        (folder / f"{split}.tsv").write_text("id\tlabel\ttext\n" + "".join(rows))
    return folder


def release_shapes(config, num_labels=2):
    """The names of google-research/bert's fine-tuned classifier, written out by hand from its checkpoints."""
    d, f = config.hidden_size, config.intermediate_size
    per_layer = {
        **{f"attention/self/{x}/kernel": (d, d) for x in ("query", "key", "value")},
        **{f"attention/self/{x}/bias": (d,) for x in ("query", "key", "value")},
        "attention/output/dense/kernel": (d, d),
        "attention/output/dense/bias": (d,),
        "attention/output/LayerNorm/beta": (d,),
        "attention/output/LayerNorm/gamma": (d,),
        "intermediate/dense/kernel": (d, f),
        "intermediate/dense/bias": (f,),
        "output/dense/kernel": (f, d),
        "output/dense/bias": (d,),
        "output/LayerNorm/beta": (d,),
        "output/LayerNorm/gamma": (d,),
    }
    return {
        "bert/embeddings/word_embeddings": (config.vocab_size, d),
        "bert/embeddings/token_type_embeddings": (config.type_vocab_size, d),
        "bert/embeddings/position_embeddings": (config.max_position_embeddings, d),
        "bert/embeddings/LayerNorm/beta": (d,),
        "bert/embeddings/LayerNorm/gamma": (d,),
        **{
            f"bert/encoder/layer_{i}/{name}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in per_layer.items()
        },
        "bert/pooler/dense/kernel": (d, d),
        "bert/pooler/dense/bias": (d,),
        "output_weights": (num_labels, d),
        "output_bias": (num_labels,),
    }


def arguments(release, data, output, *more):
    return [
        "--task_name=imdb",
        f"--data_dir={data}",
        f"--output_dir={output}",
        f"--bert_config_file={release}/bert_config.json",
        f"--vocab_file={release}/vocab.txt",
        f"--init_checkpoint={release}/bert_model.ckpt",
        "--max_seq_length=16",
        "--learning_rate=3e-3",
        "--num_train_epochs=20",
        "--train_batch_size=8",
        *more,
    ]


@pytest.fixture(scope="module")
def finished(tiny_release, tiny_data, tmp_path_factory):
    """A whole run in a process of its own, as a user starts it."""
    output = tmp_path_factory.mktemp("finished") / "out"
    command = arguments(
        tiny_release,
        tiny_data,
        output,
        "--do_train",
        "--do_eval",
        "--do_predict",
        "--attn_processor_fn=average_last_layer_by_head",
    )
    done = subprocess.run(
        [sys.executable, "run_classifier.py", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return output, done
