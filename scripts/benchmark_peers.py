"""The peers' side of a benchmark: transformers, OpenVINO and BertViz on the model that `benchmark_material` exported.

    .venv-peers/bin/python scripts/benchmark_peers.py FOLDER THREADS

Runs in the environment of `requirements-peers.txt` and imports nothing of this project but the reading of cases.
Leaves to others: Captum and LXT (`benchmark_captum_lxt`).
"""

import csv
import functools
import itertools
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import benchmark_agreement
import benchmark_captum_lxt
import benchmark_processes
import torch
import transformers

Recipe = Literal["out of the box", "expert", "compiled", "openvino"]
GEMM = (4096, 768, 3072)
BATCH = 8
CHUNK = 512  # rows of a file that are sorted by length together
_OPENVINO_TYPES = {"float32": "f32", "bfloat16": "bf16"}


class Batch(NamedTuple):
    """Texts as tensors, and their places in the file."""

    places: list[int]
    tensors: dict[str, torch.Tensor]


class Attending(torch.nn.Module):
    """An expert's classifier: SDPA everywhere, and of the last layer's attention only the row of [CLS].

    The row, mean over heads, is formed from what the last layer's own query and key projections gave.
    """

    def __init__(self, model: torch.nn.Module, *, with_row: bool) -> None:
        super().__init__()
        self.model, self._with_row = model, with_row
        self._kept: dict[str, torch.Tensor] = {}
        attention = model.bert.encoder.layer[-1].attention.self
        self._heads = attention.num_attention_heads
        for name in ("query", "key") if with_row else ():
            getattr(attention, name).register_forward_hook(functools.partial(self._keep, name))

    def _keep(self, name: str, module: object, arguments: object, output: torch.Tensor) -> None:
        self._kept[name] = output

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return probabilities f[b, c] and, on request, the row f[b, t]."""
        logits = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).logits
        probabilities = logits.float().softmax(-1)
        if not self._with_row:
            return (probabilities,)
        query = self._kept["query"][:, 0].unflatten(-1, (self._heads, -1))
        key = self._kept["key"].unflatten(-1, (self._heads, -1))
        scores = torch.einsum("bhe,bthe->bht", query, key) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(attention_mask[:, None] == 0, float("-inf"))
        return probabilities, scores.float().softmax(-1).mean(1)


class Peers:
    """The cases, over one folder of material; a model that was loaded stays in memory."""

    def __init__(self, folder: pathlib.Path, threads: int) -> None:
        self._folder, self._threads = folder, threads
        self._models: dict[str, Any] = {}

    @functools.cached_property
    def _material(self) -> benchmark_processes.Material:
        return benchmark_processes.Material(self._folder / "material.json")

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return transformers.BertTokenizerFast.from_pretrained(self._material["exported"])

    def _model(self, attention: str, precision: str) -> Any:
        key = f"{attention} {precision}"
        if key not in self._models:
            self._models[key] = load(self._material["exported"], attention, precision)
        return self._models[key]

    def _batches(self, texts: Sequence[str], *, is_sorted: bool) -> Iterator[Batch]:
        """Yield batches of 8: in file order, or of like length."""
        encoded = self._tokenizer(list(texts), truncation=True)
        order = list(range(len(texts)))
        if is_sorted:
            order.sort(key=lambda place: len(encoded["input_ids"][place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            rows = {name: [values[place] for place in places] for name, values in encoded.items()}
            yield Batch(places, dict(self._tokenizer.pad(rows, return_tensors="pt")))

    def versions(self) -> benchmark_processes.Answer:
        """Return what is timed."""
        return {"told": f"torch {torch.__version__}, transformers {transformers.__version__}"}

    def probabilities(self, texts: str, count: int, precision: str) -> benchmark_processes.Answer:
        """Return the answers themselves, for the two sides to be compared."""
        found = self._predict(self._material.texts(texts, count), "expert", "", precision)
        return {"probabilities": [row[0].tolist() for row in found]}

    def predict(
        self, texts: str, count: int, recipe: Recipe, precision: str, returned: str = ""
    ) -> benchmark_processes.Answer:
        """Time texts to probabilities and attention rows, or every layer's attention as arrays."""
        chosen = self._material.texts(texts, count)
        if returned == "all":
            work = lambda: self._every_layer(chosen, precision, recipe == "expert")  # noqa: E731
        elif recipe == "out of the box":
            work = lambda: self._out_of_the_box(chosen, returned, precision)  # noqa: E731
        else:
            work = lambda: self._predict(chosen, recipe, returned, precision)  # noqa: E731
        return {"seconds": benchmark_processes.timed(work)}

    @torch.inference_mode()
    def _out_of_the_box(self, texts: Sequence[str], returned: str, precision: str) -> list[Any]:
        model, found = self._model("eager" if returned else "sdpa", precision), []
        for batch in self._batches(texts, is_sorted=False):
            output = model(**batch.tensors, output_attentions=bool(returned))
            found.extend(output.logits.float().softmax(-1).numpy())
            if returned:
                found.extend(output.attentions[-1][:, :, 0].mean(1).float().numpy())
        return found

    @torch.inference_mode()
    def _every_layer(self, texts: Sequence[str], precision: str, is_sorted: bool) -> None:
        """Return nothing: each batch is let go, as a caller who works it off would."""
        model = self._model("eager", precision)
        for batch in self._batches(texts, is_sorted=is_sorted):
            output = model(**batch.tensors, output_attentions=True)
            _ = [layer.float().numpy() for layer in output.attentions]

    @torch.inference_mode()
    def _predict(
        self, texts: Sequence[str], recipe: Recipe, returned: str, precision: str
    ) -> list[list[Any]]:
        """Return each text's probabilities and row without padding, in file order."""
        model = self._expert(recipe, bool(returned), precision)
        found: list[list[Any]] = [[] for _ in texts]
        for batch in self._batches(texts, is_sorted=True):
            tensors = [
                batch.tensors[name] for name in ("input_ids", "attention_mask", "token_type_ids")
            ]
            lengths = batch.tensors["attention_mask"].sum(1).tolist()
            outputs = [torch.as_tensor(output).numpy() for output in model(*tensors)]
            for row, (place, length) in enumerate(zip(batch.places, lengths, strict=True)):
                found[place] = [outputs[0][row], *(output[row, :length] for output in outputs[1:])]
        return found

    def _expert(self, recipe: Recipe, with_row: bool, precision: str) -> Any:
        key = f"{recipe} {with_row} {precision}"
        if key not in self._models:
            # OpenVINO reads float32 weights and chooses its own precision
            stored = "float32" if recipe == "openvino" else precision
            loaded = load(self._material["exported"], "sdpa", stored)
            model = Attending(loaded, with_row=with_row).eval()
            if recipe == "compiled":
                model = torch.compile(model, dynamic=True)
            if recipe == "openvino":
                model = self._openvino(model, precision)
            self._models[key] = model
        return self._models[key]

    def _openvino(self, model: torch.nn.Module, precision: str) -> Callable[..., list[Any]]:
        import openvino

        example = next(self._batches(self._material.texts("32", 2), is_sorted=True)).tensors
        names = ("input_ids", "attention_mask", "token_type_ids")
        converted = openvino.convert_model(model, example_input=tuple(example[n] for n in names))
        settings = {
            "INFERENCE_PRECISION_HINT": _OPENVINO_TYPES[precision],
            "INFERENCE_NUM_THREADS": self._threads,
        }
        compiled = openvino.compile_model(converted, "CPU", settings)
        return lambda *tensors: list(compiled([tensor.numpy() for tensor in tensors]).values())

    def tokenize(self, form: str, start: int, count: int) -> benchmark_processes.Answer:
        """Time ids and offsets by the fast tokenizer, or ids by the slow one, google-research's code."""
        chosen, fast, slow = (
            self._material.pool(start, count),
            self._tokenizer,
            self._slow_tokenizer,
        )
        cut = {"truncation": True, "return_offsets_mapping": True}
        forms: dict[str, Callable[[], object]] = {
            "fast": lambda: fast(chosen, **cut),
            "uncut": lambda: fast(chosen, return_offsets_mapping=True),
            "fast by text": lambda: [fast(text, **cut) for text in chosen],
            "slow by text": lambda: [slow(text) for text in chosen],
        }
        return {"seconds": benchmark_processes.timed(forms[form])}

    @functools.cached_property
    def _slow_tokenizer(self) -> Callable[[str], list[int]]:
        slow = transformers.BertTokenizer.from_pretrained(self._material["exported"])
        return lambda text: slow.convert_tokens_to_ids(slow.tokenize(text))

    def gemm(self, precision: str) -> benchmark_processes.Answer:
        """Time ten matrix products, the yardstick of what the machine can do."""
        rows, inner, columns = GEMM
        left = torch.randn(rows, inner).to(getattr(torch, precision))
        right = torch.randn(inner, columns).to(getattr(torch, precision))
        product = left @ right
        seconds = benchmark_processes.timed(
            lambda: [torch.mm(left, right, out=product) for _ in range(10)]
        )
        return {"gigaflops": 20e-9 * rows * inner * columns / seconds}

    def integrated_gradients(
        self, texts: str, precision: str, steps: int
    ) -> benchmark_processes.Answer:
        """Time Captum's integrated gradients; see `benchmark_captum_lxt`."""
        inputs = self._inputs(texts)
        model = self._model("sdpa", precision)
        return benchmark_captum_lxt.integrated_gradients(model, inputs, steps)

    def steps_for_gap(self, texts: str, gap: float, most: int) -> benchmark_processes.Answer:
        """Return how many steps Captum needs for such a gap."""
        model = self._model("sdpa", "float32")
        return {"steps": benchmark_captum_lxt.steps_for_gap(model, self._inputs(texts), gap, most)}

    def attn_lrp(self, texts: str, count: int) -> benchmark_processes.Answer:
        """Time LXT's AttnLRP, which patches transformers for good: ask it in a process of its own."""
        benchmark_captum_lxt.patch()
        inputs = self._inputs(texts, count)
        return benchmark_captum_lxt.attn_lrp(self._model("sdpa", "float32"), inputs)

    def _inputs(self, texts: str, count: int = 1) -> tuple[torch.Tensor, ...]:
        batch = self._tokenizer(
            self._material.texts(texts, count), truncation=True, return_tensors="pt"
        )
        return batch["input_ids"], batch["token_type_ids"], batch["attention_mask"]

    def train(
        self, steps: int, batch_size: int, precision: str, attention: str
    ) -> benchmark_processes.Answer:
        """Time a plain loop: AdamW, batches in file order padded to their longest, bfloat16 by autocast."""
        model = load(self._material["exported"], attention, "float32").requires_grad_(True).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
        ends = []
        for step in range(steps):
            batch = self._tokenizer(
                self._material.pool(step * batch_size, batch_size),
                truncation=True,
                padding=True,
                return_tensors="pt",
            )
            labels = torch.arange(batch_size) % 2
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = model(**batch, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            ends.append(time.perf_counter())
        return {"rate": benchmark_processes.rate(ends, batch_size)}

    def agreement(self, count: int) -> benchmark_processes.Answer:
        """Compare probabilities and attention rows in both precisions."""
        ask = lambda texts, precision: self._predict(texts, "expert", "last", precision)  # noqa: E731
        return benchmark_agreement.measure(ask, self._material.pool(0, count))

    def startup(self, calls: int, precision: str) -> benchmark_processes.Answer:
        """Time a new process: reading weights and tokenizer, the first text, and texts after it."""
        start = time.perf_counter()
        self._expert("expert", True, precision)
        assert self._tokenizer
        loaded = time.perf_counter()
        self._predict(self._material.texts("128", 1), "expert", "last", precision)
        answer = {"load": loaded - start, "first": time.perf_counter() - loaded}
        for tokens in ("32", "128", "512"):
            text = self._material.texts(tokens, 1)
            work = functools.partial(self._predict, text, "expert", "last", precision)
            taken = [benchmark_processes.timed(work) for _ in range(calls)]
            answer |= benchmark_processes.percentiles(taken, tokens)
        return answer

    def stream(self, few: int, many: int, tokens: int) -> benchmark_processes.Answer:
        """Return the largest memory of a process that reads few or many rows, a chunk at a time."""
        found = {}
        for name in ("few", "many"):
            table = str(self._folder / f"{name}.tsv")
            command = [sys.executable, __file__, str(self._folder), str(self._threads), table]
            found[name] = benchmark_processes.run_command([*command, str(tokens)])["mebibytes"]
        return {**found, "growth": found["many"] / found["few"]}

    def command(self, count: int) -> benchmark_processes.Answer:
        """Time the whole of a process that predicts a file."""
        table = str(self._folder / f"command-{count}.tsv")
        command = [sys.executable, __file__, str(self._folder), str(self._threads), table]
        return benchmark_processes.run_command([*command, "512"])

    def payload(self, texts: str) -> benchmark_processes.Answer:
        """Return what leaves transformers for the attention of one text, and BertViz's page, in bytes."""
        import bertviz

        inputs = self._tokenizer(
            self._material.texts(texts, 1), truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            layers = self._model("eager", "float32")(**inputs, output_attentions=True).attentions
        tokens = self._tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
        page = bertviz.head_view(layers, tokens, html_action="return")
        whole = sum(layer.numel() * layer.element_size() for layer in layers)
        return {"reduced": whole, "whole": whole, "page": len(page.data.encode())}

    def _predict_file(self, table: pathlib.Path, tokens: int) -> None:
        """Predict a table as an expert would: attention rows beside the probabilities, a chunk at a time."""
        self._tokenizer.model_max_length = tokens
        with open(table, encoding="utf-8", newline="") as file, tempfile.TemporaryFile("w") as out:
            rows = csv.DictReader(file, delimiter="\t")
            texts = (row["text"] for row in rows)
            while part := list(itertools.islice(texts, CHUNK)):
                for found in self._predict(part, "expert", "last", "float32"):
                    print(*found[0], file=out)


def load(folder: str, attention: str, precision: str) -> Any:
    """Return the exported classifier, ready to predict."""
    model = transformers.BertForSequenceClassification.from_pretrained(
        folder, attn_implementation=attention
    )
    return model.eval().requires_grad_(False).to(getattr(torch, precision))


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    side = Peers(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
    if len(sys.argv) > 3:
        side._predict_file(pathlib.Path(sys.argv[3]), int(sys.argv[4]))
    else:
        benchmark_processes.serve(
            {name: getattr(side, name) for name in vars(Peers) if not name.startswith("_")}
        )
