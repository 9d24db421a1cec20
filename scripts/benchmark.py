"""Time every explanation method against a plain prediction by the same graph kind and precision.

    python scripts/benchmark.py --model_dir out/demo --batch_size 8 --tokens 128
    python scripts/benchmark.py --size base --batch_size 1 --tokens 512

Prediction and method take turns in one process, so that what else the machine does falls on both; printed are medians
and the ratio of the medians, as a Markdown table. The texts are random words of equal length. "five in one" is
sensitivity, gradient x input, CP-LRP, AttnLRP and Chefer in one call.
"""

import argparse
import functools
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import failures
from bert import features
from bert import model_folder
from bert import tokenization
from explain import methods as methods_lib
from explain import warm

SIZES = {  # layers, width, heads
    "tiny": (2, 12, 3),
    "minilm": (6, 384, 12),
    "base": (12, 768, 12),
}
FIVE = ("gradient_sensitivity", "gradient_x_input", "cp_lrp", "attn_lrp", "chefer")
STEPS = 32
_OPTIONS = {"integrated_gradients": {"steps": STEPS, "max_steps": STEPS}}


def random_model(folder: pathlib.Path, size: str) -> None:
    """Write a classifier of two labels with random weights; how long it takes does not depend on them."""
    layers, width, heads = SIZES[size]
    config = config_lib.BertConfig(
        30522,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )
    special = [tokenization.PAD, tokenization.UNK, tokenization.CLS, tokenization.SEP]
    words = [*special, tokenization.MASK, *(f"w{index}" for index in range(30517))]
    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    record = config_lib.ClassifierConfig(
        labels=("0", "1"), max_seq_length=512, max_input_chars_per_word=200
    )
    rng = np.random.default_rng(0)
    values = {
        name: np.float32(name.endswith("gamma")) + rng.normal(0, 0.02, shape).astype(np.float32)
        for name, shape in classifier.variable_shapes(config, 2).items()
    }
    model_folder.Parts(config, record, str(vocabulary), None).save(folder)
    checkpoints.write(folder / "model.ckpt-0", values)
    tf.compat.v1.train.update_checkpoint_state(str(folder), "model.ckpt-0")


def random_rows(parts: model_folder.Parts, count: int, tokens: int) -> list[warm.Row]:
    """Return texts of exactly so many tokens."""
    vocab = parts.tokenizer().vocab
    special = features.SpecialIds.of(vocab)
    rng = np.random.default_rng(1)
    token = tokenization.Token(tokenization.UNK, 0, 0)
    ids = rng.integers(1000, len(vocab), (count, tokens - 2))
    return [
        warm.Row(
            features.Encoding((token,) * tokens, (special.cls, *row, special.sep), (0,) * tokens)
        )
        for row in ids.tolist()
    ]


def medians(first: Callable[[], object], second: Callable[[], object], repeats: int) -> list[float]:
    """Return the median seconds of two functions that take turns, after one call each that is not counted."""
    times: list[list[float]] = [[], []]
    for turn in range(repeats + 1):
        for function, taken in zip((first, second), times, strict=True):
            start = time.perf_counter()
            function()
            if turn:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def main(options: argparse.Namespace) -> None:
    """Print the table, a row as soon as it is measured."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.model_dir or pathlib.Path(scratch)
        if options.model_dir is None:
            random_model(folder, options.size)
        parts = model_folder.load(folder)
        rows = random_rows(parts, options.batch_size, options.tokens)
        config = parts.config
        print(
            f"{config.num_hidden_layers} layers, width {config.hidden_size}, {options.batch_size} x {options.tokens} "
            f"tokens, float32, {os.cpu_count()} cores, TensorFlow {tf.__version__}, median of {options.repeats}\n\n"
            "| method | predict, ms | explain, ms | ratio |\n|---|---:|---:|---:|"
        )
        groups: dict[str, Sequence[str]] = {"five in one": FIVE}
        groups |= {name: [name] for name in options.methods or methods_lib.METHODS}
        for name, asked in groups.items():
            chosen = {key: _OPTIONS[key] for key in asked if key in _OPTIONS}
            bound = methods_lib.bind(asked, chosen)
            model = warm.WarmModel(parts, bound, None, "float32")
            plain, explained = medians(
                functools.partial(model.predict, rows),
                functools.partial(model.explain, rows, "logit"),
                options.repeats,
            )
            told = f"{name} ({STEPS} steps)" if chosen else name
            print(
                f"| {told} | {1e3 * plain:.0f} | {1e3 * explained:.0f} | {explained / plain:.2f} |",
                flush=True,
            )


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_dir", type=pathlib.Path, help="a trained classifier (else --size)")
    parser.add_argument("--size", choices=SIZES, default="minilm", help="of a random model")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--methods", type=lambda text: text.split(","), help="with commas (all)")
    options = parser.parse_args(arguments)
    return failures.exit_status("benchmark.py", lambda: main(options))


if __name__ == "__main__":
    sys.exit(cli_main())
