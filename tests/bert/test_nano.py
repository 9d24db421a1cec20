import json

import pytest

from bert import anatomy
from bert import config as config_lib
from bert import nano
from bert import tokenization

TEXTS = ["So fine a film", "so dull"]


@pytest.mark.parametrize(("vocab_size", "parameters"), [(101_522, 305_123), (28_842, 87_083)])
def test_it_has_nano_berts_number_of_parameters(vocab_size, parameters):
    config = nano.config(vocab_size, n_layer=1, n_head=1, n_embed=3, max_seq_len=128)
    assert anatomy.fresh(config).parameter_count == parameters


def test_each_size_goes_where_it_belongs():
    config = nano.config(
        11, n_layer=3, n_head=2, n_embed=10, dropout=0.25, max_seq_len=7, layer_norm_eps=0.5
    )
    expected = {
        "vocab_size": 11,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "hidden_size": 10,
        "intermediate_size": 40,
        "hidden_dropout_prob": 0.25,
        "attention_probs_dropout_prob": 0.25,
        "max_position_embeddings": 7,
        "type_vocab_size": 0,
        "layer_norm_eps": 0.5,
    }
    assert expected.items() <= config.to_dict().items()


@pytest.mark.parametrize("heads", [2, 0])
def test_the_heads_must_divide_the_width(heads):
    with pytest.raises(
        ValueError, match=rf"n_embed must be a multiple of n_head, got 3 and {heads}"
    ):
        nano.config(11, n_head=heads, n_embed=3)


def test_the_folder_holds_config_and_vocabulary_of_the_texts(tmp_path):
    made = nano.write(tmp_path / "new", TEXTS, n_layer=2, n_head=2, n_embed=4, max_seq_len=9)
    assert config_lib.BertConfig.from_json_file(tmp_path / "new" / "bert_config.json") == made
    assert made.vocab_size == 10
    vocab = tokenization.load_vocab(tmp_path / "new" / "vocab.txt")
    assert list(vocab) == [*("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"), *sorted(vocab)[5:]]
    assert list(vocab)[5:] == ["a", "dull", "film", "fine", "so"]


def test_bounds_reach_the_vocabulary(tmp_path):
    assert nano.write(tmp_path, TEXTS, min_count=2).vocab_size == 5 + 1
    assert nano.write(tmp_path, TEXTS, max_words=3).vocab_size == 5 + 3


def test_nothing_is_written_for_sizes_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="n_embed must be a multiple of n_head"):
        nano.write(tmp_path / "new", TEXTS, n_head=2)
    with pytest.raises(ValueError, match="num_hidden_layers"):
        nano.write(tmp_path / "new", TEXTS, n_layer=0)
    assert not (tmp_path / "new").exists()


def test_the_vocabulary_of_a_trained_model_is_not_replaced(tmp_path):
    nano.write(tmp_path, TEXTS)
    (tmp_path / "classifier_config.json").write_text("{}")
    kept = (tmp_path / "vocab.txt").read_text()
    with pytest.raises(FileExistsError, match=r"must be a folder without a trained model"):
        nano.write(tmp_path, [*TEXTS, "more words"])
    assert (tmp_path / "vocab.txt").read_text() == kept


def test_the_config_file_says_that_no_segments_are_told_apart(tmp_path):
    nano.write(tmp_path, TEXTS)
    assert json.loads((tmp_path / "bert_config.json").read_text())["type_vocab_size"] == 0
