"""What both sides of a benchmark work on: one model in both forms, and the same texts.

`write` makes a folder with all of it: our model, its twin for transformers, and `material.json`. Leaves to others: the
work (`benchmark_ours`, `benchmark_peers`).
"""

import itertools
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import conversion
from bert import export
from bert import model_folder
from bert import pretrained
from bert import tables
from bert import tokenization

SIZES = {  # layers, width, heads
    "tiny": (2, 12, 3),
    "minilm": (6, 384, 12),
    "base": (12, 768, 12),
}
MATERIAL = "material.json"
LENGTHS = (32, 128, 512)  # tokens of texts that are cut to length
LABELS = ("0", "1")
MADE_UP = 30517  # words, so that the vocabulary has the size of BERT's
ROOT = pathlib.Path(__file__).resolve().parent.parent
_HEAD_SPREAD = 0.3  # so that the probabilities of texts differ
_RANDOM_HEAD_SPREAD = 0.1  # over a random encoder, which magnifies what half precision rounds away
_DEFAULT_ENCODER = "minilm-l6"


def write(
    folder: str,
    *,
    size: str = "",
    model_dir: str = "",
    texts_file: str = "",
    examples: int = 64,
    pool: int = 5000,
    cut: int = 8,
    cut_to: Sequence[int] = LENGTHS,
    for_peers: bool = False,
) -> dict[str, Any]:
    """Write the material of a benchmark into an empty folder.

    Args:
      size: of a model with random weights; else `model_dir`.
      model_dir: a trained classifier; an encoder alone gets a random classifier on top.
      texts_file: table with a column `text`; none takes IMDb from $BERT_DATA_DIR, or else the sample reviews.
      examples: texts of that file, in its order.
      pool: texts of that file where many different ones are needed, in its order too.
      cut: texts of each length in tokens, [CLS] and [SEP] counted, that `cut_to` names.

    Returns:
      What `material.json` holds.

    Raises:
      ValueError, OSError: there is no such model or file.
    """
    root = pathlib.Path(folder)
    model = _random_model(root / "model", size) if size else _given_model(root / "model", model_dir)
    parts = model_folder.load(model)
    tokenizer = parts.tokenizer()
    rows = tables.read_table(_texts_file(texts_file), {"text": "the texts"})
    many = [row["text"] for _, row in itertools.islice(rows, max(pool, examples))]
    texts = many[:examples]
    material: dict[str, Any] = {
        "model": str(model),
        "exported": str(root / "exported") if for_peers else "",
        "texts": texts,
        "pool": many,
        **{str(tokens): cut_texts(tokenizer, texts, tokens, cut) for tokens in cut_to},
        "pool_size": len(many),
        "lengths": [min(512, len(ids) + 2) for ids in tokenizer.tokenize_batch(texts)],
        "config": {
            "layers": parts.config.num_hidden_layers,
            "width": parts.config.hidden_size,
            "feed_forward": parts.config.intermediate_size,
        },
    }
    if for_peers:
        export.write_hugging_face(model, root / "exported")
    (root / MATERIAL).write_text(json.dumps(material), encoding="utf-8")
    return material


def cut_texts(
    tokenizer: tokenization.FullTokenizer, texts: Sequence[str], tokens: int, count: int
) -> list[str]:
    """Return stretches of the texts, one after the other, that are so many tokens each, [CLS] and [SEP] counted."""
    pieces, joined = tokens - 2, " ".join(texts)
    found: list[str] = []
    while len(found) < count:
        located = tokenizer.tokenize_with_spans(joined)
        start = 0
        while start + pieces <= len(located) and len(found) < count:
            stretch = joined[located[start].start : located[start + pieces - 1].end]
            # one that begins or ends inside a word has other pieces than the whole
            fits = len(tokenizer.tokenize(stretch)) == pieces
            found += [stretch] * fits
            start += pieces if fits else 1
        joined += " " + joined
    return found


def _texts_file(given: str) -> pathlib.Path:
    if given:
        return pathlib.Path(given)
    imdb = pathlib.Path(os.environ.get("BERT_DATA_DIR", "")) / "imdb" / "test_5k.jsonl.gz"
    return imdb if imdb.is_file() else ROOT / "data" / "sample_reviews" / "test.tsv"


def _random_model(folder: pathlib.Path, size: str) -> pathlib.Path:
    """Write a classifier with random weights; how long it takes does not depend on them.

    It reads the words of the default weights where these are in the cache; else every word is unknown to it, and the
    texts have fewer tokens.
    """
    layers, width, heads = SIZES[size]
    config = config_lib.BertConfig(
        30522,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
    )
    folder.mkdir(parents=True)
    vocabulary = folder / "words.txt"
    if _DEFAULT_ENCODER in pretrained.cached():
        words = (pretrained.fetch(_DEFAULT_ENCODER) / "vocab.txt").read_text(encoding="utf-8")
    else:
        special = [tokenization.PAD, tokenization.UNK, tokenization.CLS, tokenization.SEP]
        names = [*special, tokenization.MASK, *(f"w{index}" for index in range(MADE_UP))]
        words = "\n".join(names) + "\n"
    vocabulary.write_text(words, encoding="utf-8")
    return _write_classifier(folder, config, vocabulary, {}, do_lower_case=True)


def _given_model(folder: pathlib.Path, model: str) -> pathlib.Path:
    """Return a trained classifier as it is, an encoder with a random classifier on top."""
    name = model or _DEFAULT_ENCODER
    try:
        model_folder.load(name)
    except FileNotFoundError:
        source = pretrained.fetch(name)
    else:
        return pathlib.Path(name)
    release = conversion.release_folder(source, pretrained.cache_dir())
    known = pretrained.lookup(name)
    checkpoint = release / checkpoints.GOOGLE_CHECKPOINT
    folder.mkdir(parents=True)
    return _write_classifier(
        folder,
        config_lib.BertConfig.from_json_file(release / config_lib.CONFIG_FILE),
        release / config_lib.VOCAB_FILE,
        checkpoints.load_variables(checkpoint, checkpoints.checkpoint_shapes(checkpoint)),
        do_lower_case=known.do_lower_case if known else True,
    )


def _write_classifier(
    folder: pathlib.Path,
    config: config_lib.BertConfig,
    vocabulary: pathlib.Path,
    known: Mapping[str, npt.NDArray[np.float32]],
    *,
    do_lower_case: bool,
) -> pathlib.Path:
    record = config_lib.ClassifierConfig(
        labels=LABELS,
        max_seq_length=min(512, config.max_position_embeddings),
        max_input_chars_per_word=200,
        do_lower_case=do_lower_case,
    )
    rng = np.random.default_rng(0)
    spreads = {"output_weights": _HEAD_SPREAD if known else _RANDOM_HEAD_SPREAD}
    values: dict[str, Any] = {
        name: np.float32(name.endswith("gamma"))
        + rng.normal(0, spreads.get(name, 0.02), shape).astype(np.float32)
        for name, shape in classifier.variable_shapes(config, len(LABELS)).items()
    }
    values |= {name: known[name] for name in values.keys() & known.keys()}
    model_folder.Parts(config, record, str(vocabulary), None).save(folder)
    checkpoints.write(folder / "model.ckpt-0", values | {"global_step": np.int64(0)})
    tf.compat.v1.train.update_checkpoint_state(str(folder), "model.ckpt-0")
    return folder
