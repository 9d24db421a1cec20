"""The suites of the benchmark: which cases are timed against what.

Standard library only. Leaves to others: the work itself (`benchmark_ours`, `benchmark_peers`), turns and tables
(`benchmark_bench`, `benchmark_turns`).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import benchmark_bench
import benchmark_processes
import benchmark_turns

PRECISIONS = ("float32", "bfloat16")
SLOW = "compiled"
RECIPES = ("out of the box", "expert", "openvino", SLOW)
FIVE = ("gradient_sensitivity", "gradient_x_input", "cp_lrp", "attn_lrp", "chefer")
FOUR = ("gradient_sensitivity", "gradient_x_input", "cp_lrp", "lat")  # those of Wu and Ong 2021
STEPS = 32
NODES = 50
_EQUAL = {"steps": NODES, "max_steps": NODES}
_GRADIENTS = "integrated_gradients"
_OPTIONS = {_GRADIENTS: {"steps": STEPS, "max_steps": STEPS}}
_BATCH = 16  # examples of a training step
_STREAM_TOKENS = 64  # read of each row: the rows are what may pile up, and they are whole
_ONCE: dict[str, Any] = {"repeats": 1, "warm_ups": 0}
_ATTENTIONS = ("sdpa", "eager")
_TOKENIZING = (  # a case, our form, the peer's
    ("ids and spans, all at once, tokens lazy; the fast tokenizer", "encode_batch", "fast"),
    ("arrays, all at once, uncut; the fast tokenizer", "find_pieces", "uncut"),
    ("token objects, all at once, uncut; the fast tokenizer", "tokens", "uncut"),
    ("ids and spans, text by text, tokens lazy; the fast tokenizer", "encode", "fast by text"),
    ("ids and spans, text by text, tokens lazy; the Python one, ids", "encode", "slow by text"),
    (
        "ids and spans, all at once, tokens lazy; the Python one, ids",
        "encode_batch",
        "slow by text",
    ),
)
_QUICK = benchmark_turns.MISSING + "left out by --quick"


def tokenize(bench: benchmark_bench.Bench) -> None:
    """Time text to ids and character spans, each turn on texts that neither side has seen before."""
    turns = 1 + bench.settings.repeats
    count = max(1, bench.material["pool_size"] // (len(_TOKENIZING) * turns))
    rate = benchmark_turns.Figure("texts/s", per=count)
    for place, (case, ours, peer) in enumerate(_TOKENIZING):
        asks = [
            _unseen(bench, side, form, place * turns, count)
            for side, form in (("ours", ours), ("peers", peer))
        ]
        bench.measure(case, asks[0], asks[1], rate)


def _unseen(
    bench: benchmark_bench.Bench, side: str, form: str, turn: int, count: int
) -> benchmark_turns.Ask | None:
    """Return how a side is asked for other texts each time, from a turn of the whole suite on."""
    if bench.side(side, "versions") is None:
        return None
    starts = itertools.count(turn * count, count)

    def ask() -> benchmark_processes.Answer:
        read = bench.side(side, "tokenize", form=form, start=next(starts), count=count)
        assert read is not None
        return read()

    return ask


def predict(bench: benchmark_bench.Bench) -> None:
    """Time predictions with and without the attention of [CLS], and how near they come to the machine's peak."""
    asked = {"texts": "texts", "count": bench.settings.examples}
    rate = benchmark_turns.Figure("texts/s", per=bench.settings.examples)
    recipes = [
        name for name in bench.settings.recipes if not (bench.settings.quick and name == SLOW)
    ]
    for precision in PRECISIONS:
        bench.agree(precision)
        for what, returned in (("attention row", "last"), ("probabilities", "")):
            named: dict[str, Any] = {"precision": precision, "returned": returned, **asked}
            told = f"{what}, {precision}"
            peers = {
                f"{told}; {name}": bench.side("peers", "predict", recipe=name, **named)
                for name in recipes
            }
            bench.compare(bench.ours("predict", **named), peers, rate)
            if SLOW in bench.settings.recipes and SLOW not in recipes:
                bench.leave_out(f"{told}; {SLOW}", _QUICK)
        _share_of_peak(bench, precision)
    if bench.settings.engine == "tensorflow":  # which is all that these know
        _whole(bench)


def _whole(bench: benchmark_bench.Bench) -> None:
    """Time Estimator.predict, and whole commands; a few turns, for both take long."""
    count, few = bench.settings.examples, min(2, bench.settings.repeats)
    asked = {"texts": "texts", "count": count, "returned": "last"}
    bench.measure(
        "attention row, float32, Estimator.predict; out of the box",
        bench.side("ours", "estimator", **asked),
        bench.side("peers", "predict", recipe=RECIPES[0], precision="float32", **asked),
        benchmark_turns.Figure("texts/s", per=count),
        repeats=few,
    )
    for rows in (1, count):
        bench.measure(
            f"whole command, {rows} texts: run_classifier --do_predict; expert",
            bench.side("ours", "command", count=rows),
            bench.side("peers", "command", count=rows),
            benchmark_turns.Figure("s"),
            repeats=few,
        )


def _share_of_peak(bench: benchmark_bench.Bench, precision: str) -> None:
    """Measure the peak of matrix products by both libraries, and the share of the larger that inference reaches."""
    (product,) = bench.measure(
        f"matrix product 4096 x 768 x 3072, {precision}; torch",
        bench.side("ours", "gemm", precision=precision),
        bench.side("peers", "gemm", precision=precision),
        benchmark_turns.Figure("GFLOP/s", key="gigaflops"),
    )
    peaks = [found for found in (product.ours, product.peer) if isinstance(found, float)]
    work = benchmark_turns.forward_flops(bench.material["config"], 8, 512)
    asked = {"texts": "512", "count": 8}
    bench.measure(
        f"8 x 512, {precision}; expert",
        bench.ours("predict", precision, **asked),
        bench.side("peers", "predict", recipe="expert", precision=precision, **asked),
        benchmark_turns.Figure("of the peak", per=work / max(peaks) / 1e9),
        benchmark_turns.Figure("texts/s", per=8),
    )


def attention(bench: benchmark_bench.Bench) -> None:
    """Time predictions that bring every layer's attention along."""
    asked = {"texts": "texts", "count": bench.settings.examples, "returned": "all"}
    rate = benchmark_turns.Figure("texts/s", per=bench.settings.examples)
    for precision in PRECISIONS:
        bench.agree(precision)
        named: dict[str, Any] = {"precision": precision, **asked}
        told = f"every layer, {precision}; transformers"
        peers = {
            f"{told}, {order}": bench.side("peers", "predict", recipe=recipe, **named)
            for recipe, order in (("out of the box", "file order"), ("expert", "sorted by length"))
        }
        bench.compare(bench.ours("predict", **named), peers, rate)


def explain(bench: benchmark_bench.Bench) -> None:
    """Time explanations: against our own prediction, Captum's integrated gradients and LXT's AttnLRP."""
    _costs(bench)
    if bench.settings.methods:
        return
    bench.agree("float32")
    bench.agree("bfloat16")
    rate = benchmark_turns.Figure("explanations/s", per=1)
    gap = benchmark_turns.Figure("logit", name="completeness gap", key="gap")
    for tokens in ("128",) if bench.settings.quick else ("128", "512"):
        asked: dict[str, Any] = {"texts": tokens, "count": 1, "methods": [_GRADIENTS]}
        for precision, theirs in (PRECISIONS[:1] * 2, PRECISIONS[1:] * 2, PRECISIONS[::-1]):
            bench.measure(
                f"integrated gradients, {NODES} nodes, 1 x {tokens}, {precision}; Captum, {theirs}",
                bench.ours("explain", precision, options={_GRADIENTS: _EQUAL}, **asked),
                bench.side(
                    "peers", "integrated_gradients", texts=tokens, precision=theirs, steps=NODES
                ),
                rate,
                gap,
            )
        _at_equal_gap(bench, tokens, bench.ours("explain", **asked), (rate, gap))
        bench.measure(
            f"five methods in one, 1 x {tokens}, float32; LXT's AttnLRP alone",
            bench.ours("explain", texts=tokens, count=1, methods=FIVE),
            bench.side("peers:lxt", "attn_lrp", texts=tokens, count=1),
            rate,
        )


def _costs(bench: benchmark_bench.Bench) -> None:
    """Time each method against our own prediction of the same texts."""
    settings = bench.settings
    asked: dict[str, Any] = {"texts": str(settings.tokens), "count": settings.batch_size}
    groups: dict[str, Sequence[str]] = {"five in one": FIVE}
    few = FIVE if settings.quick else bench.material["methods"]
    groups |= {name: [name] for name in settings.methods or few}
    for name, methods in groups.items():
        chosen = {key: _OPTIONS[key] for key in methods if key in _OPTIONS}
        told = f"{name} ({STEPS} steps)" if chosen else name
        bench.measure(
            f"{told}; our own prediction",
            bench.ours("explain", methods=methods, options=chosen or None, **asked),
            bench.ours("predict", **asked),
            benchmark_turns.Figure("s"),
        )


def _at_equal_gap(
    bench: benchmark_bench.Bench,
    tokens: str,
    ours: benchmark_turns.Ask | None,
    figures: Sequence[benchmark_turns.Figure],
) -> None:
    """Time our default against as many of Captum's steps, a power of two, as make its gap no larger than ours."""
    case = f"integrated gradients, equal gap, 1 x {tokens}, float32; Captum"
    most = 128 if bench.settings.quick else 1024

    def search() -> benchmark_processes.Answer:
        assert ours is not None
        ask = bench.side("peers", "steps_for_gap", texts=tokens, gap=ours()["gap"], most=most)
        return ask() if ask else {}

    (outcome,) = benchmark_turns.take_turns([search], 1, warm_ups=0)
    if isinstance(outcome, str):
        bench.leave_out(case, outcome)
        return
    found = outcome[0] if outcome else {}
    named = {"texts": tokens, "precision": "float32", "steps": found.get("steps", 0)}
    told = f", {found['steps']} steps" if found else ""
    bench.measure(case + told, ours, bench.side("peers", "integrated_gradients", **named), *figures)


def train(bench: benchmark_bench.Bench) -> None:
    """Time an epoch of fine-tuning on texts of their own lengths."""
    bench.agree("float32")
    asked = {"steps": bench.settings.steps, "batch_size": _BATCH}
    rate = benchmark_turns.Figure("examples/s", key="rate")
    warm: dict[str, Any] = {"warm_ups": 0}  # its first steps are its warm-up

    def peer(precision: str, attention: str) -> benchmark_turns.Ask | None:
        return bench.side("peers", "train", precision=precision, attention=attention, **asked)

    told = f"fine-tuning, batches of {_BATCH}, float32; transformers"
    cases = {f"{told}, {name}": peer("float32", name) for name in _ATTENTIONS}
    rows = bench.compare(
        bench.side("ours", "train", precision="float32", **asked), cases, rate, **warm
    )
    rates = [row.peer if isinstance(row.peer, float) else 0.0 for row in rows]
    quicker = _ATTENTIONS[rates.index(max(rates))]
    bench.measure(
        f"fine-tuning, batches of {_BATCH}, bfloat16; transformers under autocast, {quicker}",
        bench.side("ours", "train", precision="bfloat16", **asked),
        peer("bfloat16", quicker),
        rate,
        **warm,
    )


def agreement(bench: benchmark_bench.Bench) -> None:
    """Compare the answers in bfloat16 with those in float32, each side with its own."""
    count = bench.settings.reviews
    bench.agree("float32")
    bench.measure(
        f"bfloat16 beside float32, {count:,} texts; transformers, expert",
        bench.side("ours", "agreement", count=count, engine=bench.settings.engine),
        bench.side("peers", "agreement", count=count),
        benchmark_turns.Figure("", "largest difference of a probability", "largest"),
        benchmark_turns.Figure("", "share of texts with the same class", "same"),
        benchmark_turns.Figure("", "attention row, mean cosine", "mean_cosine"),
        benchmark_turns.Figure("", "attention row, smallest cosine", "smallest_cosine"),
        **_ONCE,
    )


def memory(bench: benchmark_bench.Bench) -> None:
    """Compare a process's largest memory after few and after many rows."""
    few, many = (200, 1000) if bench.settings.quick else (2000, 20000)
    asked = {"few": few, "many": many, "tokens": _STREAM_TOKENS}
    bench.measure(
        "run_classifier --do_predict; transformers, expert",
        bench.side("ours", "stream", **asked),
        bench.side("peers", "stream", **asked),
        benchmark_turns.Figure("MiB", f"{few:,} rows", "few"),
        benchmark_turns.Figure("MiB", f"{many:,} rows", "many"),
        benchmark_turns.Figure("times", f"{many:,} rows over {few:,}", "growth"),
        **_ONCE,
    )


def file(bench: benchmark_bench.Bench) -> None:
    """Time the command that explains a file by four methods at once beside the one that predicts it."""
    asked: dict[str, Any] = {"count": bench.settings.reviews, "tokens": bench.settings.tokens}
    told = f"explain_file by four methods, {asked['count']:,} x {asked['tokens']}"
    bench.measure(
        f"{told}; our own run_classifier --do_predict",
        bench.side("ours", "file", methods=FOUR, **asked),
        bench.side("ours", "file", methods=(), **asked),
        benchmark_turns.Figure("s"),
        benchmark_turns.Figure("MiB", "largest memory", "mebibytes"),
        **_ONCE,
    )


def startup(bench: benchmark_bench.Bench) -> None:
    """Time new processes, their first text, and single warm texts."""
    calls = 10 if bench.settings.quick else 40
    named = {"calls": calls, "precision": "float32"}
    second = {"import": "until the process answers", "load": "weights", "first": "first text"}
    second["all"] = "all three: until the first answer"
    figures = [benchmark_turns.Figure("s", name, key) for key, name in second.items()]
    figures += [
        benchmark_turns.Figure("s", f"1 x {tokens}, {share}", f"{share}_{tokens}")
        for tokens in (32, 128, 512)
        for share in ("p50", "p95")
    ]
    bench.measure(
        "load_explainer; transformers, expert",
        bench.fresh("ours", "startup", engine=bench.settings.engine, **named),
        bench.fresh("peers", "startup", **named),
        *figures,
        warm_ups=0,
    )
    bench.measure(
        "one warm text, 1 x 128; our bare graph",
        bench.ours("single", calls=calls, is_bare=False),
        bench.ours("single", calls=calls, is_bare=True),
        benchmark_turns.Figure("s"),
    )


def payload(bench: benchmark_bench.Bench) -> None:
    """Compare what leaves the model for the attention of one text, and the pages."""
    for tokens in ("128",) if bench.settings.quick else ("128", "512"):
        bench.measure(
            f"1 x {tokens}; transformers, BertViz",
            bench.side("ours", "payload", texts=tokens),
            bench.side("peers", "payload", texts=tokens),
            benchmark_turns.Figure("bytes", "attention row; every layer", "reduced"),
            benchmark_turns.Figure("bytes", "every layer", "whole"),
            benchmark_turns.Figure("bytes", "report.html; head_view", "page"),
            **_ONCE,
        )


SUITES: dict[str, tuple[Callable[[benchmark_bench.Bench], None], float]] = {
    "tokenize": (tokenize, 20),
    "predict": (predict, 4),
    "attention": (attention, 20),
    "explain": (explain, 5),
    "train": (train, 60),
    "agreement": (agreement, 60),
    "memory": (memory, 60),
    "file": (file, 60),
    "startup": (startup, 40),
    "payload": (payload, 60),
}
"""Each with the seconds that --quick lets a case take turns."""
