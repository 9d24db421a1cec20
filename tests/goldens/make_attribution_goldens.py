"""Make the golden of attributions that others compute: Captum's, and relevance by LXT's explicit rules.

attribution_tiny_bert.npz: a tiny random BERT classifier with every bias, and a batch of a text, a padded text and a
pair; all in float64, padding included, one array f64[b, t] a method:
  integrated_gradients  Captum, from the embedding of [PAD]; [CLS] and [SEP] stay. Beside it its gap, f64[b].
  gradient_x_input      Captum, summed over the width.
  sensitivity           Captum's Saliency, signed, then the L2 norm over the width.
  occlusion             Captum's FeatureAblation, every ordinary token replaced by [MASK] in turn.
  cp_lrp, attn_lrp      LXT's functions with epsilon 0, at the output of the embeddings' LayerNorm.
  */lxt_epsilon         the same two with LXT's own epsilons, 1e-6 and (sums, products) 1e-8.

    python -m venv .venv-peers && .venv-peers/bin/pip install -r requirements-peers.txt && \
        .venv-peers/bin/pip install --no-deps lxt==2.1 && \
        .venv-peers/bin/python tests/goldens/make_attribution_goldens.py

The file is made once. Make it anew only if its inputs must change; never to make a failing test pass.
"""

import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import captum.attr
import numpy as np
import torch
import transformers
from lxt.explicit import functional
from lxt.explicit import rules

PAD, CLS, SEP, MASK = 0, 2, 3, 4
INPUTS = {
    "input_ids": torch.tensor(
        [
            [CLS, 11, 27, 8, 35, 8, 19, 30, SEP],
            [CLS, 22, 9, 31, SEP, PAD, PAD, PAD, PAD],
            [CLS, 14, 33, SEP, 25, 7, 39, SEP, PAD],
        ]
    ),
    "token_type_ids": torch.tensor([[0] * 9, [0] * 9, [0, 0, 0, 0, 1, 1, 1, 1, 0]]),
}
INPUTS["attention_mask"] = (INPUTS["input_ids"] != PAD).long()
TARGET = torch.tensor([0, 2, 1])
ORDINARY = ~torch.isin(INPUTS["input_ids"], torch.tensor([PAD, CLS, SEP]))


class Epsilons(NamedTuple):
    """What LXT adds, without regard to sign, to the denominators of its rules."""

    linear: float
    norm: float
    add: float
    product: float


LXT = Epsilons(linear=1e-6, norm=1e-6, add=1e-8, product=1e-8)  # defaults of lxt 2.1
NONE = Epsilons(0.0, 0.0, 0.0, 0.0)


def make_model() -> transformers.BertForSequenceClassification:
    torch.manual_seed(31)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
        type_vocab_size=2,
        num_labels=3,
        attn_implementation="eager",
    )
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            # far from the initial values, so that every bias, beta and gamma matters
            value.normal_(1.0 if name.endswith("LayerNorm.weight") else 0.0, 0.4)
    return model.double().requires_grad_(False)


def with_captum(model: transformers.BertForSequenceClassification) -> dict[str, torch.Tensor]:
    ids, segments, mask = (
        INPUTS[name] for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    words = model.bert.embeddings.word_embeddings

    def of_embeddings(embeddings, segments, mask):
        return model(inputs_embeds=embeddings, token_type_ids=segments, attention_mask=mask).logits

    def of_ids(ids, segments, mask):
        return model(ids, token_type_ids=segments, attention_mask=mask).logits

    rest = {"target": TARGET, "additional_forward_args": (segments, mask)}
    embeddings = words(ids).requires_grad_()
    integrated, gap = captum.attr.IntegratedGradients(of_embeddings).attribute(
        embeddings,
        baselines=words(ids.masked_fill(ORDINARY, PAD)),
        method="gausslegendre",
        n_steps=200,
        internal_batch_size=60,
        return_convergence_delta=True,
        **rest,
    )
    times_input = captum.attr.InputXGradient(of_embeddings).attribute(embeddings, **rest)
    gradient = captum.attr.Saliency(of_embeddings).attribute(embeddings, abs=False, **rest)
    occlusion = captum.attr.FeatureAblation(of_ids).attribute(
        ids, baselines=ids.masked_fill(ORDINARY, MASK), **rest
    )
    return {
        "integrated_gradients": integrated.sum(-1),
        "integrated_gradients/gap": gap,
        "gradient_x_input": times_input.sum(-1),
        "sensitivity": gradient.norm(dim=-1),
        "occlusion": occlusion,
    }


def with_lxt(
    model: transformers.BertForSequenceClassification,
    attend: Callable[..., torch.Tensor],
    epsilons: Epsilons,
) -> torch.Tensor:
    """Write BERT with LXT's functions and share the target's logit out: f64[b, t]."""
    bert, heads = model.bert, model.config.num_attention_heads
    is_padding = INPUTS["attention_mask"][:, None, None, :] == 0

    def linear(x, layer):
        return functional.linear_epsilon(x, layer.weight, layer.bias, epsilons.linear)

    def norm(x, layer):
        # not functional.layer_norm, which hides its epsilon
        return functional.layer_norm_grad_fn.apply(
            x, layer.weight, layer.bias, layer.eps, epsilons.norm
        )

    def add(a, b):
        return functional.add2(a, b, epsilon=epsilons.add)

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    entered = bert.embeddings(INPUTS["input_ids"], INPUTS["token_type_ids"]).requires_grad_()
    hidden = entered
    for layer in bert.encoder.layer:
        own = layer.attention.self
        query, key, value = (
            split(linear(hidden, part)) for part in (own.query, own.key, own.value)
        )
        context = attend(query, key, value, is_padding, epsilons.product)
        context = context.transpose(1, 2).flatten(2)
        out = layer.attention.output
        hidden = norm(add(linear(context, out.dense), hidden), out.LayerNorm)
        wide = linear(hidden, layer.intermediate.dense)
        wide = rules.identity(layer.intermediate.intermediate_act_fn, wide)
        narrow = linear(wide, layer.output.dense)
        hidden = norm(add(narrow, hidden), layer.output.LayerNorm)
    pooled = rules.identity(torch.tanh, linear(hidden[:, 0], bert.pooler.dense))
    logits = linear(pooled, model.classifier)
    torch.testing.assert_close(logits, model(**INPUTS).logits)
    score = logits[torch.arange(len(TARGET)), TARGET]
    (relevance,) = torch.autograd.grad(score, entered, score.detach())
    return relevance.sum(-1)


def attend_attn_lrp(query, key, value, is_padding, epsilon):
    scores = functional.matmul(query, key.transpose(-1, -2), epsilon=epsilon)
    scores = scores.masked_fill(is_padding, -math.inf)
    probs = functional.softmax(scores, -1, temperature=math.sqrt(query.shape[-1]))
    return functional.matmul(probs, value, epsilon=epsilon)


def attend_cp_lrp(query, key, value, is_padding, epsilon):
    scores = (query @ key.transpose(-1, -2)).masked_fill(is_padding, -math.inf)
    probs = torch.softmax(scores / math.sqrt(query.shape[-1]), -1).detach()
    return rules.epsilon_lrp(torch.matmul, epsilon, probs, value)


def main() -> None:
    model = make_model()
    arrays = {f"weights/{name}": value.float() for name, value in model.state_dict().items()}
    arrays |= {f"inputs/{name}": value for name, value in INPUTS.items()}
    arrays |= {"target": TARGET, "logits": model(**INPUTS).logits} | with_captum(model)
    for name, attend in (("cp_lrp", attend_cp_lrp), ("attn_lrp", attend_attn_lrp)):
        arrays[name] = with_lxt(model, attend, NONE)
        arrays[f"{name}/lxt_epsilon"] = with_lxt(model, attend, LXT)
    path = pathlib.Path(__file__).with_name("attribution_tiny_bert.npz")
    np.savez_compressed(path, **{name: value.detach().numpy() for name, value in arrays.items()})


if __name__ == "__main__":
    main()
