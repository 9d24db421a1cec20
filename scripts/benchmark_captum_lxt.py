"""What Captum's integrated gradients and LXT's AttnLRP cost on transformers' BERT; see `benchmark_peers`.

Sources: Captum 0.9.0, IntegratedGradients by its default rule (Gauss-Legendre); LXT 2.1, its patches for BERT.
"""

import functools
import sys
import time
import types
import warnings
from typing import Any, TypeAlias

import torch

Inputs: TypeAlias = tuple[torch.Tensor, ...]
"""Ids, segments and mask of rows without padding."""
_TOKENS_AT_ONCE = 4096  # nodes of the path in one pass, as our own integrated gradients take
_VIT = "lxt.efficient.models.vit_torch"


def integrated_gradients(model: Any, inputs: Inputs, steps: int) -> dict[str, float]:
    """Time the predicted class's logit explained from a baseline of [PAD] between [CLS] and [SEP].

    Returns:
      `seconds`, and `gap`: scores less the logit's rise, which is found outside the time.
    """
    import captum.attr

    ids, segments, mask = inputs
    words = model.bert.embeddings.word_embeddings
    empty = torch.zeros_like(ids)
    empty[:, 0], empty[:, -1] = ids[:, 0], ids[:, -1]

    def logits(embeddings: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor) -> Any:
        return model(inputs_embeds=embeddings, token_type_ids=segments, attention_mask=mask).logits

    with torch.inference_mode():
        answers = logits(words(ids), segments, mask)
        target = int(answers.argmax())
        rise = float((answers - logits(words(empty), segments, mask))[0, target])
    start = time.perf_counter()
    scores = captum.attr.IntegratedGradients(logits).attribute(
        words(ids),
        baselines=words(empty),
        target=target,
        additional_forward_args=(segments, mask),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=max(1, _TOKENS_AT_ONCE // ids.shape[1]),
    )
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "gap": abs(float(scores.sum()) - rise)}


def steps_for_gap(model: Any, inputs: Inputs, gap: float, most: int) -> int:
    """Return the smallest power of two whose gap is no larger, but for the last digits of float32.

    Raises:
      ValueError: so many steps do not suffice.
    """
    steps = 8
    while steps <= most:
        if integrated_gradients(model, inputs, steps)["gap"] <= 1.01 * gap:
            return steps
        steps *= 2
    raise ValueError(f"{most} steps do not bring the gap down to {gap:.2g}")


@functools.cache
def patch() -> None:
    """Put LXT's rules in force for every BERT that is loaded from now on."""
    # its vision module wants torchvision, which BERT does not need
    stand_in: Any = types.SimpleNamespace(vision_transformer=types.ModuleType("vision"), cp_LRP={})
    sys.modules[_VIT] = stand_in
    warnings.filterwarnings("ignore", message="'zennit'")
    from lxt import efficient
    from transformers.models.bert import modeling_bert

    efficient.monkey_patch(modeling_bert)


def attn_lrp(model: Any, inputs: Inputs) -> dict[str, float]:
    """Time gradient x input at the output of the embeddings' LayerNorm, which LXT's rules make AttnLRP."""
    ids, segments, mask = inputs
    kept: dict[str, torch.Tensor] = {}

    def enter(module: object, arguments: object, entered: torch.Tensor) -> torch.Tensor:
        kept["entered"] = entered.detach().requires_grad_()
        return kept["entered"]

    hook = model.bert.embeddings.register_forward_hook(enter)
    start = time.perf_counter()
    logits = model(ids, token_type_ids=segments, attention_mask=mask).logits
    (gradient,) = torch.autograd.grad(logits.max(-1).values.sum(), kept["entered"])
    (gradient * kept["entered"]).sum(-1).detach().numpy()
    seconds = time.perf_counter() - start
    hook.remove()
    return {"seconds": seconds}
