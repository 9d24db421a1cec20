"""The folder of a BERT small enough to be seen whole: its architecture and a vocabulary of words, before training.

It is no model of its own kind: the two files are a `bert_config.json` and a `vocab.txt`, and everything that runs,
explains or draws a BERT reads them. Leaves to others: training (`run_classifier.py`), looking inside (`anatomy`).
Source: StepanTita/nano-BERT, for what its sizes are called.
"""

import pathlib
from collections.abc import Iterable

from bert import config as config_lib
from bert import files
from bert import tokenization
from bert import word_level


def config(
    vocab_size: int,
    n_layer: int = 1,
    n_head: int = 1,
    n_embed: int = 3,
    dropout: float = 0.1,
    max_seq_len: int = 128,
    layer_norm_eps: float = 1.0,
) -> config_lib.BertConfig:
    """Return an architecture of any size, under nano-BERT's names.

    No segments are told apart (`type_vocab_size` 0), and the feed-forward layer is four times as wide as the model.

    Args:
      dropout: of embeddings, attention and layers; the classifier's own stays 0.1, as in the release.
      layer_norm_eps: added to the variance. At the release's 1e-12 a word of three numbers keeps only its direction, so
        that one seen once speaks as loud as any; at 1.0 a small row stays small. On IMDb that is worth 3 points.

    Raises:
      ValueError: the heads do not divide the width, or a size that no BERT can have.
    """
    if n_head < 1 or n_embed % n_head:
        raise ValueError(
            f"n_embed must be a multiple of n_head, got {n_embed} and {n_head}; each head takes an equal part"
        )
    return config_lib.BertConfig(
        vocab_size=vocab_size,
        hidden_size=n_embed,
        num_hidden_layers=n_layer,
        num_attention_heads=n_head,
        intermediate_size=4 * n_embed,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=max_seq_len,
        type_vocab_size=0,
        layer_norm_eps=layer_norm_eps,
    )


def write(
    folder: files.Path,
    texts: Iterable[str],
    *,
    min_count: int = 1,
    max_words: int | None = None,
    n_layer: int = 1,
    n_head: int = 1,
    n_embed: int = 3,
    dropout: float = 0.1,
    max_seq_len: int = 128,
    layer_norm_eps: float = 1.0,
) -> config_lib.BertConfig:
    """Write `vocab.txt` and `bert_config.json` of an untrained model, and return its architecture.

    Identifiers 0 to 3 are nano-BERT's special tokens; [MASK] follows, which explanations put in a word's place.

    Args:
      texts: of the training set, and of no other.
      min_count: rarer words are left out, and [UNK] is trained in their place; at 1 no training text has an [UNK].

    Raises:
      FileExistsError: the folder holds a trained model, whose words these would replace.
      ValueError: no words, or sizes that no BERT can have; nothing is written then.
    """
    if (pathlib.Path(folder) / config_lib.CLASSIFIER_FILE).exists():
        raise FileExistsError(
            f"{folder} must be a folder without a trained model, whose vocabulary would be lost; give another"
        )
    words = word_level.find_words(texts, min_count=min_count, max_words=max_words)
    tokens = (*word_level.SPECIAL_TOKENS, tokenization.MASK)
    tokenizer = word_level.WordTokenizer(words, max_seq_len=max_seq_len, special_tokens=tokens)
    made = config(
        len(tokenizer.vocab), n_layer, n_head, n_embed, dropout, max_seq_len, layer_norm_eps
    )
    tokenizer.save(pathlib.Path(folder) / config_lib.VOCAB_FILE)
    files.write_text(pathlib.Path(folder) / config_lib.CONFIG_FILE, made.to_json_string())
    return made
