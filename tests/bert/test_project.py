import collections

import pytest

from bert import datasets
from bert import project
from bert import project_config
from bert import training

TRICKY = 'It was "fine", said the film,\nand it was.'


def reviews(counts):
    """Examples of each label in turn, told apart by their guid."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [datasets.InputExample(f"g{i}", "it", None, label) for i, label in enumerate(labels)]


@pytest.fixture
def build_config(tiny_release, tmp_path):
    """Return a function that makes a config for the tiny weights and a table of texts and labels."""

    def build(table=None, name="reviews.csv", **values):
        path = tmp_path / name
        if table is not None:
            path.write_text(table, encoding="utf-8")
        required = {
            "model": str(tiny_release),
            "data_path": str(path),
            "output_dir": str(tmp_path / "out"),
            "batch_size": 4,
            "num_epochs": 1,
            "attention_layers": (),
            "max_seq_length": 16,
        }
        return project_config.ProjectConfig(**(required | values))

    return build


def table(text="text", label="label", rows=8):
    body = [
        f'"the film was {("dull", "fine")[i % 2]}.",{("bad", "good")[i % 2]}' for i in range(rows)
    ]
    return "\n".join([f"{text},{label}", *body]) + "\n"


def test_a_tenth_of_every_label_is_held_out_by_the_seed_alone():
    examples = reviews({"a": 40, "b": 20, "c": 4, "d": 1})
    train, dev = project.hold_out(examples, 0.1, 3)
    assert collections.Counter(e.label for e in dev) == {"a": 4, "b": 2, "c": 1}
    assert sorted([*train, *dev], key=examples.index) == examples
    assert [*train] == sorted(train, key=examples.index)
    assert project.hold_out(examples, 0.1, 3) == (train, dev)
    assert project.hold_out(examples, 0.1, 4)[1] != dev


def test_nothing_and_nearly_all_can_be_held_out():
    examples = reviews({"a": 3, "b": 2})
    assert project.hold_out(examples, 0.0, 1) == (examples, [])
    train, dev = project.hold_out(examples, 0.99, 1)
    assert collections.Counter(e.label for e in train) == {"a": 1, "b": 1}
    assert len(dev) == 3


@pytest.mark.parametrize(
    "names", [("text", "label"), ("sentence", "sentiment"), ("review", "sentiment")]
)
def test_the_usual_column_names_need_no_saying(build_config, names):
    found = project.prepare(build_config(table(*names), dev_fraction=0.25))
    assert (found.options.text_column, found.options.label_column) == names
    assert found.parts.labels == ["bad", "good"]
    assert [len(found.train), len(found.dev)] == [6, 2]
    assert {(e.text_a, e.label) for e in found.train} == {
        ("the film was dull.", "bad"),
        ("the film was fine.", "good"),
    }


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.tsv"])
def test_quotes_commas_and_newlines_inside_a_text_are_kept(build_config, name):
    separator = "," if name.endswith("csv") else "\t"
    quoted = '"' + TRICKY.replace('"', '""') + '"'
    rows = [f"{quoted}{separator}good", f"dull{separator}bad"]
    content = "\n".join([f"text{separator}label", *rows]) + "\n"
    found = project.prepare(build_config(content, name, dev_fraction=0))
    assert [(e.text_a, e.label) for e in found.train] == [(TRICKY, "good"), ("dull", "bad")]


def test_json_lines_are_read_too(build_config):
    content = '{"sentence": "fine, \\"so\\" fine", "label": 1}\n{"sentence": "dull", "label": 0}\n'
    found = project.prepare(build_config(content, "reviews.jsonl", dev_fraction=0))
    assert [(e.text_a, e.label) for e in found.train] == [('fine, "so" fine', "1"), ("dull", "0")]


def test_an_unlabelled_first_row_of_json_lines_is_named_not_its_column_missed(build_config):
    content = '{"text": "fine", "label": null}\n{"text": "dull", "label": 0}\n'
    with pytest.raises(ValueError, match=r"reviews.jsonl:1: 'label' must be text .*, got null"):
        project.prepare(build_config(content, "reviews.jsonl"))


def test_a_column_of_another_name_is_asked_for_by_its_key(build_config):
    config = build_config(table("comment", "label"))
    with pytest.raises(
        ValueError,
        match=r"csv:1: must have a column named 'text' or 'sentence' or 'review', found 'comment', 'label'; "
        r"name yours with text_column",
    ):
        project.prepare(config)
    named = project.prepare(config.changed(text_column="comment"))
    assert named.train[0].text_a.startswith("the film was")


def test_a_file_without_rows_is_refused(build_config):
    with pytest.raises(ValueError, match=r"must hold a header and at least one row, got none"):
        project.prepare(build_config("text,label\n"))


def test_a_dev_file_takes_the_place_of_held_out_rows(build_config, tmp_path):
    (tmp_path / "dev.csv").write_text(table(rows=3))
    found = project.prepare(build_config(table(), dev_path=str(tmp_path / "dev.csv")))
    assert [len(found.train), len(found.dev)] == [8, 3]


def test_a_training_is_evaluated_and_goes_on_only_with_the_same_rows_held_out(build_config):
    config = build_config(table(rows=40), num_epochs=25, learning_rate=3e-3, dev_fraction=0.2)
    found = project.prepare(config)
    steps = []
    plan = project.run(found, lambda step, loss: steps.append(step))
    assert isinstance(plan, training.Plan)
    assert plan.is_finished
    assert steps == [*range(1, 201)]
    result = project.evaluate(found, found.dev)
    assert (result.right, result.count, result.accuracy) == (8, 8, 1.0)
    assert result.confusion.tolist() == [[4, 0], [0, 4]]
    assert "eval_accuracy = 1.0" in (found.folder / "eval_results.txt").read_text()
    assert project_config.read(found.folder / "resolved_config.yaml") == config

    assert project.prepare(config.changed(num_epochs=30)).plan().done == 200
    with pytest.raises(
        ValueError, match=r"as it was begun, .* seed \(12345 there, 7 now\); restore"
    ):
        project.prepare(config.changed(seed=7))


def test_a_config_of_the_users_own_in_the_output_folder_stays_as_it_is(build_config, monkeypatch):
    found = project.prepare(build_config(table()))
    monkeypatch.setattr(project.training, "train", lambda *arguments: found.plan())
    found.folder.mkdir()
    (found.folder / "config.yaml").write_text("seed: 7  # my lucky one\n")
    project.run(found, lambda step, loss: None)
    assert (found.folder / "config.yaml").read_text() == "seed: 7  # my lucky one\n"
    assert project_config.read(found.folder / "resolved_config.yaml") == found.config
    assert project.prepare(found.config).config == found.config


def test_examples_without_labels_are_not_evaluated(build_config):
    found = project.prepare(build_config(table()))
    with pytest.raises(ValueError, match=r"must have labels, got none for g1; label or remove it"):
        project.evaluate(found, [datasets.InputExample("g1", "it")])
