import json

import pytest

from bert import hugging_face
from tests.bert import hugging_face_folders as folders

folder = folders.folder


def settings(record):
    return record.do_lower_case, record.strip_accents, record.tokenize_chinese_chars


def edit_tokenizer(folder, **parts):
    whole = json.loads(folders.FILES["tokenizer.json"]) | parts
    (folder / "tokenizer.json").write_text(json.dumps(whole), encoding="utf-8")


NORMALIZER = {  # the opposite of the golden's tokenizer_config.json
    "type": "BertNormalizer",
    "clean_text": True,
    "lowercase": True,
    "strip_accents": False,
    "handle_chinese_chars": True,
}
JAPANESE = {"tokenizer_class": "BertJapaneseTokenizer"}
SILENT = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


def test_tokenizer_config_comes_before_the_tokenizer(folder):
    edit_tokenizer(folder, normalizer=NORMALIZER)
    assert settings(hugging_face.read(folder).record) == (False, True, False)


def test_the_tokenizer_speaks_where_its_config_is_silent(tmp_path):
    folder = folders.write(tmp_path, without=SILENT)
    edit_tokenizer(folder, normalizer=NORMALIZER)
    assert settings(hugging_face.read(folder).record) == (True, False, True)


def test_transformers_defaults_hold_where_all_are_silent(tmp_path):
    folder = folders.write(tmp_path, without=["tokenizer_config.json", "tokenizer.json"])
    record = hugging_face.read(folder).record
    assert settings(record) == (True, None, True)
    assert record.max_input_chars_per_word == 100


def test_null_accents_do_as_the_letter_case_does(tmp_path):
    folder = folders.write(tmp_path, tokenizer={"strip_accents": None})
    edit_tokenizer(folder, normalizer=NORMALIZER)
    assert hugging_face.read(folder).record.strip_accents is None


def test_a_model_length_that_stands_for_none_is_not_taken(tmp_path):
    folder = folders.write(tmp_path, tokenizer={"model_max_length": int(1e30)})
    assert hugging_face.read(folder).record.max_seq_length == 16


def test_the_longest_word_is_the_tokenizers(folder):
    model = json.loads(folders.FILES["tokenizer.json"])["model"]
    edit_tokenizer(folder, model=model | {"max_input_chars_per_word": 37})
    assert hugging_face.read(folder).record.max_input_chars_per_word == 37


def test_the_vocabulary_is_the_file_to_the_byte(folder):
    assert hugging_face.read(folder).vocabulary == folders.FILES["vocab.txt"]
    (folder / "vocab.txt").write_bytes("\ufeff[PAD]\r\n\r\nä\u2028b\r\n".encode())
    assert hugging_face.read(folder).vocabulary == "\ufeff[PAD]\r\n\r\nä\u2028b\r\n"


def test_without_vocab_txt_the_tokenizer_gives_the_vocabulary(tmp_path):
    model = hugging_face.read(folders.write(tmp_path, without=["vocab.txt"]))
    assert model.vocabulary == folders.FILES["vocab.txt"]


@pytest.mark.parametrize(
    ("vocabulary", "problem"),
    [
        ({"[PAD]": 0, "a": 2}, r"tokenizer.json: ids of the vocabulary must be 0 to 1, each once"),
        ({"[PAD]": 0, "a": 0}, r"tokenizer.json: ids of the vocabulary must be 0 to 1, each once"),
        ({"[PAD]": 0, "a\nb": 1}, r"a token must fit on a line of a vocab.txt, got 'a\\nb'"),
    ],
)
def test_a_vocabulary_that_no_file_of_lines_can_hold_is_refused(vocabulary, problem, tmp_path):
    folder = folders.write(tmp_path, without=["vocab.txt"])
    edit_tokenizer(folder, model={"type": "WordPiece", "vocab": vocabulary})
    with pytest.raises(ValueError, match=problem):
        hugging_face.read(folder)


def test_a_folder_without_any_vocabulary_is_refused(tmp_path):
    folder = folders.write(tmp_path, without=["vocab.txt", "tokenizer.json"])
    with pytest.raises(FileNotFoundError, match=r"must hold vocab.txt, or a vocabulary in token"):
        hugging_face.read(folder)


@pytest.mark.parametrize(
    ("part", "kind", "legal"),
    [
        ("model", "BPE", "WordPiece"),
        ("normalizer", "Precompiled", "BertNormalizer"),
        ("pre_tokenizer", "ByteLevel", "BertPreTokenizer"),
    ],
)
def test_other_tokenizers_are_named_and_refused(part, kind, legal, folder):
    edit_tokenizer(folder, **{part: {"type": kind}})
    with pytest.raises(
        ValueError, match=rf"tokenizer.json: {part} must be a {legal}, got '{kind}'"
    ):
        hugging_face.read(folder)


@pytest.mark.parametrize(
    ("left", "changes"),
    [
        (["tokenizer.json"], {"tokenizer": JAPANESE}),
        (["tokenizer.json", "tokenizer_config.json"], JAPANESE),
    ],
    ids=["tokenizer_config.json", "config.json"],
)
def test_a_tokenizer_that_is_another_program_is_refused(left, changes, tmp_path):
    folder = folders.write(tmp_path, without=left, **changes)
    with pytest.raises(ValueError, match=r"must be 'BertTokenizer', got 'BertJapaneseTokenizer'"):
        hugging_face.read(folder)


def test_the_tokenizer_itself_tells_more_than_its_class(tmp_path):
    folder = folders.write(tmp_path, tokenizer={"tokenizer_class": "DistilBertTokenizer"})
    assert settings(hugging_face.read(folder).record) == (False, True, False)


def test_tokens_added_to_the_vocabulary_are_reported(tmp_path, caplog):
    decoder = {"2": {"content": "[CLS]"}, "20": {"content": "[DRUG]"}}
    folder = folders.write(tmp_path, tokenizer={"added_tokens_decoder": decoder})
    edit_tokenizer(
        folder, added_tokens=[{"id": 3, "content": "[SEP]"}, {"id": 21, "content": "x1"}]
    )
    (folder / "added_tokens.json").write_text('{"y2": 22}')
    hugging_face.read(folder)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.endswith("added to the vocabulary are read as text: [DRUG], x1, y2")
