import math

import pandas as pd
import pytest

from bert import training_log

ROWS = [
    training_log.Row(10, 0.5, 0.693147, 5e-5),
    training_log.Row(20, 1.0, None, None, 0.75, 0.7, 0.5),
    training_log.Row(20_000_001, 1.5, math.nan, 1e-5),
]


def test_rows_come_back_as_they_went(tmp_path):
    training_log.start(tmp_path, 0)
    for row in ROWS[:2]:
        training_log.append(tmp_path, row)
    assert training_log.read(tmp_path) == ROWS[:2]
    training_log.append(tmp_path, ROWS[2])
    last = training_log.read(tmp_path)[-1]
    assert last.step == 20_000_001
    assert math.isnan(last.loss)


def test_the_header_matches_every_row_and_pandas_reads_it(tmp_path):
    training_log.start(tmp_path, 0)
    for row in ROWS:
        training_log.append(tmp_path, row)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert {line.count("\t") for line in lines} == {len(training_log.Row._fields) - 1}
    table = pd.read_csv(tmp_path / "log.txt", sep="\t")
    assert list(table.columns) == list(training_log.Row._fields)
    assert table["dev_accuracy"].dropna().tolist() == [0.75]


def test_going_on_drops_the_rows_that_will_come_again(tmp_path):
    training_log.start(tmp_path, 0)
    for row in ROWS:
        training_log.append(tmp_path, row)
    assert training_log.start(tmp_path, 20) == ROWS[:2]
    assert training_log.read(tmp_path) == ROWS[:2]
    assert training_log.start(tmp_path, 0) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "log.txt:1: must be step epoch"),
        ("step\tacc\n", "log.txt:1: must be step epoch"),
        ("\t".join(training_log.Row._fields) + "\n1\t2\n", "log.txt:2: must hold 7 numbers"),
        ("\t".join(training_log.Row._fields) + "\nx" + "\t" * 6 + "\n", "log.txt:2: must hold"),
    ],
)
def test_a_file_of_another_form_is_named_with_its_line(tmp_path, content, message):
    (tmp_path / "log.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        training_log.read(tmp_path)


def test_half_a_line_of_a_run_that_was_killed_is_left_out(tmp_path):
    training_log.start(tmp_path, 0)
    training_log.append(tmp_path, ROWS[0])
    with open(tmp_path / "log.txt", "a") as file:
        file.write("20\t1")
    assert training_log.read(tmp_path) == ROWS[:1]


def test_a_row_is_known_as_it_will_be_read(tmp_path):
    row = training_log.Row(3, 1 / 3, dev_accuracy=7 / 12)
    logged = training_log.as_logged(row)
    assert logged == training_log.Row(3, 0.333333, dev_accuracy=0.583333)
    assert training_log.as_logged(logged) == logged


def evaluations(*values):
    return [training_log.Row(10 * i, 0.0, dev_accuracy=v, dev_loss=v) for i, v in enumerate(values)]


def test_the_best_is_the_first_of_the_largest_and_of_losses_the_smallest():
    rows = evaluations(0.5, 0.9, 0.7, 0.9)
    assert training_log.best(rows, "accuracy") == (10, 2)
    assert training_log.best(rows, "loss") == (0, 3)
    assert training_log.best([ROWS[0]], "accuracy") == (None, 0)


def test_losses_by_rate_leave_evaluations_out():
    assert training_log.losses_by_rate(ROWS[:2]) == [(5e-5, 0.693147)]


def test_curves_hold_every_logged_figure_and_the_last_evaluations_once_each(tmp_path):
    training_log.start(tmp_path, 0)
    for row in ROWS[:2]:
        training_log.append(tmp_path, row)
    results = "eval_accuracy = {}\neval_f1 = 0.5\neval_loss = 0.25\nglobal_step = {}\nloss = 9.0\n"
    # the dev set's are of step 20, which the log has with six digits
    (tmp_path / "eval_results.txt").write_text(results.format(0.75000001, 20))
    (tmp_path / "test_eval_results.txt").write_text(results.format(0.625, 10))
    assert training_log.curves(tmp_path) == {
        "loss": {"train": [(10, 0.693147)], "validation": [(20, 0.5)], "test": [(10, 0.25)]},
        "accuracy": {"train": [], "validation": [(20, 0.75)], "test": [(10, 0.625)]},
        "f1": {"train": [], "validation": [(20, 0.7)], "test": [(10, 0.5)]},
    }


def test_a_dev_set_read_at_the_end_only_has_its_one_evaluation(tmp_path):
    training_log.start(tmp_path, 0)
    training_log.append(tmp_path, ROWS[0])
    (tmp_path / "eval_results.txt").write_text("eval_loss = 0.5\nglobal_step = 12\n")
    found = training_log.curves(tmp_path)
    assert found["loss"] == {"train": [(10, 0.693147)], "validation": [(12, 0.5)], "test": []}
    assert found["accuracy"] == {"train": [], "validation": [], "test": []}


def test_a_folder_without_files_has_curves_without_points(tmp_path):
    found = training_log.curves(tmp_path)
    assert list(found) == ["loss", "accuracy", "f1"]
    assert all(points == [] for of_sets in found.values() for points in of_sets.values())


def test_results_of_another_form_are_named_with_their_file(tmp_path):
    (tmp_path / "eval_results.txt").write_text("accuracy: 0.5\n")
    with pytest.raises(ValueError, match=r"eval_results.txt: must hold lines as eval_accuracy ="):
        training_log.curves(tmp_path)
