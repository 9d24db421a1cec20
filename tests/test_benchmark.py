"""`scripts/benchmark.py`: turns, arithmetic, what is refused and what the tables say."""

import json
import subprocess
import sys

import pytest

from scripts import benchmark
from scripts import benchmark_agreement as agreement

bench_lib = benchmark.benchmark_bench
processes = benchmark.benchmark_processes
suites = benchmark.benchmark_suites
turns = benchmark.benchmark_turns

ECHO = """
import sys
sys.path.insert(0, "scripts")
import benchmark_processes

def double(number):
    print("a library that talks")
    return {"seconds": 2 * number}

def fail():
    raise ValueError("no such\\n  precision")

def crash():
    sys.exit("gone")

benchmark_processes.serve({"double": double, "fail": fail, "crash": crash})
"""


def run(*arguments):
    return subprocess.run(
        [sys.executable, "scripts/benchmark.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def worker():
    worker = processes.Worker([sys.executable, "-c", ECHO])
    yield worker
    worker.close()


def asks_of(log, **sides):
    """Fake sides: each notes its turn and answers with the seconds of its list, one a turn."""

    def ask_of(name, seconds):
        left = iter(seconds)

        def ask():
            log.append(name)
            return {"seconds": next(left)}

        return ask

    return [ask_of(name, seconds) for name, seconds in sides.items()]


def test_the_sides_take_turns_and_the_first_turn_does_not_count():
    log = []
    asks = asks_of(log, a=[9, 1, 2, 3], b=[9, 4, 5, 6])
    first, second = turns.take_turns(asks, 3)
    assert "".join(log) == "abababab"
    assert [answer["seconds"] for answer in first] == [1, 2, 3]
    assert [answer["seconds"] for answer in second] == [4, 5, 6]


def test_no_turn_begins_after_the_time_is_up_but_one_always_counts():
    log = []
    found = turns.take_turns(asks_of(log, a=[9, 1, 2], b=[9, 3, 4]), 2, seconds=0)
    assert "".join(log) == "abab"
    assert found == [[{"seconds": 1}], [{"seconds": 3}]]


def test_a_row_holds_the_medians_and_the_median_and_range_of_the_turns_ratios():
    ours = [{"seconds": s} for s in (1.0, 4.0, 2.0)]
    peer = [{"seconds": s} for s in (2.0, 2.0, 8.0)]
    row = turns.row("train", "case", turns.Figure("s"), ours, peer)
    # ratios 0.5, 2, 0.25: their median is not the ratio of the medians, 2 / 2
    assert row == turns.Row("train", "case", 2.0, 2.0, "s", 0.5, 0.25, 2.0)
    rate = turns.row("train", "case", turns.Figure("texts/s", "warm", per=8), ours, peer)
    assert rate == turns.Row("train", "case: warm", 4.0, 4.0, "texts/s", 2.0, 0.5, 4.0)


def test_a_side_that_cannot_run_a_case_says_why_and_the_other_is_timed_all_the_same():
    def cannot():
        raise processes.Unavailable("no compiler")

    log = []
    found = turns.take_turns([cannot, *asks_of(log, b=[9, 3, 5])], 2)
    row = turns.row("predict", "case", turns.Figure(), *found)
    assert row == turns.Row(
        "predict", "case", "not available: no compiler", 4.0, "s", None, None, None
    )
    assert turns.line(row) == "| case | not available: no compiler | 4 | s |  |  |"


def test_a_side_that_is_left_out_is_an_empty_column():
    ours, peer = turns.take_turns([*asks_of([], a=[9, 0.25]), None], 1)
    row = turns.row("predict", "case", turns.Figure(), ours, peer)
    assert turns.line(row) == "| case | 0.25 |  | s |  |  |"


@pytest.mark.parametrize(("precision", "off"), [("float32", 2e-4), ("bfloat16", 3e-2)])
def test_two_models_that_differ_are_not_timed(precision, off):
    ours = [[0.25, 0.75], [0.5, 0.5]]
    turns.check_probabilities(ours, [[0.25, 0.75], [0.5, 0.5 + off / 4]], precision)
    told = rf"same probabilities within {turns.TOLERANCES[precision]:g} in {precision}, but they differ"
    with pytest.raises(ValueError, match=told):
        turns.check_probabilities(ours, [[0.25, 0.75], [0.5, 0.5 + off]], precision)
    with pytest.raises(ValueError, match=told):
        turns.check_probabilities(ours, [[0.25, 0.75], [0.5, float("nan")]], precision)


def test_the_flops_of_a_forward_pass_are_those_counted_by_hand():
    # a layer: 4 * 3^2 + 2 * 3 * 12 = 108 parameters; 2 * 108 * 2 layers * 35 tokens = 15120
    # and the attention of 2 layers takes 4 * 5 * 7^2 * 3 * 2 = 5880
    config = {"layers": 2, "width": 3, "feed_forward": 12}
    assert turns.forward_flops(config, batch=5, tokens=7) == 15120 + 5880


def test_a_worker_answers_case_by_case_whatever_its_libraries_print(worker):
    assert worker.ask("double", number=4) == {"seconds": 8}
    with pytest.raises(processes.Unavailable, match=r"^ValueError: no such precision$"):
        worker.ask("fail")
    with pytest.raises(processes.Unavailable, match=r"^no triple$"):
        worker.ask("triple", number=4)
    assert worker.ask("double", number=5) == {"seconds": 10}
    with pytest.raises(processes.Unavailable, match=r"^the process ended: gone$"):
        worker.ask("crash")
    assert worker.has_ended


class FakeWorker:
    """A side without a process: every case takes as long as its name."""

    has_ended = False

    def __init__(self, probability):
        self.probability = probability

    def ask(self, case, **options):
        if case == "probabilities":
            return {"probabilities": [[self.probability, 1 - self.probability]]}
        if case == "steps_for_gap":
            return {"steps": 16}
        if case == "train":
            return {"rate": {"sdpa": 3.0, "eager": 5.0}.get(options.get("attention"), 6.0)}
        words = ["seconds", "gap", "gigaflops", "few", "many", "growth", "load", "first"]
        words += ["reduced", "whole", "page", "largest", "same", "mean_cosine", "smallest_cosine"]
        words += ["mebibytes", *(f"{p}_{n}" for p in ("p50", "p95") for n in (32, 128, 512))]
        return dict.fromkeys(words, float(len(case))) | {"told": "", "case": case}

    def close(self):
        pass


def fake_bench(peer, rows, **settings):
    chosen = {"repeats": 2, "examples": 4, "batch_size": 2, "tokens": 32, "reviews": 3, "steps": 6}
    chosen |= {"recipes": suites.RECIPES, **settings}
    config = {"layers": 1, "width": 2, "feed_forward": 8}
    return bench_lib.Bench(
        bench_lib.Settings(**chosen),
        {"config": config, "pool_size": 30, "methods": ["chefer", "integrated_gradients"]},
        lambda side: FakeWorker(0.25) if side == "ours" else peer,
        rows.append,
    )


@pytest.mark.parametrize("suite", suites.SUITES)
def test_every_suite_tells_rows_of_both_sides_and_they_come_back_from_json(suite, tmp_path):
    rows = []
    bench = fake_bench(FakeWorker(0.25), rows)
    bench.begin(suite, float("inf"))
    suites.SUITES[suite][0](bench)
    assert {row.suite for row in rows} == {suite}
    assert len({row.case + row.unit for row in rows}) == len(rows)
    for row in rows:
        assert row.low <= row.ratio <= row.high
        if "process answers" not in row.case:  # the only one that is really timed
            assert row.ratio == pytest.approx(row.ours / row.peer)
    turns.write(tmp_path / "rows.json", rows)
    (first, *_) = json.loads((tmp_path / "rows.json").read_text())
    assert list(first) == ["suite", "case", "ours", "peer", "unit", "ratio", "low", "high"]
    assert list(turns.read([tmp_path / "rows.json"])) == rows


def test_a_rate_counts_the_steps_after_the_fifth():
    # 16 examples in each of 2 steps, from the end of the fifth at 10 s to the end of the seventh at 18 s
    assert processes.rate([1, 7, 8, 9, 10, 12, 18], 16) == 4


def test_no_text_is_read_twice_and_both_sides_read_the_same_ones():
    asked = {"ours": [], "peers": []}

    class Noting(FakeWorker):
        def __init__(self, side):
            super().__init__(0.25)
            self.side = side

        def ask(self, case, **options):
            if case == "tokenize":
                asked[self.side].append(
                    range(options["start"], options["start"] + options["count"])
                )
            return super().ask(case, **options)

    bench = bench_lib.Bench(fake_bench(None, []).settings, {"pool_size": 36}, Noting, list)
    bench.begin("tokenize", float("inf"))
    suites.tokenize(bench)
    assert asked["ours"] == asked["peers"]
    # six cases of three turns, the first of which does not count, on two texts each
    assert [index for turn in asked["ours"] for index in turn] == list(range(36))


def test_the_quicker_kind_of_attention_is_what_training_in_bfloat16_is_measured_against():
    rows = []
    bench = fake_bench(FakeWorker(0.25), rows)
    suites.train(bench)
    assert [(row.case.rpartition(", ")[2], row.ours, row.peer) for row in rows] == [
        ("sdpa", 6, 3),
        ("eager", 6, 5),
        ("eager", 6, 5),
    ]


def test_our_side_takes_one_turn_a_round_beside_several_peers():
    log = []
    ours, *peers = asks_of(log, a=[9, 1, 2], b=[9, 2, 4], c=[9, 4, 16])
    rows = []
    named = dict(zip(("b", "c"), peers, strict=True))
    fake_bench(None, rows).compare(ours, named, turns.Figure(), repeats=2)
    assert "".join(log) == "abcabcabc"
    assert [(row.case, row.ours, row.peer, row.ratio) for row in rows] == [
        ("b", 1.5, 3, 0.5),
        ("c", 1.5, 10, 0.1875),  # the ratios are 1 / 4 and 2 / 16
    ]


def test_answers_in_bfloat16_are_compared_text_by_text():
    answers = {  # probabilities and an attention row of two texts
        "float32": [([0.75, 0.25], [3.0, 4.0]), ([0.5, 0.5625], [1.0, 0.0, 0.0])],
        "bfloat16": [([0.625, 0.375], [4.0, 3.0]), ([0.5625, 0.5], [2.0, 0.0, 0.0])],
    }
    found = agreement.measure(lambda texts, precision: answers[precision], ["one", "two"])
    # 0.75 - 0.625; the second text's class is another; (3 * 4 + 4 * 3) / 25, and 1
    assert found == {
        "largest": 0.125,
        "same": 0.5,
        "mean_cosine": pytest.approx(0.98),
        "smallest_cosine": pytest.approx(0.96),
    }


@pytest.mark.parametrize("suite", ["predict", "attention", "explain", "train"])
def test_a_suite_refuses_a_peer_with_other_probabilities(suite):
    rows = []
    bench = fake_bench(FakeWorker(0.26), rows)
    bench.begin(suite, float("inf"))
    with pytest.raises(ValueError, match=r"differ by 0\.01; nothing is timed"):
        suites.SUITES[suite][0](bench)
    assert [row for row in rows if "our own prediction" not in row.case] == []


def test_without_a_peer_its_columns_stay_empty():
    rows = []
    bench = fake_bench(None, rows)
    for suite, (function, _) in suites.SUITES.items():
        bench.begin(suite, float("inf"))
        function(bench)
    beside_ourselves = [row for row in rows if "; our " in row.case]
    # five in one, the two methods, the bare graph, the file with its seconds and memory
    assert len(beside_ourselves) == 6
    assert all(row.peer is None for row in rows if row not in beside_ourselves)


def test_a_report_puts_each_suite_between_its_marks_and_leaves_the_rest(tmp_path, capsys):
    empty = ("", None, None, None)
    rows = [
        turns.Row("machine", "two cores", None, None, *empty),
        turns.Row("train", "case", 1234.5, 0.0123, "s", 2.0, 1.5, 2.5),
    ]
    turns.write(tmp_path / "rows.json", rows)
    page = tmp_path / "page.md"
    page.write_text("# Title\n<!-- train -->\nold\n<!-- end of train -->\nafter\n")
    arguments = ["--report", str(tmp_path / "rows.json")]
    assert benchmark.cli_main([*arguments, "--into", str(page)]) == 0
    table = f"two cores\n\n{turns.HEADER}\n| case | 1,234 | 0.0123 | s | **2** | 1.5 to 2.5 |"
    expected = f"# Title\n<!-- train -->\n{table}\n<!-- end of train -->\nafter\n"
    assert page.read_text() == expected
    assert benchmark.cli_main(arguments) == 0
    assert table in capsys.readouterr().out
    page.write_text("# Title\n")
    assert benchmark.cli_main([*arguments, "--into", str(page)]) == 1
    assert "must hold <!-- train -->" in capsys.readouterr().err


def test_our_side_alone_answers_and_a_method_is_timed_beside_its_prediction(tmp_path):
    path = tmp_path / "rows.json"
    command = (
        "--size tiny --repeats 1 --examples 3 --batch_size 2 --tokens 9 --methods chefer,occlusion "
        "--suite explain tokenize attention payload --quick --texts data/sample_reviews/test.tsv"
    )
    done = run(*command.split(), "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert "2 layers, width 12 (random, tiny); 3 texts of" in done.stdout.splitlines()[0]
    machine, *rows = turns.read([path])
    assert machine.suite == "machine"
    assert machine.case == done.stdout.splitlines()[0]
    assert done.stdout.rstrip().endswith(turns.line(rows[-1]))
    costs = [row for row in rows if row.suite == "explain"]
    assert [row.case for row in costs] == [
        f"{name}; our own prediction" for name in ("five in one", "chefer", "occlusion")
    ]
    assert all(row.ours > 0 and row.peer > 0 and row.unit == "s" for row in costs)
    others = [row for row in rows if row not in costs]
    assert {row.suite for row in others} == {"tokenize", "attention", "payload"}
    assert all(row.peer is None and row.ratio is None and row.ours for row in others)
    assert [row for row in others if isinstance(row.ours, str)] == []
    sizes = {row.case.rpartition(": ")[2]: row.ours for row in others if row.suite == "payload"}
    assert sizes["attention row; every layer"] == 128 * 4
    assert sizes["every layer"] == 2 * 3 * 128 * 128 * 4


def test_the_suites_with_processes_of_their_own_run_on_our_side_alone(tmp_path):
    path = tmp_path / "rows.json"
    command = (
        "--size tiny --repeats 1 --examples 3 --suite predict train agreement file startup --quick "
        "--steps 6 --reviews 3 --texts data/sample_reviews/test.tsv"
    )
    done = run(*command.split(), "--json", str(path))
    assert done.returncode == 0, done.stderr
    rows = [row for row in turns.read([path]) if row.ours is not None]
    assert {row.suite for row in rows} == {"predict", "train", "agreement", "file", "startup"}
    assert [row for row in rows if str in (type(row.ours), type(row.peer))] == []


def test_an_unknown_method_is_told_in_one_line():
    done = run("--size", "tiny", "--methods", "chefr")
    assert done.returncode == 1
    assert "did you mean 'chefer'?" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
