"""Measure what Captum's and LXT's attributions cost, in units of transformers' own forward pass.

    python3.11 -m venv peers && peers/bin/pip install -r requirements-peers.txt && peers/bin/pip install --no-deps lxt==2.1
    peers/bin/python tests/goldens/time_peers.py FOLDER [--repeats 7] [--dry]

FOLDER is a Hugging Face BERT, such as ~/.cache/bert-attention-explain/minilm-l6. Prints one JSON line. Each family of
patches runs in a process of its own, since LXT patches transformers for good. float32, 2 threads, batches of 8 x 128
and 1 x 512; medians. `seconds` are absolute, `ratios` to the predict of the same process and attention kernel.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import types
import warnings

import torch
import transformers

SHAPES = ((8, 128), (1, 512))
IG_STEPS = (32, 50)
TOKENS_AT_ONCE = 4096
VIT = "lxt.efficient.models.vit_torch"


def median_s(function, repeats, *, warm_up=True):
    if warm_up:
        function()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def load(folder, attention):
    torch.manual_seed(0)
    return (
        transformers.BertForSequenceClassification.from_pretrained(
            folder, num_labels=2, attn_implementation=attention
        )
        .eval()
        .requires_grad_(False)
    )


def inputs_of(model, shape):
    torch.manual_seed(1)
    ids = torch.randint(1000, model.config.vocab_size, shape)
    ids[:, 0], ids[:, -1] = 101, 102
    return ids, torch.zeros_like(ids), torch.ones_like(ids)


def predict(model, inputs):
    ids, segments, mask = inputs
    with torch.inference_mode():
        return model(ids, token_type_ids=segments, attention_mask=mask).logits


def run_captum(model, inputs, repeats):
    import captum.attr

    ids, segments, mask = inputs
    words = model.bert.embeddings.word_embeddings
    baseline_ids = torch.zeros_like(ids)
    baseline_ids[:, 0], baseline_ids[:, -1] = ids[:, 0], ids[:, -1]

    def of_embeddings(embeddings, segments, mask):
        return model(inputs_embeds=embeddings, token_type_ids=segments, attention_mask=mask).logits

    rest = {"target": 1, "additional_forward_args": (segments, mask)}

    def integrate(steps):
        captum.attr.IntegratedGradients(of_embeddings).attribute(
            words(ids),
            baselines=words(baseline_ids),
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=max(1, TOKENS_AT_ONCE // ids.shape[1]),
            **rest,
        )

    def times_input():
        captum.attr.InputXGradient(of_embeddings).attribute(words(ids).requires_grad_(), **rest)

    few = max(1, repeats // 2)  # long runs: the first differs little from the next
    seconds = {"captum_input_x_gradient": median_s(times_input, repeats)}
    for steps in IG_STEPS:
        seconds[f"captum_ig_{steps}"] = median_s(lambda n=steps: integrate(n), few, warm_up=False)
    return seconds


def run_lrp(model, inputs, name, repeats):
    """Gradient times input at the output of the embeddings' LayerNorm, with LXT's patches in force."""
    ids, segments, mask = inputs
    kept = {}

    def enter(_, __, entered):
        kept["entered"] = entered.detach().requires_grad_()
        return kept["entered"]

    hook = model.bert.embeddings.register_forward_hook(enter)

    def explain():
        logits = model(ids, token_type_ids=segments, attention_mask=mask).logits
        (gradient,) = torch.autograd.grad(logits[:, 1].sum(), kept["entered"])
        return (gradient * kept["entered"]).sum(-1).detach()

    seconds = median_s(explain, repeats)
    hook.remove()
    return {name: seconds}


def patch_lxt(family):
    from functools import partial

    # its vision module wants torchvision, which BERT does not need
    sys.modules[VIT] = types.SimpleNamespace(
        vision_transformer=types.ModuleType("vision"), cp_LRP={}
    )
    warnings.filterwarnings("ignore", message="'zennit'")
    from lxt import efficient
    from lxt.efficient import patches
    from lxt.efficient import rules
    from transformers.models.bert import modeling_bert

    if family == "attn_lrp":
        efficient.monkey_patch(modeling_bert)
        return

    # LXT has no CP-LRP map for BERT; this is its map for GPT-2, put onto BERT's classes
    def intermediate(self, x):
        return rules.identity_rule_implicit(self.intermediate_act_fn, self.dense(x))

    def pooler(self, x):
        return rules.identity_rule_implicit(self.activation, self.dense(x[:, 0]))

    plain_init = modeling_bert.BertSelfAttention.__init__

    def init(self, *arguments, **named):
        plain_init(self, *arguments, **named)
        for part in (
            self.query,
            self.key,
        ):  # patches.cp_wrap_attention_forward, for classes of 4.57
            part.register_forward_hook(lambda _, __, out: rules.stop_gradient(out))

    modeling_bert.BertSelfAttention.__init__ = init
    efficient.monkey_patch(
        modeling_bert,
        {
            torch.nn.LayerNorm: partial(patches.patch_method, patches.layer_norm_forward),
            torch.nn.Dropout: partial(patches.patch_method, patches.dropout_forward),
            modeling_bert.BertIntermediate: partial(patches.patch_method, intermediate),
            modeling_bert.BertPooler: partial(patches.patch_method, pooler),
        },
    )


def measure(folder, family, repeats):
    found = {}
    plain = {attention: load(folder, attention) for attention in ("eager", "sdpa")}
    predicts = {
        (attention, shape): median_s(lambda m=model, s=shape: predict(m, inputs_of(m, s)), repeats)
        for attention, model in plain.items()
        for shape in SHAPES
    }
    answers = {shape: predict(plain["eager"], inputs_of(plain["eager"], shape)) for shape in SHAPES}
    captum = {
        (attention, shape): run_captum(model, inputs_of(model, shape), repeats)
        for attention, model in plain.items()
        for shape in SHAPES
        if family == "captum"
    }
    if family != "captum":
        patch_lxt(family)
    for attention in ("eager", "sdpa"):
        model = plain[attention] if family == "captum" else load(folder, attention)
        for shape in SHAPES:
            inputs = inputs_of(model, shape)
            if family == "captum":
                seconds = captum[attention, shape]
            else:
                torch.testing.assert_close(
                    predict(model, inputs), answers[shape], atol=1e-4, rtol=1e-4
                )
                seconds = run_lrp(model, inputs, f"lxt_{family}", repeats)
            own = predicts[attention, shape]
            key = f"{attention} {shape[0]}x{shape[1]}"
            found[key] = {
                "seconds": {f"predict_beside_{family}": own, **seconds},
                "ratios": {name: value / own for name, value in seconds.items()},
            }
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--family", choices=("captum", "attn_lrp", "cp_lrp"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="tiny shapes: does it run at all?")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    if arguments.dry:
        global SHAPES, IG_STEPS
        SHAPES, IG_STEPS = ((2, 16), (1, 24)), (3, 4)
    if arguments.family:
        print(json.dumps(measure(arguments.folder, arguments.family, arguments.repeats)))
        return
    merged = {
        "threads": 2,
        "dtype": "float32",
        "repeats": arguments.repeats,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    for family in ("captum", "attn_lrp", "cp_lrp"):
        line = subprocess.run(
            [sys.executable, __file__, arguments.folder, "--family", family]
            + ["--repeats", str(arguments.repeats)]
            + ["--dry"] * arguments.dry,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.splitlines()[-1]
        for key, values in json.loads(line).items():
            place = merged.setdefault(key, {"seconds": {}, "ratios": {}})
            place["seconds"] |= values["seconds"]
            place["ratios"] |= values["ratios"]
    print(json.dumps(merged))


if __name__ == "__main__":
    main()
