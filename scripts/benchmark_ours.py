"""Our side of a benchmark: a process that reads cases and answers how long they took.

    python scripts/benchmark_ours.py FOLDER THREADS

FOLDER holds what `benchmark_material.write` made, or gets it from the case "prepare". Options of the product that are
at their defaults are not passed, so that older versions can be timed too.
"""

import csv
import functools
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import benchmark_agreement
import benchmark_material
import benchmark_processes
import numpy as np
import tensorflow as tf

from bert import datasets
from bert import features
from bert import frozen
from bert import input_fn as input_fn_lib
from bert import model_folder
from bert import options as options_lib
from bert import training
from explain import attention
from explain import explainer as explainer_lib
from explain import highlight
from explain import methods as methods_lib
from explain import model as model_lib

GEMM = (4096, 768, 3072)
_DEFAULTS = {"precision": "float32", "engine": "tensorflow"}
_PROCESSORS = {"": None, "last": attention.average_last_layer_by_head, "all": attention.all_layers}
_AT_ONCE = 8  # texts in one call where every layer comes back: a record of 512 tokens then holds 75 MB and more


class Ours:
    """The cases, over one folder of material; a model that was loaded stays in memory."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._explainers: dict[str, explainer_lib.Explainer] = {}

    @functools.cached_property
    def _material(self) -> benchmark_processes.Material:
        return benchmark_processes.Material(self._folder / benchmark_material.MATERIAL)

    @functools.cached_property
    def _parts(self) -> model_folder.Parts:
        return model_folder.load(self._material["model"])

    def _explainer(
        self,
        methods: Sequence[str],
        settings: Mapping[str, str],
        *,
        options: Mapping[str, Any] | None = None,
        returned: str = "",
    ) -> explainer_lib.Explainer:
        key = json.dumps([methods, settings, options, returned], sort_keys=True)
        if key not in self._explainers:
            named: dict[str, Any] = {
                name: value for name, value in settings.items() if value != _DEFAULTS[name]
            }
            if returned:
                named["attn_processor_fn"] = _PROCESSORS[returned]
            if options:
                named["method_options"] = options
            self._explainers[key] = model_lib.load_explainer(
                self._material["model"], methods, **named
            )
        return self._explainers[key]

    def prepare(self, methods: Sequence[str] = (), **options: Any) -> benchmark_processes.Answer:
        """Write the material; unknown methods are told before anything is timed."""
        methods_lib.bind(methods)
        return benchmark_material.write(str(self._folder), **options)

    def versions(self) -> benchmark_processes.Answer:
        """Return what is timed, and every method's name."""
        told = f"Python {sys.version.split()[0]}, TensorFlow {tf.__version__}"
        return {"told": told, "methods": list(methods_lib.METHODS)}

    def probabilities(self, texts: str, count: int, **settings: str) -> benchmark_processes.Answer:
        """Return the answers themselves, for the two sides to be compared."""
        explainer = self._explainer(["attention_last"], settings)
        found = explainer.probabilities(self._material.texts(texts, count))
        return {"probabilities": np.asarray(found, float).tolist()}

    def predict(
        self, texts: str, count: int, returned: str = "", **settings: str
    ) -> benchmark_processes.Answer:
        """Time probabilities; with `returned`, whole records with words, spans and attention."""
        chosen = self._material.texts(texts, count)
        explainer = self._explainer(
            ["attention_last"], settings, returned="all" if returned == "all" else ""
        )

        def work() -> None:
            if returned == "all":
                for start in range(0, len(chosen), _AT_ONCE):
                    explainer(chosen[start : start + _AT_ONCE])
            elif returned:
                explainer(chosen)
            else:
                explainer.probabilities(chosen)

        return {"seconds": benchmark_processes.timed(work)}

    def estimator(self, texts: str, count: int, returned: str = "") -> benchmark_processes.Answer:
        """Time Estimator.predict, which builds its graph and reads its weights in every call."""
        chosen = self._material.texts(texts, count)
        model = model_lib.load_bert_model(
            self._material["model"], attn_processor_fn=_PROCESSORS[returned]
        )
        examples = [
            datasets.InputExample(str(index), text, None, self._parts.labels[0])
            for index, text in enumerate(chosen)
        ]

        def work() -> None:
            read = input_fn_lib.from_examples(
                examples,
                self._parts.labels,
                self._parts.record.max_seq_length,
                self._parts.tokenizer(),
                self._folder / "estimator.tf_record",
                batch_size=8,
            )
            for _ in model.predict(read):
                pass

        return {"seconds": benchmark_processes.timed(work)}

    def tokenize(self, form: str, start: int, count: int) -> benchmark_processes.Answer:
        """Time ids and spans of texts, in one of our forms."""
        chosen, tokenizer, parts = self._material.pool(start, count), self._tokenizer, self._parts
        pairs = [(text, None) for text in chosen]
        longest = parts.record.max_seq_length
        forms: dict[str, Callable[[], object]] = {
            "encode_batch": lambda: features.encode_batch(tokenizer, pairs, longest),
            "find_pieces": lambda: tokenizer.find_pieces(chosen),
            "tokens": lambda: tokenizer.tokenize_batch(chosen),
            "encode": lambda: [features.encode(tokenizer, *pair, longest) for pair in pairs],
        }
        return {"seconds": benchmark_processes.timed(forms[form])}

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return self._parts.tokenizer()

    def gemm(self, precision: str) -> benchmark_processes.Answer:
        """Time ten matrix products, the yardstick of what the machine can do."""
        rows, inner, columns = GEMM
        left = tf.cast(tf.random.stateless_normal([rows, inner], [0, 0]), precision)
        right = tf.cast(tf.random.stateless_normal([inner, columns], [1, 1]), precision)
        product = tf.function(lambda: tf.linalg.matmul(left, right))
        seconds = benchmark_processes.timed(lambda: [product() for _ in range(10)])
        return {"gigaflops": 20e-9 * rows * inner * columns / seconds}

    def explain(
        self,
        texts: str,
        count: int,
        methods: Sequence[str],
        options: Mapping[str, Any] | None = None,
        **settings: str,
    ) -> benchmark_processes.Answer:
        """Time explanations; the answer tells the largest gap and number of steps too."""
        explainer = self._explainer(methods, settings, options=options)
        chosen = self._material.texts(texts, count)
        start = time.perf_counter()
        records = explainer(chosen)
        seconds = time.perf_counter() - start
        gaps = [abs(record.completeness_gap or 0.0) for record in records]
        steps = [int(record.checks.get("steps", 0)) for record in records]
        return {"seconds": seconds, "gap": max(gaps), "steps": max(steps)}

    def train(self, steps: int, batch_size: int, precision: str) -> benchmark_processes.Answer:
        """Time the steps of an epoch of fine-tuning; the first, in which the graph is built, do not count."""
        examples = [
            datasets.InputExample(str(index), text, None, "01"[index % 2])
            for index, text in enumerate(self._material.pool(0, steps * batch_size))
        ]
        output = pathlib.Path(tempfile.mkdtemp(dir=self._folder))
        options = options_lib.RunConfig.parse(
            {
                "do_train": True,
                "task_name": "imdb",
                "data_dir": str(output),
                "output_dir": str(output),
                "train_batch_size": batch_size,
                "num_train_epochs": 1.0,
                "max_seq_length": self._parts.record.max_seq_length,
            }
            | ({"precision": precision} if precision != "float32" else {})
        )
        ends: list[float] = []
        training.train(
            self._parts,
            self._tokenizer,
            examples,
            [],
            options,
            lambda step, loss: ends.append(time.perf_counter()),
        )
        shutil.rmtree(output)
        return {"rate": benchmark_processes.rate(ends, batch_size)}

    def agreement(self, count: int, engine: str) -> benchmark_processes.Answer:
        """Compare probabilities and attention rows in both precisions."""

        def ask(texts: Sequence[str], precision: str) -> benchmark_agreement.Answers:
            settings = {"precision": precision, "engine": engine}
            explainer = self._explainer(["attention_last"], settings, returned="last")
            return [(record.probabilities, record.attention) for record in explainer(texts)]

        return benchmark_agreement.measure(ask, self._material.pool(0, count))

    def startup(self, calls: int, **settings: str) -> benchmark_processes.Answer:
        """Time a new process: reading the weights, the first text, and texts after it."""
        start = time.perf_counter()
        explainer = self._explainer(["attention_last"], settings)
        loaded = time.perf_counter()
        explainer(self._material.texts("128", 1))
        answer = {"load": loaded - start, "first": time.perf_counter() - loaded}
        for tokens in benchmark_material.LENGTHS:
            text = self._material.texts(str(tokens), 1)
            work = functools.partial(explainer, text)
            taken = [benchmark_processes.timed(work) for _ in range(calls)]
            answer |= benchmark_processes.percentiles(taken, str(tokens))
        return answer

    def single(self, calls: int, *, is_bare: bool, **settings: str) -> benchmark_processes.Answer:
        """Time one warm text of 128 tokens: the product's call, or what of it is the graph's own."""
        explainer = self._explainer(["attention_last"], settings)
        text = self._material.texts("128", 1)
        work: Callable[[], object] = functools.partial(explainer.probabilities, text)
        if is_bare:
            graph = explainer._warm.prediction_graph  # the very graph of the product's call
            example = datasets.InputExample("", text[0])
            arrays = graph.arrays([frozen.Row(self._parts.encode(self._tokenizer, example))])
            work = functools.partial(graph.call, arrays)
        work()
        return {"seconds": statistics.median(benchmark_processes.timed(work) for _ in range(calls))}

    def stream(self, few: int, many: int, tokens: int) -> benchmark_processes.Answer:
        """Return the largest memory of run_classifier --do_predict over few and many rows."""
        texts, found = self._material["texts"], {}
        for name, count in (("few", few), ("many", many)):
            table = self._folder / f"{name}.tsv"
            _write_table(table, (texts[index % len(texts)] for index in range(count)))
            found[name] = self._command(table, f"--max_seq_length={tokens}")["mebibytes"]
        return {**found, "growth": found["many"] / found["few"]}

    def file(self, count: int, tokens: int, methods: Sequence[str]) -> benchmark_processes.Answer:
        """Time explain_file on texts of so many tokens; without methods run_classifier --do_predict."""
        table = self._folder / f"file-{count}.tsv"
        if not table.exists():
            pool = self._material.pool(0, count)
            _write_table(table, benchmark_material.cut_texts(self._tokenizer, pool, tokens, count))
        if not methods:
            return self._command(table, f"--max_seq_length={tokens}")
        with tempfile.TemporaryDirectory(dir=self._folder) as output:
            return benchmark_processes.run_command(
                [
                    sys.executable,
                    str(benchmark_material.ROOT / "scripts" / "explain_file.py"),
                    f"--model_dir={self._material['model']}",
                    f"--input_file={table}",
                    f"--output_dir={output}",
                    f"--method={','.join(methods)}",
                ]
            )

    def command(self, count: int) -> benchmark_processes.Answer:
        """Time the whole of run_classifier --do_predict, from the shell to the files."""
        table = self._folder / f"command-{count}.tsv"
        _write_table(table, self._material.texts("texts", count))
        return self._command(table, f"--max_seq_length={self._parts.record.max_seq_length}")

    def _command(self, table: pathlib.Path, *more: str) -> dict[str, float]:
        with tempfile.TemporaryDirectory(dir=self._folder) as output:
            return benchmark_processes.run_command(
                [
                    sys.executable,
                    str(benchmark_material.ROOT / "run_classifier.py"),
                    "--do_predict",
                    f"--test_file={table}",
                    f"--output_dir={output}/out",
                    f"--model={self._material['model']}",
                    "--attn_processor_fn=average_last_layer_by_head",
                    *more,
                ]
            )

    def payload(self, texts: str) -> benchmark_processes.Answer:
        """Return what leaves the model, or is written, for the attention of one text, in bytes."""
        text = self._material.texts(texts, 1)
        whole = self._explainer(["attention_last"], {}, returned="all")(text)[0].attention
        record = self._explainer(["attention_last"], {})(text)[0]
        assert whole is not None
        return {
            "reduced": record.token_scores.nbytes,
            "whole": whole.nbytes,
            "page": len(highlight.report([record], "payload").encode()),
        }


def _write_table(table: pathlib.Path, texts: Iterable[str]) -> None:
    with open(table, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["id", "text"])
        rows.writerows((index, " ".join(text.split())) for index, text in enumerate(texts))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[2]))
    tf.config.threading.set_inter_op_parallelism_threads(int(sys.argv[2]))
    side = Ours(pathlib.Path(sys.argv[1]))
    benchmark_processes.serve(
        {name: getattr(side, name) for name in vars(Ours) if not name.startswith("_")},
        (tf.errors.OpError,),
    )
