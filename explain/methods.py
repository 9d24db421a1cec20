"""The methods by name: which function explains, under which options, and what is checked about its answer.

A method is a function of a `Question`; what several methods of one question need (the score, the backward pass) is
computed once. Methods of one's own are such functions too. Leaves to others: the arithmetic (`attention`,
`attribution`, `relevance`, `perturbation`), running the graph (`explainer`, `model`).
"""

import dataclasses
import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias

import pydantic
import tensorflow as tf

from bert import classifier
from bert import config as config_lib
from bert import features as features_lib
from bert import shapes
from explain import attention
from explain import attribution
from explain import averaged_gradients
from explain import perturbation
from explain import relevance
from explain import words as words_lib

Count = Annotated[int, pydantic.Field(ge=1)]
Positive = Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
NotNegative = Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)]
_LEDGER_TOLERANCE = {tf.float32: 1e-4, tf.float64: 1e-9}
_ROW_SUM_TOLERANCE = 1e-5
_HALF_ROW_SUM_TOLERANCE = 0.02  # bfloat16 rounds each weight by up to 0.4 %, in every layer


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked about one batch: why this score of these texts?

    Attributes:
      features: with targets, as `attribution.with_targets` gives them.
    """

    outputs: classifier.BertOutputs
    features: features_lib.Features
    kind: attribution.ScoreKind
    special: features_lib.SpecialIds

    def score_of(self, logits: shapes.Logits, features: features_lib.Features) -> shapes.PerExample:
        """Return what is explained, of any logits."""
        return attribution.score(self.kind, logits, features)

    @functools.cached_property
    def score(self) -> shapes.PerExample:
        """What is explained, of the texts as they are."""
        return self.score_of(self.outputs.logits, self.features)

    @functools.cached_property
    def gradients(self) -> attribution.Gradients:
        """The one backward pass that all plain-gradient methods share."""
        return attribution.gradients_of(self.outputs, self.score)


class Attribution(NamedTuple):
    """A method's answer for a batch.

    Attributes:
      checks: what was measured about it, one value an example.
      passed: whether the checks are within their tolerance; None where there is nothing to check.
      layer_scores: f[b, l + 1, t], relevance where a token enters layer 0 and after every layer.
    """

    token_scores: shapes.TokenScores
    checks: Mapping[str, tf.Tensor] = {}
    passed: tf.Tensor | None = None
    layer_scores: tf.Tensor | None = None


class Method(NamedTuple):
    """A method and what must be known to use it.

    Attributes:
      explain: function of a `Question`; its keyword-only arguments are the method's options.
      signed: whether scores below 0 speak against the target.
      knows_target: False where the answer is the same whatever class is asked about.
      needs_taps: the forward pass must be built with taps.
      needs_logit: only a logit, or a difference of two, can be shared out by it.
      has_loop: it goes through many inputs in a loop that XLA cannot compile.
      word_scores: how a word's score is made of its pieces', whatever the user's choice; None leaves it to that.
    """

    explain: Callable[..., Attribution | tf.Tensor]
    signed: bool = True
    knows_target: bool = True
    needs_taps: bool = False
    needs_logit: bool = False
    has_loop: bool = False
    word_scores: words_lib.Combine | None = None


def _of_attention(
    processor: attention.AttentionProcessor, *, sums_to_heads: bool = False
) -> Method:
    def explain(question: Question) -> Attribution:
        scores = attention.processed(processor, question.outputs)["attention"]
        heads = tf.shape(question.outputs.attention_probs[0])[1]
        total = tf.cast(heads if sums_to_heads else 1, scores.dtype)
        error = tf.abs(tf.reduce_sum(scores, axis=1) / total - 1.0)
        is_half = question.outputs.attention_probs[0].dtype == tf.bfloat16
        allowed = _HALF_ROW_SUM_TOLERANCE if is_half else _ROW_SUM_TOLERANCE
        return Attribution(scores, {"row_sum_error": error}, error <= allowed)

    return Method(explain, signed=False, knows_target=False)


def _of_gradient(
    function: Callable[[classifier.BertOutputs, attribution.Gradients], shapes.TokenScores],
    *,
    signed: bool = False,
) -> Method:
    return Method(lambda question: function(question.outputs, question.gradients), signed=signed)


def _integrated_gradients(
    question: Question,
    *,
    baseline: averaged_gradients.Baseline = "pad",
    steps: Count = 32,
    max_steps: Count = 512,
    tolerance: Positive = 0.01,
    tokens_at_once: Count = 4096,
) -> Attribution:
    path = averaged_gradients.path_from(
        baseline, question.outputs, question.features, question.special
    )
    found = averaged_gradients.integrated_gradients(
        question.outputs,
        question.features,
        question.score_of,
        path,
        steps=steps,
        max_steps=max_steps,
        tolerance=tolerance,
        tokens_at_once=tokens_at_once,
    )
    checks = {
        "baseline_score": question.score - found.rise,
        "completeness_gap": found.gap,
        "steps": found.steps,
    }
    return Attribution(found.token_scores, checks, tf.abs(found.gap) <= found.allowed)


def _smoothgrad(
    question: Question,
    *,
    samples: Count = 25,
    noise_level: NotNegative = 0.1,
    seed: int = 0,
    tokens_at_once: Count = 4096,
) -> tf.Tensor:
    return averaged_gradients.smoothgrad(
        question.outputs,
        question.features,
        question.score_of,
        samples=samples,
        noise_level=noise_level,
        seed=seed,
        tokens_at_once=tokens_at_once,
    )


def _occlusion(
    question: Question,
    *,
    replacement: perturbation.Replacement = "mask",
    tokens_at_once: Count = 4096,
) -> tf.Tensor:
    return perturbation.occlusion(
        question.outputs,
        question.features,
        question.score_of,
        question.special,
        replacement=replacement,
        tokens_at_once=tokens_at_once,
    )


def _random(question: Question, *, seed: int = 0) -> tf.Tensor:
    return perturbation.random(question.outputs, question.features, seed=seed)


def _cp_lrp(question: Question, *, layers: bool = False) -> Attribution:
    return _shared_out(relevance.cp_lrp(question.outputs, question.score), layers)


def _attn_lrp(question: Question, *, layers: bool = False) -> Attribution:
    return _shared_out(relevance.attn_lrp(question.outputs, question.score), layers, "softmax")


def _epsilon_lrp(
    question: Question, *, epsilon: Positive = 1e-6, layers: bool = False
) -> Attribution:
    found = relevance.epsilon_lrp(question.outputs, question.score, epsilon=epsilon)
    return _shared_out(found, layers, "damped")


def _alpha_beta_lrp(
    question: Question, *, alpha: Finite = 2.0, beta: Finite = 1.0, layers: bool = False
) -> Attribution:
    found = relevance.alpha_beta_lrp(question.outputs, question.score, alpha=alpha, beta=beta)
    return _shared_out(found, layers)


def _bert_lrp_2021(question: Question, *, layers: bool = False) -> Attribution:
    found = relevance.bert_lrp_2021(question.outputs, question.score)
    return Attribution(found.token_scores, layer_scores=found.layer_scores if layers else None)


def _shared_out(found: relevance.Relevance, layers: bool, *kept_by: str) -> Attribution:
    error = found.ledger_error
    checks = {name: getattr(found, name) for name in ("biases", *kept_by)}
    checks["ledger_error"] = error
    return Attribution(
        found.token_scores,
        checks,
        error <= _LEDGER_TOLERANCE[error.dtype],
        found.layer_scores if layers else None,
    )


METHODS: dict[str, Method] = {
    "attention_last": _of_attention(attention.average_last_layer_by_head),
    "attention_first": _of_attention(attention.average_first_layer_by_head),
    "rollout": _of_attention(attention.rollout),
    "lat": _of_attention(attention.lat, sums_to_heads=True),
    "gradient_sensitivity": _of_gradient(attribution.gradient_sensitivity),
    "gradient_sensitivity_squared": _of_gradient(attribution.gradient_sensitivity_squared),
    "gradient_x_input": _of_gradient(attribution.gradient_x_input, signed=True),
    "gradient_x_input_squared": _of_gradient(attribution.gradient_x_input_squared),
    "integrated_gradients": Method(_integrated_gradients, has_loop=True),
    "smoothgrad": Method(_smoothgrad, signed=False, has_loop=True),
    "chefer": _of_gradient(attribution.chefer),
    "cp_lrp": Method(_cp_lrp, needs_taps=True, needs_logit=True),
    "attn_lrp": Method(_attn_lrp, needs_taps=True, needs_logit=True),
    "epsilon_lrp": Method(_epsilon_lrp, needs_taps=True, needs_logit=True),
    "alpha_beta_lrp": Method(_alpha_beta_lrp, needs_taps=True, needs_logit=True),
    "bert_lrp_2021": Method(_bert_lrp_2021, signed=False, needs_taps=True, needs_logit=True),
    "occlusion": Method(_occlusion, has_loop=True),
    # summed, words of several pieces would win
    "random": Method(_random, signed=False, knows_target=False, has_loop=True, word_scores="first"),
}


MethodLike: TypeAlias = str | Method | Callable[[Question], Attribution | tf.Tensor]
"""A name of `METHODS`, a function of one's own, the same as package.module:function, or a `Method` that says more."""
Options = Mapping[str, Mapping[str, Any]]


class Bound(NamedTuple):
    """A method with all of its options settled."""

    name: str
    method: Method
    options: Mapping[str, Any]

    def answer(self, question: Question) -> Attribution:
        """Explain a batch."""
        found = self.method.explain(question, **self.options)
        return found if isinstance(found, Attribution) else Attribution(found)


def bind(methods: Sequence[MethodLike], options: Options | None = None) -> tuple[Bound, ...]:
    """Find methods and settle their options; defaults are filled in, so that a record can name them all.

    Raises:
      TypeError: `methods` is a single string.
      ValueError: an unknown method, method twice, or option, or a value that an option cannot have.
    """
    if isinstance(methods, str):
        raise TypeError(f"methods must be a list of methods, got one str; write [{methods!r}]")
    found = dict(map(_find, methods))
    if len(found) < len(methods):
        raise ValueError("methods must differ in their names, got one twice; leave one out")
    options = options or {}
    if unused := options.keys() - found.keys():
        raise ValueError(
            f"method_options must be for the methods asked for, {', '.join(found)}; got some for "
            f"{', '.join(sorted(unused))}"
        )
    return tuple(
        Bound(name, method, _settle(name, method, options.get(name, {})))
        for name, method in found.items()
    )


def _find(method: MethodLike) -> tuple[str, Method]:
    if isinstance(method, str) and method in METHODS:
        return method, METHODS[method]
    function: object = method
    if isinstance(method, str):
        if ":" not in method:
            near = difflib.get_close_matches(method, METHODS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"a method must be one of {', '.join(METHODS)}, or a function of your own as package.module:function; "
                f"got {method!r}{hint}"
            )
        function = config_lib.import_object(method, "methods")
    found = function if isinstance(function, Method) else Method(function)  # type: ignore[arg-type]
    if not callable(found.explain):
        raise ValueError(f"a method must be a name or a function of a Question, got {method!r}")
    return getattr(found.explain, "__name__", type(found.explain).__name__), found


def _settle(name: str, method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        parameter.name: parameter
        for parameter in inspect.signature(method.explain).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    missing = [key for key, p in known.items() if p.default is p.empty and key not in given]
    if missing:
        raise ValueError(f"options of {name} must give {', '.join(missing)}, which has no default")
    settled = {key: parameter.default for key, parameter in known.items()}
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"options of {name} must be of {', '.join(known) or 'none at all'}; got {key!r}"
            )
        try:
            annotation = known[key].annotation
            kind = Any if annotation is inspect.Parameter.empty else annotation
            settled[key] = pydantic.TypeAdapter(kind).validate_python(value)
        except pydantic.ValidationError as error:
            told = error.errors()[0]["msg"]
            raise ValueError(f"{name}: {key} got {value!r}: {told}") from None
    if {"steps", "max_steps"} <= settled.keys() and settled["max_steps"] < settled["steps"]:
        raise ValueError(
            f"{name}: max_steps must be at least steps={settled['steps']}, got {settled['max_steps']}"
        )
    if {"alpha", "beta"} <= settled.keys() and abs(settled["alpha"] - settled["beta"] - 1) > 1e-9:
        raise ValueError(
            f"{name}: alpha - beta must be 1, or relevance is lost, got {settled['alpha']} and {settled['beta']}"
        )
    return settled
