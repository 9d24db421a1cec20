"""Texts with their words shaded by score: one offline HTML page, everything escaped, or lines for a terminal.

Signed scores are blue towards the target and orange away from it, and their sign is also told without colour. Takes
records, returns `str`; entry points write files. Layout lives in `templates/`, colours in `palette`.
"""

import itertools
import math
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jinja2
import numpy as np

from bert import tokenization
from explain import explanation as explanation_lib
from explain import palette

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TOP_WORDS = 20
_TOP_WORDS_IN_TERMINAL = 10
# What drives a terminal, or turns the direction of what follows: control characters, line separators, bidi marks and
# overrides, halves of surrogate pairs.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FAINTEST_IN_TERMINAL = 6  # steps of `DARKEST`: below it a word stays plain
DARKEST = 50  # steps of the colour scale: finer than an eye tells apart, and a class a word keeps the page small


class Segment(NamedTuple):
    """A run of the user's characters; between words `score` is None.

    Attributes:
      shade: step of the colour scale, 0 to `DARKEST`; 0 where the score is no finite number.
      is_cut: the model did not read this tail.
    """

    text: str
    score: float | None = None
    shade: int = 0
    is_cut: bool = False

    @property
    def is_finite(self) -> bool:
        """Whether the score can be placed on a scale."""
        return self.score is not None and math.isfinite(self.score)


def token_fragment(
    tokens: Sequence[str],
    token_weights: Sequence[float],
    target_label: str | int,
    pred_label: str | int,
    pred_probs: Sequence[float],
    review_id: str | int,
    viz_relative: bool = False,
    *,
    ignore_special: bool = False,
) -> str:
    """Return one review as an HTML fragment, one span a token, blue with the weight as opacity.

    Args:
      token_weights: at least one a token, 0 to 1; what follows (padding) is left out.
      pred_probs: one a class, any number of classes.
      viz_relative: divide by the largest weight, so that the strongest token is opaque.
      ignore_special: leave [CLS], [SEP] and [PAD] white and out of that largest weight.

    Raises:
      ValueError: there are fewer weights than tokens, or a weight is NaN.

    Source: hsm207/bert_attn_viz, explain/attention.py, viz_attention.
    """
    if len(token_weights) < len(tokens):
        raise ValueError(
            f"token_weights must hold one weight a token, got {len(token_weights)} for {len(tokens)} tokens"
        )
    weights = [
        0.0 if ignore_special and tokenization.is_special(token) else float(weight)
        for token, weight in zip(tokens, token_weights, strict=False)
    ]
    largest = max(weights, default=0.0) if viz_relative else 1.0
    alphas = [weight / largest if largest > 0 else 0.0 for weight in weights]
    return TEMPLATES.get_template("token_fragment.html").render(
        page=palette.WHITE,
        ink=palette.BLACK,
        shaded=[
            (token, palette.translucent_blue(alpha), palette.text_on_translucent_blue(alpha))
            for token, alpha in zip(tokens, alphas, strict=True)
        ],
        review_id=review_id,
        target_label=target_label,
        pred_label=pred_label,
        probabilities=[f"{probability:.4f}" for probability in pred_probs],
    )


def segments(record: explanation_lib.Explanation, sentence: int = 0) -> Iterator[Segment]:
    """Yield one text in order, words shaded against the record's largest score; joined, they are the text itself.

    Scores that are no finite numbers have no part in the scale.
    """
    text, largest = record.texts[sentence], _largest(record)
    position, was_cut = 0, record.truncated[sentence] > 0
    for word, score in zip(record.words, map(float, record.scores), strict=True):
        if word.sentence != sentence:
            continue
        if between := text[position : word.start]:
            yield Segment(between, is_cut=was_cut and not between.isspace())
        share = abs(score) / largest if largest and math.isfinite(score) else 0.0
        yield Segment(word.text, score, round(share * DARKEST))
        position = word.end
    if rest := text[position:]:
        yield Segment(rest, is_cut=was_cut and not rest.isspace())


def report(records: Sequence[explanation_lib.Explanation], title: str) -> str:
    """Return a self-contained page with every text, its words shaded by score.

    Args:
      records: explanations of any methods and targets; those of one text that follow each other share an article.

    Raises:
      ValueError: there are no records.
    """
    return page("report.html", records, title)


def page(
    template: str, records: Sequence[explanation_lib.Explanation], title: str, **parts: object
) -> str:
    """Return what `report` does, of its template or one that extends it with further parts.

    Raises:
      ValueError: there are no records.
    """
    if not records:
        raise ValueError("a report must show at least one explanation, got none")
    articles = [_article(list(group)) for _, group in itertools.groupby(records, key=_answer)]
    labelled = [article.record for article in articles if article.record.gold is not None]
    steps = [step / DARKEST for step in range(DARKEST + 1)]
    scales = {
        "s": [(*palette.sequential(x), *palette.sequential_on_dark(x)) for x in steps],
        "t": [(*palette.diverging(x), *palette.diverging_on_dark(x)) for x in steps],
        "a": [(*palette.diverging(-x), *palette.diverging_on_dark(-x)) for x in steps],
    }
    kinds = {record.signed for record in records}
    source = TEMPLATES.get_template(template).render(
        **parts,
        title=title,
        methods=list(dict.fromkeys(record.method for record in records)),
        articles=articles,
        labelled=len(labelled),
        right=sum(record.predicted == record.gold for record in labelled),
        scales={name: scales[name] for name in scales if (name != "s") in kinds},
        shows_attention=any(map(_is_attention, records)),
        pools_tokens=any(record.settings.get("pooling") in _OF_ALL_TOKENS for record in records),
        shows_no_numbers=not all(np.all(np.isfinite(record.scores)) for record in records),
        no_number=palette.NO_NUMBER,
        page_colours=palette.PAGE,
        dark_page_colours=palette.DARK_PAGE,
    )
    return encodable(source)


def encodable(source: str) -> str:
    """Return a page that can be written as UTF-8: half a surrogate pair, which has none, shows as missing."""
    return source.encode("utf-8", "xmlcharrefreplace").decode("utf-8")


def ansi(record: explanation_lib.Explanation, *, colour: bool = True) -> str:
    """Return a record as lines for a terminal: the answer, the text with its words coloured, the strongest words.

    Words are shaded in the 256 colours; those that speak against the target are underlined too. Characters of the text
    that would drive the terminal are spelled as their escapes.
    """
    lines = [f"{_safe(record.guid)}: {_safe(_told(record))}"]
    lines.append(f"{_safe(record.method)}: {_safe(', '.join(_facts(record)))}")
    if record.checks.get("passed") is False:
        lines.append("WARNING: a check of this explanation failed; do not rely on its scores")
    if colour and record.signed:
        lines.append("blue: towards the target; orange, underlined: away from it")
    for sentence, cut in zip(range(len(record.texts)), record.truncated, strict=False):
        parts = (_in_terminal(part, record.signed, colour) for part in segments(record, sentence))
        lines += ["", "".join(parts)]
        if cut:
            lines.append(f"({cut} tokens not read)")
    spell = _speller(record)
    ranked = [
        (spell(score), _safe(word)) for word, score in _ranked(record, _TOP_WORDS_IN_TERMINAL)
    ]
    width = max((len(number) for number, _ in ranked), default=0)
    return "\n".join([*lines, "", *(f"{number:>{width}}  {word}" for number, word in ranked), ""])


class _Block(NamedTuple):
    """One method's view of a text."""

    record: explanation_lib.Explanation
    facts: list[str]
    texts: list[list[Segment]]
    top: list[tuple[str, str]]
    spell: Callable[[float], str]


class _Article(NamedTuple):
    """One text, the model's answer, and every method's view of it."""

    record: explanation_lib.Explanation
    blocks: list[_Block]
    is_wrong: bool
    probabilities: list[tuple[str, float]]


def _answer(record: explanation_lib.Explanation) -> tuple[object, ...]:
    return record.guid, record.texts, record.predicted, record.gold


def _article(records: list[explanation_lib.Explanation]) -> _Article:
    first = records[0]
    return _Article(
        record=first,
        blocks=[_block(record) for record in records],
        is_wrong=_is_wrong(first),
        probabilities=list(zip(first.labels, first.probabilities.tolist(), strict=True)),
    )


def _block(record: explanation_lib.Explanation) -> _Block:
    spell = _speller(record)
    return _Block(
        record=record,
        facts=_facts(record),
        texts=[list(segments(record, sentence)) for sentence in range(len(record.texts))],
        top=[(word, spell(score)) for word, score in _ranked(record, _TOP_WORDS)],
        spell=spell,
    )


def _told(record: explanation_lib.Explanation) -> str:
    wrong = "\u2717 wrong: " if _is_wrong(record) else ""
    gold = "" if record.gold is None else f", true label {record.gold}"
    return f"{wrong}predicted {record.predicted} ({record.confidence:.3f}){gold}"


def _is_wrong(record: explanation_lib.Explanation) -> bool:
    return record.gold is not None and record.gold != record.predicted


def _is_attention(record: explanation_lib.Explanation) -> bool:
    """Tell methods that weigh attention alone: they know no class, as only random scores do not either."""
    return not record.target and record.method != "random"


_OF_ALL_TOKENS = ("global_average_pool", "global_max_pool")
_NAMES = {"biases": "left on the model's biases", "softmax": "left in the softmax"}


def _facts(record: explanation_lib.Explanation) -> list[str]:
    """Return what must be known to read the scores, a phrase each."""
    largest = _speller(record)(_largest(record)).removeprefix("+")
    share = 100 * record.special_share
    what = "attention" if _is_attention(record) else "absolute scores"
    facts = [f"target {record.target}"] if record.target else []
    facts.append(f"scale -{largest} to +{largest}" if record.signed else f"scale 0 to {largest}")
    if math.isfinite(share) and (share > 0 or not record.signed):  # some leave them out
        facts.append(f"{share:.0f} % of the {what} on special tokens")
    if record.target and "score" in record.checks:
        facts.append(
            f"{record.settings.get('score', 'score')} explained {record.checks['score']:.4g}"
        )
    if record.completeness_gap is not None:
        facts.append(f"completeness gap {record.completeness_gap:.2g}")
    told = {"score", "completeness_gap", "passed"}
    facts += [
        f"{_NAMES.get(name, name.replace('_', ' '))} {format(value, '.3g') if isinstance(value, float) else value}"
        for name, value in record.checks.items()
        if name not in told
    ]
    return facts


def _largest(record: explanation_lib.Explanation) -> float:
    finite = record.scores[np.isfinite(record.scores)]
    return float(np.max(np.abs(finite), initial=0.0))


def _ranked(record: explanation_lib.Explanation, count: int) -> list[tuple[str, float]]:
    """Return the strongest words, those whose score is no finite number last."""
    pairs = [
        (word.text, float(score)) for word, score in zip(record.words, record.scores, strict=True)
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[1]) if math.isfinite(pair[1]) else math.inf)[
        :count
    ]


def _speller(record: explanation_lib.Explanation) -> Callable[[float], str]:
    """Return how to spell a score: with as many places as the record's largest needs."""
    places = ".4f" if 0.001 <= (_largest(record) or 1.0) < 1e6 else ".3e"
    pattern = f"+{places}" if record.signed else places

    def spell(score: float) -> str:
        return "not a number" if math.isnan(score) else format(score, pattern)

    return spell


def _in_terminal(segment: Segment, signed: bool, colour: bool) -> str:
    text = _UNSAFE.sub(
        lambda match: match[0] if match[0] in "\n\t" else _escape(match), segment.text
    )
    if segment.score is not None and not segment.is_finite:
        return f"{text}({segment.score})"
    if not colour or segment.score is None or segment.shade < _FAINTEST_IN_TERMINAL:
        return text
    is_away = signed and segment.score < 0
    share = segment.shade / DARKEST
    background, ink = palette.diverging_in_terminal(-share if is_away else share)
    underline = ";4" if is_away else ""
    return f"\x1b[48;5;{background};38;5;{ink}{underline}m{text}\x1b[0m"


def _safe(text: str) -> str:
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
