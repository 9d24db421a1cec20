"""A thousand malformed files: each is read right, or refused in a line that names it; nothing else, and no hang."""

import csv
import functools
import json
import shutil

import pytest
import yaml

from bert import checksums
from bert import config as config_lib
from bert import conversion
from bert import datasets
from bert import model_folder
from bert import options as options_lib
from bert import project_config
from bert import tables
from bert import tokenization
from tests import conftest
from tests.bert import hugging_face_folders
from tests.bert import malformed
from tests.explain import classifier_folder

FAST, SLOW = 30, 150  # of each kind of file
METHODS = ("rollout", "integrated_gradients")


def rows(path):
    return [row for _, row in tables.read_table(path, {"text": "--text_column"})]


def right_rows(data, separator):
    lines = data.decode("utf-8-sig").removesuffix("\n").split("\n")
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, strict=True)
    header, *cells = (row for row in reader if row)
    return [dict(zip(header, row, strict=True)) for row in cells]


def right_json_rows(data):
    lines = data.decode("utf-8-sig").split("\n")
    found = [json.loads(line, parse_int=str, parse_float=str) for line in lines if line.strip("\r")]
    spelled = {True: "true", False: "false"}
    return [
        {name: spelled.get(value, value) for name, value in row.items() if value is not None}
        for row in found
    ]


def right_vocabulary(data):
    tokens = data.decode("utf-8-sig").split("\n")
    return {token.strip(): number for number, token in enumerate(tokens) if token.strip()}


def right_json(kind, data):
    return kind(**json.loads(data.decode("utf-8-sig")))


READERS = {
    "rows.tsv": (rows, functools.partial(right_rows, separator="\t")),
    "rows.csv": (rows, functools.partial(right_rows, separator=",")),
    "rows.jsonl": (rows, right_json_rows),
    "vocab.txt": (tokenization.load_vocab, right_vocabulary),
    "bert_config.json": (
        config_lib.BertConfig.from_json_file,
        functools.partial(right_json, config_lib.BertConfig),
    ),
    "classifier_config.json": (
        lambda path: config_lib.ClassifierConfig.load(path.parent),
        functools.partial(right_json, config_lib.ClassifierConfig),
    ),
    "project.yaml": (
        functools.partial(project_config.read, methods=METHODS),
        lambda data: project_config.ProjectConfig(**yaml.safe_load(data.decode("utf-8-sig"))),
    ),
}


def attempt(read):
    """Return what was read and "", or None and why it was refused."""
    try:
        return read(), ""
    except (ValueError, OSError) as error:
        return None, str(error)


def is_read(name, number, folder):
    """Tell whether a malformed file was read, and then rightly; otherwise it was refused by its name."""
    data, path = malformed.malformed(name, number), folder / name
    path.write_bytes(data)
    read, right = READERS[name]
    found, told = attempt(functools.partial(read, path))
    if told:
        first, *more = told.splitlines()
        assert str(path) in first, (number, first)
        # of a config every problem is told, one line each
        assert not more or name.endswith((".yaml", "config.json")), number
        return False
    assert found == right(data), number
    return True


@pytest.mark.parametrize("name", malformed.GOOD)
def test_a_good_file_is_read(name, tmp_path):
    (tmp_path / name).write_text(malformed.GOOD[name], newline="")
    read, right = READERS[name]
    assert read(tmp_path / name) == right(malformed.GOOD[name].encode())


@pytest.mark.parametrize("name", malformed.GOOD)
def test_a_good_file_with_a_byte_order_mark_is_read(name, tmp_path):
    good = malformed.GOOD[name].encode()
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + good)
    read, right = READERS[name]
    assert read(tmp_path / name) == right(good)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", "[" * 100_000),
        ("rows.jsonl", '{"a": ' * 100_000),
        ("bert_config.json", "[" * 100_000),
        ("bert_config.json", '{"a": ' + "9" * 5000 + "}"),
        ("classifier_config.json", '{"a": ' * 100_000),
    ],
    ids=range(5),
)
def test_json_that_its_reader_gives_up_is_named(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"^{tmp_path / name}:.* must be .*JSON"):
        READERS[name][0](tmp_path / name)


def test_a_number_of_a_row_may_have_any_digits(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": ' + "9" * 5000 + "}")
    assert rows(tmp_path / "rows.jsonl") == [{"text": "9" * 5000}]


def test_half_a_character_in_json_is_refused_by_its_line(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "half \\ud800"}\n')
    told = r"rows\.jsonl:2: 'text' must be text of whole characters"
    with pytest.raises(ValueError, match=told):
        rows(tmp_path / "rows.jsonl")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", malformed.GOOD)
def test_a_malformed_file_is_read_right_or_refused_by_its_name(name, tmp_path):
    found = [is_read(name, number, tmp_path) for number in range(FAST)]
    assert not all(found)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", malformed.GOOD)
def test_a_thousand_malformed_files_are_read_right_or_refused_by_their_name(name, tmp_path):
    found = [is_read(name, number, tmp_path) for number in range(FAST, FAST + SLOW)]
    assert {True, False} == set(found)


@pytest.mark.parametrize("name", ["rows.tsv", "rows.csv", "rows.jsonl"])
def test_malformed_rows_become_examples_with_a_known_label_or_none_at_all(name, tmp_path):
    path, refused = tmp_path / name, 0
    for number in range(FAST):
        path.write_bytes(malformed.malformed(name, number))
        options = options_lib.DataConfig(train_file=str(path), label_map="pos=1,neg=0")
        read = datasets.FileProcessor(options).get_train_examples
        found, told = attempt(functools.partial(read, ""))
        refused += bool(told)
        assert not told or str(path) in told, number
        assert {example.label for example in found or ()} <= {"0", "1"}
    assert refused > FAST // 3


@pytest.fixture
def trained(tiny_release, tmp_path):
    folder = classifier_folder.make(tmp_path / "trained", tiny_release)
    (folder / checksums.SUMS).unlink()  # which would tell of a change before the file is read
    return folder


def ids_of_a_text(folder):
    parts = model_folder.load(folder)
    return parts.encode(
        parts.tokenizer(), datasets.InputExample("1", "the film was fine")
    ).input_ids


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "count", [10, pytest.param(100, marks=pytest.mark.slow)], ids=["some", "many"]
)
@pytest.mark.parametrize("name", ["vocab.txt", "bert_config.json", "classifier_config.json"])
def test_a_folder_with_a_malformed_file_gives_its_parts_or_says_which(trained, name, count):
    for number in range(count):
        (trained / name).write_bytes(malformed.malformed(name, number))
        ids, told = attempt(functools.partial(ids_of_a_text, trained))
        assert not told or str(trained) in told, number
        assert max(ids or (0,)) < len(conftest.TINY_WORDS), number


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_wrong_types_in_a_hugging_face_folder_name_the_folder(name, tmp_path):
    folder = hugging_face_folders.write(tmp_path / "theirs")
    good, refused = json.loads((folder / name).read_text()), 0
    for key in good:
        for wrong in malformed.WRONG:
            (folder / name).write_text(json.dumps(good | {key: wrong}))
            read = functools.partial(conversion.release_folder, folder, tmp_path / "cache")
            _, told = attempt(read)
            assert not told or str(folder) in told, (key, wrong)
            refused += bool(told)
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert refused > len(good)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: &a [x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
                for old, new in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "more than 10000 values where aliases are followed",
        ),
        (
            "a: &a {x: 1}\n"
            + "".join(
                f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n"
                for old, new in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "more than 10000 values where aliases are followed",
        ),
        ("model: &a [*a]\n", "more than 10000 values where aliases are followed"),
        ("model: " + "[" * 3000, "more than 500 lists and mappings in brackets"),
        ("model: " + "{a: " * 3000, "more than 500 lists and mappings in brackets"),
        ("seed: " + "1:" * 500_000 + "1", "more than 100000 characters"),
        ("- " * 3000, "maximum recursion depth exceeded"),
        ("seed: 0x" + "f" * 6000, r"Exceeds the limit \(4300 digits\)"),
        ("seed: !!int x", "invalid literal for int"),
        ("seed: !!bool maybe", "'maybe'"),
        ("seed: 2020-99-99", "month must be in 1..12"),
        ("model: nul \0", "special characters are not allowed"),
        ("!!str {=: x}: y\nmodel: a", "1: a key must be text, got a list or mapping"),
    ],
    ids=[
        "laughs",
        "merges",
        "ring",
        "lists",
        "mappings",
        "sixties",
        "dashes",
        "digits",
        "int",
        "bool",
        "date",
        "nul",
        "key",
    ],
)
def test_yaml_that_would_take_hours_or_has_no_value_is_refused_at_once(text, told, tmp_path):
    path = tmp_path / "project.yaml"
    path.write_text(text)
    with pytest.raises(project_config.ConfigError, match=told) as caught:
        project_config.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("home", [r"~\0", r"~\uD800"])
def test_a_path_of_nobodys_home_is_a_problem_of_its_key(home, tmp_path):
    path = tmp_path / "project.yaml"
    path.write_text(malformed.GOOD["project.yaml"].replace("data/train.csv", f'"{home}"'))
    told = rf"^{path}:2: data_path: .*\n{path}:2: data_path: must be a file, got '~\\"
    with pytest.raises(project_config.ConfigError, match=told):
        project_config.read(path, reads_data=True)


@pytest.mark.parametrize("name", ["a\x85b", "a\u2028b", "\ufeffé", " 電\n", "\x7f\x80\x9f"])
def test_a_saved_project_keeps_every_character_of_a_name(name, tmp_path):
    path = tmp_path / "project.yaml"
    path.write_text(malformed.GOOD["project.yaml"])
    project = project_config.read(path).changed(output_dir=name)
    project.save(path)
    assert project_config.read(path) == project


def test_aliases_that_stay_small_are_followed(tmp_path):
    path = tmp_path / "project.yaml"
    path.write_text(malformed.GOOD["project.yaml"] + "dev_path: &d data/dev.csv\ntest_path: *d\n")
    assert project_config.read(path).test_path == "data/dev.csv"


@pytest.mark.timeout(60)
def test_a_row_of_a_hundred_thousand_columns_takes_no_time_of_their_square(tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    header = tmp_path / "wide.csv"
    header.write_text(",".join([*names, "c99999"]) + "\n")
    with pytest.raises(ValueError, match=r"got 'c99999' more than once; rename or remove one$"):
        list(tables.read_table(header, {}))
    keys = tmp_path / "wide.jsonl"
    keys.write_text("{" + ", ".join(f'"{name}": 1' for name in [*names, "c99999"]) + "}")
    with pytest.raises(ValueError, match=r"\('c99999' more than once\)"):
        list(tables.read_table(keys, {}))


def test_a_message_lists_twenty_names_and_the_number_of_the_others(tmp_path):
    path = tmp_path / "wide.tsv"
    path.write_text("\t".join(f"c{number}" for number in range(25)) + "\n")
    with pytest.raises(ValueError, match=r"found 'c0', .*, 'c19' and 5 more$"):
        list(tables.read_table(path, {"text": ""}))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_hidden_layers": 10**9}, "less than or equal to 1000"),
        ({"hidden_size": 2**31}, "less than 2147483648"),
        ({"initializer_range": float("inf")}, "finite"),
        ({"layer_norm_eps": float("nan")}, "finite"),
    ],
)
def test_sizes_that_no_memory_holds_are_refused(change, told, tmp_path):
    path = tmp_path / "bert_config.json"
    path.write_text(json.dumps(json.loads(malformed.GOOD[path.name]) | change))
    with pytest.raises(
        ValueError, match=rf"^{path}: 1 problem.*\n  {next(iter(change))}: .*{told}"
    ):
        config_lib.BertConfig.from_json_file(path)


@pytest.mark.parametrize("field", ['"labels": ["a", "b\\ud800"]', '"pooling": "a\\ud800:b"'])
def test_half_a_character_in_a_record_is_refused(field, tmp_path):
    path = tmp_path / "classifier_config.json"
    path.write_text(f"{{{field}}}")
    with pytest.raises(ValueError, match=rf"^{path}: 1 problem.*\n  \w+.*: .*unicode string"):
        config_lib.ClassifierConfig.load(tmp_path)


def test_a_class_named_twice_is_refused(tmp_path):
    path = tmp_path / "classifier_config.json"
    path.write_text('{"labels": ["a", "b", "a"]}')
    with pytest.raises(ValueError, match=r"labels: .*must name each class once"):
        config_lib.ClassifierConfig.load(tmp_path)
