import logging

import numpy as np
import pytest

from bert import checkpoints
from bert import classifier
from bert import config as config_lib
from bert import conversion
from bert import features
from bert import hugging_face
from bert import tf_hub
from bert import tokenization
from bert import weights
from tests.bert import hugging_face_folders as folders

FLOAT32 = 1e-5  # a few operations' rounding, on logits of about 1


@pytest.fixture
def folder(tmp_path):
    return folders.write(tmp_path / "model")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def test_a_converted_classifier_equals_transformers_from_text_to_logits(folder, cache):
    release = conversion.release_folder(folder, cache)
    config = config_lib.BertConfig.from_json_file(release / "bert_config.json")
    record = config_lib.ClassifierConfig.load(release)
    tokenizer = tokenization.FullTokenizer(
        release / "vocab.txt",
        record.do_lower_case,
        strip_accents=record.strip_accents,
        tokenize_chinese_chars=record.tokenize_chinese_chars,
    )
    encodings = [features.encode(tokenizer, *pair, record.max_seq_length) for pair in folders.PAIRS]
    golden = {name: folders.ARRAYS[f"inputs/{name}"] for name in ("input_ids", "token_type_ids")}
    mask = folders.ARRAYS["inputs/attention_mask"]
    for row, encoding in enumerate(encodings):
        real = mask[row] == 1
        assert encoding.input_ids == tuple(golden["input_ids"][row, real])
        assert encoding.segment_ids == tuple(golden["token_type_ids"][row, real])
    shapes = classifier.variable_shapes(config, len(record.labels), record.pooling)
    checkpoint = release / checkpoints.GOOGLE_CHECKPOINT
    report = checkpoints.compare(checkpoint, shapes, shapes)
    assert (report.missing, report.ignored) == ((), ())
    batch = features.Features(
        *(x.astype(np.int32) for x in (golden["input_ids"], mask, golden["token_type_ids"]))
    )
    variables = checkpoints.load_variables(checkpoint, shapes)
    outputs = classifier.forward(variables, config, batch, pooling=record.pooling)
    np.testing.assert_allclose(outputs.logits, folders.ARRAYS["logits"], atol=FLOAT32)


def test_a_converted_folder_is_a_google_release_with_a_record(folder, cache, caplog):
    caplog.set_level(logging.INFO)
    release = conversion.release_folder(folder, cache)
    assert release.parent == cache / "converted"
    assert sorted(path.name for path in release.iterdir()) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "classifier_config.json",
        "vocab.txt",
    ]
    model = hugging_face.read(folder)
    assert config_lib.ClassifierConfig.load(release) == model.record
    assert config_lib.BertConfig.from_json_file(release / "bert_config.json") == model.config
    assert (release / "vocab.txt").read_bytes() == (folder / "vocab.txt").read_bytes()
    assert f"converted {folder} into {release}" in caplog.text


def test_a_google_release_is_used_as_it_is(tiny_release, cache):
    assert conversion.release_folder(tiny_release, cache) == tiny_release
    assert not cache.exists()


def test_a_folder_is_converted_once(folder, cache, monkeypatch):
    first = conversion.release_folder(folder, cache)
    monkeypatch.setattr(hugging_face, "read", lambda _: pytest.fail("converted twice"))
    (folder / "README.md").write_text("New.")
    assert conversion.release_folder(folder, cache) == first


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "vocab.txt"])
def test_another_file_beside_the_same_weights_is_another_model(name, folder, cache):
    first = conversion.release_folder(folder, cache)
    (folder / name).write_text((folder / name).read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert conversion.release_folder(folder, cache) != first


def test_another_version_of_the_conversion_converts_anew(folder, cache, monkeypatch):
    first = conversion.release_folder(folder, cache)
    monkeypatch.setattr(conversion, "_VERSION", b"another")
    assert conversion.release_folder(folder, cache) != first


def test_a_conversion_that_was_killed_leaves_nothing_that_looks_whole(folder, cache, monkeypatch):
    write = checkpoints.write

    def killed(prefix, variables):
        write(prefix, variables)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            conversion.release_folder(folder, cache)
    assert list((cache / "converted").iterdir()) == []
    release = conversion.release_folder(folder, cache)
    assert (release / "bert_model.ckpt.index").is_file()


def test_whoever_converts_at_the_same_time_gets_the_same_folder(folder, cache, monkeypatch):
    write = checkpoints.write
    others = []

    def overtaken(prefix, variables):
        write(prefix, variables)
        if not others:
            others.append(None)
            others.append(conversion.release_folder(folder, cache))

    monkeypatch.setattr(checkpoints, "write", overtaken)
    release = conversion.release_folder(folder, cache)
    assert others[1] == release
    assert list(release.parent.iterdir()) == [release]


def test_a_cache_that_cannot_be_written_is_an_error(folder, cache, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(PermissionError):
        conversion.release_folder(folder, cache)


def test_a_saved_model_is_read_by_its_own_room_and_known_by_its_name(folder, cache, monkeypatch):
    read = []

    def read_golden(source):
        read.append(source)
        return hugging_face.read(folder)

    monkeypatch.setattr(tf_hub, "read", read_golden)
    saved = []
    for name in ("bert_A-4", "bert_A-5"):  # a SavedModel's name may tell its heads
        saved.append(cache.parent / name)
        (saved[-1] / "variables").mkdir(parents=True)
        (saved[-1] / "saved_model.pb").touch()
    releases = {conversion.release_folder(path, cache) for path in [*saved, *saved]}
    assert read == saved
    assert len(releases) == 2
    (saved[0] / "variables" / "variables.index").touch()
    assert conversion.release_folder(saved[0], cache) not in releases


def test_a_folder_of_neither_kind_lists_the_legal_ones(tmp_path, cache):
    with pytest.raises(
        FileNotFoundError,
        match=r"Google release \(bert_model.ckpt.index\), a Hugging Face folder \(",
    ):
        conversion.release_folder(tmp_path, cache)


def test_minilm_gives_every_variable_of_its_encoder(minilm_folder, tmp_path):
    release = conversion.release_folder(minilm_folder, tmp_path)
    config = config_lib.BertConfig.from_json_file(release / "bert_config.json")
    wanted = classifier.variable_shapes(config, 2, "global_average_pool")
    checkpoint = release / checkpoints.GOOGLE_CHECKPOINT
    report = checkpoints.compare(checkpoint, wanted, weights.encoder_shapes(config))
    assert len(report.initialised) == 5 + 16 * 6
    assert report.missing == ("output_weights", "output_bias")
    assert report.ignored == ("bert/pooler/dense/bias", "bert/pooler/dense/kernel")
