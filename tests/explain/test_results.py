"""Lines of an evaluation to figures and tables, on lines made by hand."""

import json
import math

import numpy as np
import pytest

from explain import evaluation_files
from explain import evaluation_gallery
from explain import explanation
from explain import rationales
from explain import results
from explain import results_page
from explain import statistics
from explain import words

METRICS = {"infidelity": 2.0, "infidelity_scaled": 0.5}
SETTINGS = {
    "seed": 3,
    "draws": 20,
    "protocols": {"decompx": {"removal": "mask"}},
    "rationale": "4 tokens",
}
GOOD = (0.6, 0.7, 0.8, 0.9, 0.7, 0.8)
POOR = (0.2, 0.4, 0.1, 0.3, 0.2, 0.3)
FLOOR = (0.3, 0.3, 0.2, 0.2, 0.3, 0.2)


def line(index, good, poor, floor, gold=1):
    return {
        "guid": f"g{index}",
        "gold": gold,
        "predicted": 1,
        "probabilities": [0.25, 0.75],
        "words": [["Fine,", 0, 5, 0], ["film", 6, 10, 0]],
        "scores": {"good": [1.0, -0.5], "poor": [0.25, 0.25]},
        "signed": {"good": True, "poor": False},
        "measures": {
            "good": {
                "decompx": {"aopc": good},
                "deletion": {"auc": 1 - good, "curve": [1.0, good]},
            },
            "poor": {
                "decompx": {"aopc": poor},
                "deletion": {"auc": 1 - poor, "curve": [1.0, poor]},
            },
        },
        "floor": {
            "decompx": {"aopc": floor},
            "deletion": {"auc": 1 - floor, "curve": [1.0, floor]},
        },
    }


@pytest.fixture
def lines():
    rows = zip(GOOD, POOR, FLOOR, (1, 1, 0, 1, None, 1), strict=True)
    return [line(index, *row) for index, row in enumerate(rows)]


def find(found, **wanted):
    (row,) = [row for row in found if all(row[key] == value for key, value in wanted.items())]
    return row


def test_a_row_is_the_mean_over_texts_with_its_interval_beside_the_floor(lines):
    row = find(results.summarise(lines, SETTINGS)["rows"], method="good", metric="aopc")
    expected = statistics.bootstrap_mean(GOOD, 3)
    assert (row["value"], row["low"], row["high"], row["n"]) == expected
    assert row["floor"] == pytest.approx(0.25)
    beside = statistics.paired_difference(GOOD, FLOOR, 3)
    assert (row["over_floor"], row["p_floor"]) == (beside.difference, beside.p)
    assert row["settings"] == {"removal": "mask"}


def test_methods_are_compared_on_the_same_texts(lines):
    pair = find(results.summarise(lines, SETTINGS)["pairs"], protocol="decompx")
    assert (pair["a"], pair["b"]) == ("good", "poor")
    expected = statistics.paired_difference(GOOD, POOR, 3)
    assert pair["difference"] == expected.difference == pytest.approx(0.5)
    assert (pair["low"], pair["high"], pair["p"], pair["n"]) == expected[1:]


def test_a_text_that_a_protocol_says_nothing_about_counts_for_neither(lines):
    del lines[0]["measures"]["good"]["decompx"], lines[2]["measures"]["poor"]["decompx"]
    found = results.summarise(lines, SETTINGS)
    assert find(found["rows"], method="good", metric="aopc")["n"] == 5
    pair = find(found["pairs"], protocol="decompx")
    assert pair["n"] == 4
    assert pair["difference"] == pytest.approx(np.mean([0.3, 0.6, 0.5, 0.5]))


def test_accuracy_and_calibration_are_of_the_labelled_texts(lines):
    found = results.summarise(lines, SETTINGS)
    assert found["accuracy"]["value"] == pytest.approx(4 / 5)
    assert found["accuracy"]["n"] == 5
    assert found["expected_calibration_error"] == pytest.approx(0.8 - 0.75)
    assert "accuracy" not in results.summarise([row | {"gold": None} for row in lines], SETTINGS)


def test_curves_are_means_place_by_place_and_rows_for_a_figure(lines):
    curve = find(results.summarise(lines, SETTINGS)["curves"], method="good", metric="curve")
    np.testing.assert_allclose(curve["values"], [1.0, np.mean(GOOD)])
    floor = find(results.summarise(lines, SETTINGS)["curves"], method="random")
    np.testing.assert_allclose(floor["values"], [1.0, 0.25])
    rows = results.curves(lines, "deletion", "curve")
    np.testing.assert_allclose(rows["poor"], [[1.0, value] for value in POOR])
    assert rows.keys() == {"good", "poor", results.FLOOR}


def test_erasers_own_iou_is_the_f1_of_two_means_beside_its_floor():
    def of_text(index, precision, recall):
        names = ("eraser_iou_precision", "eraser_iou_recall")
        found = {"rationales": dict(zip(names, (precision, recall), strict=True))}
        low = {"rationales": dict.fromkeys(names, precision / 2)}
        return line(index, 0.5, 0.5, 0.5) | {"measures": {"good": found}, "floor": low}

    made = [of_text(0, 1.0, 0.25), of_text(1, 0.5, 0.75), of_text(2, 0.0, 0.0)]
    settings = SETTINGS | {"rationale": "2 tokens"}
    row = find(results.summarise(made, settings)["rows"], metric="eraser_iou_f1")
    assert row["value"] == pytest.approx(2 * 0.5 * (1 / 3) / (0.5 + 1 / 3))
    assert row["floor"] == pytest.approx(0.25)
    assert row["n"] == 3
    assert row["low"] == 0.0  # the third text drawn each time
    # the best draws: the second text thrice 0.6, with the first 0.622
    assert 0.6 < row["high"] < 0.63
    assert row["settings"] == {"hard_rationale": "2 tokens"}


def test_scores_without_a_unit_have_no_floor_of_infidelity():
    made = [line(0, 0.5, 0.5, 0.5) | {"measures": {"good": {"infidelity": METRICS}}}]
    made[0]["floor"] = {"infidelity": METRICS}
    rows = results.summarise(made, SETTINGS)["rows"]
    assert "floor" not in find(rows, metric="infidelity")
    assert find(rows, metric="infidelity_scaled")["floor"] == 0.5


def test_methods_without_a_text_in_common_are_not_told_apart():
    made = [line(index, 0.9, 0.1, 0.5) for index in range(12)]
    for index, of_text in enumerate(made):
        del of_text["measures"][("good", "poor")[index % 2]]["decompx"]
    page = results_page.to_markdown(results.summarise(made, SETTINGS), "Tables")
    assert "`poor` =" in page.split("## decompx")[1].split("## deletion")[0]


def test_the_page_ranks_the_methods_and_says_which_are_told_apart(lines):
    # of 6 texts no p-value can be small enough for two methods
    page = results_page.to_markdown(results.summarise(lines * 2, SETTINGS), "Tables")
    assert page.startswith("# Tables\n\n12 texts. Accuracy 0.800 [")
    deletion = page.split("## deletion")[1]
    assert deletion.index("`good`") < deletion.index("`poor`")
    assert "(by mask). Higher is better." in page
    assert "| random (floor) | 0.250 |" in page
    assert "`poor` =" not in page
    assert "No method is better than chance" not in page


def test_the_page_says_so_where_no_method_is_better_than_chance():
    noise = np.random.default_rng(0).normal(0.2, 0.01, (80, 3))
    made = [line(index, *row) for index, row in enumerate(noise)]
    page = results_page.to_markdown(results.summarise(made, SETTINGS), "Shuffled")
    assert page.count("**No method is better than chance by 0.01 or more") == 2
    assert "`poor` =" in page or "`good` =" in page
    assert "so few texts" not in page


def test_few_texts_are_not_taken_for_a_model_that_learned_nothing():
    made = [line(index, 0.9 + index / 100, 0.8, 0.1) for index in range(5)]
    page = results_page.to_markdown(results.summarise(made, SETTINGS), "Few")
    assert "No method is better than chance" not in page
    assert page.count("**No method can be told from chance by so few texts.**") == 2


def test_figures_beside_the_headline_are_told_apart_too():
    def of_text(index):
        rng = np.random.default_rng(index)
        found = {
            method: {
                "rationales": {
                    "auprc": auprc + rng.normal(0, 0.01),
                    "token_f1": token_f1 + rng.normal(0, 0.01),
                    "eraser_iou_precision": iou + rng.normal(0, 0.01),
                    "eraser_iou_recall": iou + rng.normal(0, 0.01),
                },
                "decompx": {
                    "aopc": auprc + rng.normal(0, 0.01),
                    "accuracy": iou + rng.normal(0, 0.01),
                },
            }
            for method, auprc, token_f1, iou in (
                ("a", 0.9, 0.3, 0.5),
                ("b", 0.8, 0.5, 0.5),
                ("c", 0.7, 0.5, 0.1),
            )
        }
        return line(index, 0, 0, 0) | {
            "measures": found,
            "floor": found["c"],
        }

    summary = results.summarise([of_text(index) for index in range(60)], SETTINGS)
    rows = results_page.to_markdown(summary, "Marks").split("## rationales")[1].splitlines()
    head, a, b, c = (
        [cell.strip() for cell in row.split("|")]
        for row in rows
        if row.startswith(("| `", "| method"))
    )
    f1, iou = head.index("token_f1"), head.index("eraser_iou_f1")
    assert [row[1] for row in (a, b, c)] == ["`a`", "`b`", "`c`"]
    assert [row[f1].endswith("=") for row in (a, b, c)] == [False, True, True]
    assert [row[iou].endswith("=") for row in (a, b, c)] == [True, True, False]
    deleted = results_page.to_markdown(summary, "Marks").split("## decompx")[1].split("## ")[0]
    told = [row for row in deleted.splitlines() if row.startswith("| `")]
    assert [row.endswith("= |") for row in told] == [False, False, True]  # the lower, the better
    raw = find(summary["rows"], method="a", metric="eraser_iou_f1")
    assert raw["over_floor"] == pytest.approx(0.4, abs=0.01)
    assert raw["p_floor_holm"] == pytest.approx(3 * 2 / 2001)
    assert raw["over_floor_low"] < raw["over_floor"] < raw["over_floor_high"]
    assert find(summary["rows"], method="c", metric="eraser_iou_f1")["p_floor"] == 1.0


def test_words_that_drive_a_class_come_with_counts_and_a_lexicons_verdict(lines):
    records = evaluation_files.records(lines, ["bad", "good"])
    lexicon = {"fine": 1.0, "film": -1.0, "dull": -1.0}
    found = results.of_words(records, ("good", lexicon), min_count=2, seed=3)
    (best, worst) = (found["words"]["good"]["good"][side] for side in ("top", "bottom"))
    assert [(row["word"], row["value"], row["n"]) for row in best] == [
        ("fine", 1.0, 6),
        ("film", -0.5, 6),
    ]
    assert worst == []
    assert found["polarity"]["poor"]["right_sign"] is None
    verdict = found["polarity"]["good"]
    assert (verdict["right_sign"]["value"], verdict["auc"]) == (1.0, 1.0)
    assert (verdict["positive"], verdict["negative"]) == (1, 1)
    page = results_page.to_markdown(results.summarise(lines, SETTINGS) | found, "Words")
    assert "| `good` | good | fine (1, 6), film (-0.5, 6) |" in page
    assert "## polarity" in page


def test_words_are_drawn_by_the_first_method_whose_scores_have_a_sign():
    def classes(word):
        row = {"word": word, "value": 0.5, "low": 0.25, "high": 0.75, "n": 9}
        return {"bad": {"top": [row], "bottom": []}}

    found = {
        "words": {"rollout": classes("the"), "cp_lrp": classes("dull"), "occlusion": classes("a")},
        "signed": {"rollout": False, "cp_lrp": True, "occlusion": True},
        "settings": {"labels": ["good", "bad"]},
    }
    ((name, figure),) = evaluation_gallery._word_figures(found)
    assert name == "words_1"
    assert figure.get_suptitle() == "Words of bad, by cp_lrp"
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["dull (9)"]


def test_lines_become_records_again(lines):
    first = next(evaluation_files.records(lines, ["bad", "good"]))
    assert isinstance(first, explanation.Explanation)
    assert (first.guid, first.method, first.predicted, first.gold) == ("g0", "good", "good", "good")
    assert first.words == (words.Word("Fine,", 0, 5), words.Word("film", 6, 10))
    np.testing.assert_array_equal(first.scores, np.float32([1.0, -0.5]))


def test_results_are_json_that_any_reader_takes(lines, tmp_path):
    lines[0]["measures"]["good"]["decompx"]["aopc"] = math.nan
    found = results.summarise(lines, SETTINGS)
    evaluation_files.save({**found, "odd": (math.inf, 1.0)}, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    read = json.loads(text)
    assert read["odd"] == [None, 1.0]
    assert find(read["rows"], method="good", metric="aopc")["n"] == 5


def test_heads_have_a_mean_and_an_interval_each_and_the_ways_a_correlation():
    rng = np.random.default_rng(0)
    ways = {name: rng.random((7, 2, 3)).astype(np.float32) for name in ("gradient", "ablation")}
    found = results.of_heads(ways, seed=3)
    for way, values in ways.items():
        np.testing.assert_allclose(found["heads"][way]["mean"], values.mean(axis=0), rtol=1e-6)
        low, high = (np.array(found["heads"][way][name]) for name in ("low", "high"))
        assert (low < values.mean(axis=0)).all()
        assert (high > values.mean(axis=0)).all()
        assert found["heads"][way]["n"] == 7
    expected = statistics.spearman(*(values.mean(axis=0).ravel() for values in ways.values()))
    assert found["heads_spearman"] == {"gradient, ablation": pytest.approx(expected)}


def test_the_rationales_headline_is_better_the_higher():
    assert results.HEADLINES["rationales"].is_higher_better
    assert results.HEADLINES["rationales"].metric in rationales.DocumentValues._fields
