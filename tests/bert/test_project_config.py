import pathlib

import pytest
import yaml

from bert import options as options_lib
from bert import project_config

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEEDED = {
    "model": "minilm-l6",
    "data_path": "reviews.csv",
    "output_dir": "out",
    "batch_size": 16,
    "num_epochs": 2,
    "attention_layers": [0, 5, -1],
}
METHODS = ("integrated_gradients", "rollout")


def config_file(folder, values):
    path = folder / "config.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False))
    return path


def problems_of(path, **checks):
    with pytest.raises(project_config.ConfigError) as caught:
        project_config.read(path, **checks)
    return str(caught.value).replace(f"{path}", "F").splitlines()


def test_the_six_keys_are_enough_and_the_rest_has_the_defaults_of_the_command_line(tmp_path):
    config = project_config.read(config_file(tmp_path, NEEDED))
    assert (config.model, config.data_path, config.output_dir) == (
        "minilm-l6",
        "reviews.csv",
        "out",
    )
    assert (config.batch_size, config.num_epochs, config.attention_layers) == (16, 2, (0, 5, -1))
    defaults = options_lib.RunConfig.model_fields
    for name in ("learning_rate", "max_seq_length", "seed", "truncation", "save_checkpoints_steps"):
        assert getattr(config, name) == defaults[name].default
    assert (config.method, config.target) == (("integrated_gradients",), "predicted")
    assert (config.dev_fraction, config.word_scores, config.long_text) == (0.1, "sum", "cut")


def test_all_problems_come_at_once_one_line_each_with_file_line_and_key(tmp_path):
    path = config_file(
        tmp_path,
        "model: minilm-l6\n"
        "data_path: gone.csv\n"
        "batchsize: 16  # misspelt\n"
        "num_epochs: many\n"
        "attention_layers: [0, 6, -7, 5, -6]\n"
        "method: [integrated_gradient, rollout, 'mine:explain']\n"
        "dev_fraction: 1.0\n",
    )
    lines = problems_of(path, count_layers={"minilm-l6": 6}.get, methods=METHODS, reads_data=True)
    assert [line.split(": ")[:2] for line in lines] == [
        ["F", "output_dir"],
        ["F", "batch_size"],
        ["F:2", "data_path"],
        ["F:3", "batchsize"],
        ["F:4", "num_epochs"],
        ["F:5", "attention_layers"],
        ["F:6", "method"],
        ["F:7", "dev_fraction"],
    ]
    assert lines[0].startswith("F: output_dir: is required; add `output_dir: ...`")
    assert lines[3] == "F:3: batchsize: unknown key; did you mean 'batch_size'?"
    assert "got 'many'" in lines[4]
    assert lines[5].endswith("must be from -6 to 5 in a model of 6 layers, got 6, -7")
    assert lines[6].endswith("got 'integrated_gradient'; did you mean 'integrated_gradients'?")
    assert "'gone.csv', which is not there in " in lines[2]


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_named(tmp_path, key):
    values = {name: value for name, value in NEEDED.items() if name != key}
    (line,) = problems_of(config_file(tmp_path, values))
    assert line.startswith(f"F: {key}: is required")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", 12),
        ("model", ""),
        ("data_path", ["a.csv", "b.csv"]),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("batch_size", True),
        ("num_epochs", float("inf")),
        ("attention_layers", 5),
        ("attention_layers", "all"),
        ("attention_layers", [0, "last"]),
        ("attention_layers", None),
        ("output_dir", "gs://bucket/out"),
        ("output_dir", "out [2]"),
        ("learning_rate", "fast"),
        ("max_seq_length", 2),
        ("method", []),
        ("long_text", "windows"),
        ("word_scores", "median"),
        ("target", None),
        ("seed", -1),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_what_came(tmp_path, key, value):
    path = config_file(tmp_path, NEEDED | {key: value})
    texts = path.read_text().splitlines()
    (number,) = [i for i, text in enumerate(texts, start=1) if text.startswith(f"{key}:")]
    (line,) = problems_of(path)
    assert line.startswith(f"F:{number}: {key}: ")
    assert "must " in line
    assert "got " in line


def test_a_key_unlike_any_other_is_answered_with_the_list(tmp_path):
    (line,) = problems_of(config_file(tmp_path, NEEDED | {"zzz": 1}))
    assert "zzz: unknown key; the keys are model, data_path, " in line


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = config_file(tmp_path, yaml.safe_dump(NEEDED) + "batch_size: 8\n")
    (line,) = problems_of(path)
    assert line == "F:10: batch_size: stands twice, first in line 5"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n- b\n", "F:1: must hold `key: value` lines"),
        ("", "F:1: must hold `key: value` lines"),
        ("model: [a\nbatch_size: 3\n", "F:2: must be YAML"),
        ("model: a\n\tbatch_size: 3\n", "F:2: must be YAML"),
        ("model: !!python/name:os.system\n", "F:1: must be YAML"),
    ],
)
def test_what_is_no_mapping_is_refused_with_its_line(tmp_path, text, expected):
    (line,) = problems_of(config_file(tmp_path, text))
    assert line.startswith(expected)


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path):
    (line,) = problems_of(tmp_path / "none.yaml")
    assert line == "F must be a YAML file, but there is none; check the path"
    (tmp_path / "latin.yaml").write_bytes(b"model: caf\xe9\n")
    (line,) = problems_of(tmp_path / "latin.yaml")
    assert line.startswith("F: must be UTF-8 text")


def test_a_model_that_cannot_be_had_is_a_problem_of_its_key(tmp_path):
    def no_network(model):
        raise OSError(f"weights {model!r} could not be fetched")

    (line,) = problems_of(config_file(tmp_path, NEEDED), count_layers=no_network)
    assert line == "F:1: model: weights 'minilm-l6' could not be fetched"


class Named:
    def __init__(self, name):
        self.name = name.rpartition(":")[2]


def test_options_are_those_of_the_methods_asked_for_and_all_of_them_are_checked(tmp_path):
    given = {"rollout": {"residual": True}, "explain": {"depth": 2}}
    config = project_config.read(config_file(tmp_path, NEEDED | {"method_options": given}))
    checked = []

    def bind(names, options):
        checked.append((names, options))
        return [Named(name) for name in names]

    found = project_config.options_of_methods(config, ["mine:explain"], METHODS, bind)
    assert found == {"explain": {"depth": 2}}
    assert checked == [(["mine:explain", "rollout"], given)]


def test_what_methods_cannot_have_is_the_configs_problem(tmp_path):
    config = project_config.read(config_file(tmp_path, NEEDED))

    def refuse(names, options):
        raise ValueError(f"no method {names[0]}")

    with pytest.raises(project_config.ConfigError, match=r"method_options: no method rolout$"):
        project_config.options_of_methods(config, ["rolout"], METHODS, refuse)


@pytest.mark.parametrize("key", ["model", "output_dir", "data_path", "dev_path", "test_path"])
def test_every_path_may_begin_at_home(tmp_path, monkeypatch, key):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = project_config.read(config_file(tmp_path, NEEDED | {key: "~/there"}))
    assert getattr(config, key) == f"{tmp_path}/there"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [([], ()), ([0, 5, 11], (0, 5, 11)), ([-1, -12], (11, 0)), ([11, -1, 3], (11, 3))],
)
def test_layers_count_from_either_end_and_each_is_drawn_once(layers, expected):
    assert project_config.resolve_layers(layers, 12) == expected


def test_a_layer_that_is_not_there_is_refused_with_the_range():
    with pytest.raises(project_config.ConfigError, match=r"from -12 to 11 .* got 12, -13"):
        project_config.resolve_layers([0, 12, -13], 12)


def test_yaml_1_1s_numbers_without_a_dot_and_methods_with_commas_are_read(tmp_path):
    text = yaml.safe_dump(NEEDED) + "learning_rate: 5e-5\nmethod: rollout, mine:explain\n"
    config = project_config.read(config_file(tmp_path, text), methods=METHODS)
    assert config.learning_rate == 5e-5
    assert config.method == ("rollout", "mine:explain")


def test_the_saved_config_says_the_same(tmp_path):
    values = NEEDED | {"label_map": "güt=1,schlecht=0", "target": 1, "method": list(METHODS)}
    config = project_config.read(config_file(tmp_path, values))
    config.save(tmp_path / "resolved.yaml")
    assert project_config.read(tmp_path / "resolved.yaml") == config
    assert "güt" in (tmp_path / "resolved.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load((tmp_path / "resolved.yaml").read_text())["seed"] == config.seed


def test_the_training_is_the_one_that_the_command_line_would_run(tmp_path):
    data = tmp_path / "reviews.csv"
    data.touch()
    values = {"data_path": str(data), "learning_rate": 1e-3, "text_column": "review", "seed": 7}
    options = project_config.read(config_file(tmp_path, NEEDED | values)).options()
    assert (options.train_file, options.dev_file) == (str(data), None)
    assert (options.train_batch_size, options.num_train_epochs) == (16, 2)
    assert (options.learning_rate, options.text_column, options.seed) == (1e-3, "review", 7)
    assert (options.do_train, options.do_eval, options.do_predict) == (True, False, False)


def test_the_help_names_every_key_with_its_meaning():
    told = project_config.describe()
    for name, field in project_config.ProjectConfig.model_fields.items():
        assert f"  {name} (" in told
        assert field.description
        assert field.description in told
    assert "batch_size (required)" in told
    assert "method (default integrated_gradients)" in told


def test_the_committed_config_is_whole_and_speaks_of_files_that_are_there(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = project_config.read(
        "scripts/config.yaml", count_layers={"minilm-l6": 6}.get, methods=METHODS, reads_data=True
    )
    assert config.attention_layers == (0, 3, -1)
    commented = [
        line.removeprefix("# ").partition("#")[0]
        for line in (ROOT / "scripts" / "config.yaml").read_text().splitlines()
        if line.startswith("# ") and ": " in line.partition("#")[2] and line.count("#") == 2
    ]
    assert len(commented) == 6
    (key_names,) = [set(yaml.safe_load("\n".join(commented)))]
    assert key_names <= set(project_config.ProjectConfig.model_fields)
