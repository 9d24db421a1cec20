"""What explanations say of a whole data set: its words, layers and heads, and how far methods and data sets agree.

Numbers only: `evaluation_plots` draws them, `explainer` makes the records. A word is counted in lower case and without
the punctuation at its ends, so that "Great," and "great" are one; what is all punctuation stays as it is. Special
tokens belong to no word of a record and so to no table.

Intervals are bootstrap intervals of 95 % (`statistics`).
"""

import array
import collections
import itertools
import math
import pathlib
import string
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.stats
import sklearn.metrics

from bert import files
from bert import tokenization
from explain import explanation as explanation_lib
from explain import statistics

WordScores: TypeAlias = Mapping[
    str, npt.NDArray[np.float32]
]  # word: a score for each time it stands in a text


class WordRow(NamedTuple):
    """A word of a table.

    Attributes:
      score: mean over its occurrences, `n` of them; the interval takes each for one draw, also those in one text.
    """

    word: str
    score: statistics.Interval


class WordTable(NamedTuple):
    """The words with the highest means, highest first, and those with the lowest, lowest first; none is in both."""

    top: tuple[WordRow, ...]
    bottom: tuple[WordRow, ...]


class Grid(NamedTuple):
    """Correlations of everything with everything.

    Attributes:
      values: float64[m, m], symmetric; NaN where there is none, as of scores that are all one number.
      counts: int64[m, m], how many texts or words each rests on.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


class LayerShare(NamedTuple):
    """Where a method's relevance lies.

    Attributes:
      layer: 0 where the tokens enter the first layer, l after l layers.
      share: of the absolute relevance of a text's tokens in all layers, what lies in this one.
      special: of the absolute relevance in this layer, what lies on special tokens.
    """

    layer: int
    share: statistics.Interval
    special: statistics.Interval


class HeadRow(NamedTuple):
    """A head's importance over the texts; layers and heads count from 0."""

    layer: int
    head: int
    importance: statistics.Interval


class Polarity(NamedTuple):
    """How the signs of word scores agree with words known to be positive or negative.

    Attributes:
      right: share of the words whose mean has their sign; a mean of 0 is wrong.
      auc: chance that a positive word's mean is above a negative one's; NaN where one kind is missing.
      majority: what `right` would be if all words had the sign of the more frequent kind.
    """

    right: statistics.Interval
    auc: float
    positive: int
    negative: int

    @property
    def majority(self) -> float:
        """Share of the more frequent kind."""
        return max(self.positive, self.negative) / (self.positive + self.negative)


def normalise(word: str) -> str:
    """Return the word as tables count it.

    >>> normalise('"Great,'), normalise("isn't"), normalise("...")
    ('great', "isn't", '...')
    """
    start, end = 0, len(word)
    while start < end and _is_punctuation(word[start]):
        start += 1
    while start < end and _is_punctuation(word[end - 1]):
        end -= 1
    return (word[start:end] or word).lower()


def word_scores(
    records: Iterable[explanation_lib.Explanation],
) -> dict[tuple[str, str], WordScores]:
    """Collect the scores of every word by (method, class), so that scales and signs are never mixed.

    The class is the one that was explained; of a method that knows no class, the predicted one.

    Raises:
      ValueError: a score is no finite number.
    """
    found: dict[tuple[str, str], dict[str, array.array[float]]] = {}
    for record in records:
        if not np.all(np.isfinite(record.scores)):
            raise ValueError(
                f"scores must be finite numbers to be averaged, got others in {record.guid!r} by {record.method}; "
                "leave that record out, or see why the model's training diverged"
            )
        key = record.method, record.target or record.predicted
        words = found.setdefault(key, collections.defaultdict(lambda: array.array("f")))
        for word, score in zip(record.words, record.scores, strict=True):
            words[normalise(word.text)].append(score)
    return {
        key: {word: np.array(scores, np.float32) for word, scores in words.items()}
        for key, words in found.items()
    }


def word_means(scores: WordScores, min_count: int = 1) -> dict[str, float]:
    """Return the mean score of each word that stands at least `min_count` times in the texts."""
    return {
        word: float(np.mean(values, dtype=np.float64))
        for word, values in scores.items()
        if len(values) >= min_count
    }


def word_table(
    scores: WordScores, *, number: int = 30, min_count: int = 5, seed: int = 0
) -> WordTable:
    """Return the `number` words with the highest means and with the lowest; equal means are in Unicode's order."""
    means = word_means(scores, min_count)
    ranked = sorted(means, key=lambda word: (-means[word], word))
    bottom = sorted(ranked[number:], key=lambda word: (means[word], word))[:number]
    return WordTable(
        *(
            tuple(WordRow(word, statistics.bootstrap_mean(scores[word], seed)) for word in words)
            for words in (ranked[:number], bottom)
        )
    )


def agreement(records: Iterable[explanation_lib.Explanation]) -> Grid:
    """Return the mean Spearman correlation of the word scores of each two methods, over the texts both explain.

    Scores are ranked with their sign. A text counts where neither method gives all its words one score. No more than
    one text is held at a time.

    Args:
      records: those of a text one after the other.

    Raises:
      ValueError: a method explains a text twice, or two read it differently.
    """
    found: dict[tuple[str, str], list[float]] = collections.defaultdict(lambda: [0.0, 0])
    names: dict[str, None] = {}
    seen: set[str] = set()
    for guid, of_text in itertools.groupby(records, key=lambda record: record.guid):
        ranks: dict[str, npt.NDArray[np.float64]] = {}
        read: set[tuple[object, ...]] = set()
        for record in of_text:
            read.add((record.texts, record.words))
            if guid in seen or record.method in ranks or len(read) > 1:
                raise ValueError(
                    f"each method must explain a text once, and all read it alike, got {guid!r} twice by "
                    f"{record.method} or read in two ways; give the records of one data file and one target, those "
                    "of a text one after the other"
                )
            ranks[record.method] = scipy.stats.rankdata(record.scores)
        seen.add(guid)
        names |= dict.fromkeys(ranks)
        values = _correlations(np.stack(list(ranks.values()))).ravel().tolist()
        for (one, other), value in zip(itertools.product(ranks, ranks), values, strict=True):
            if math.isfinite(value):
                total, count = found[one, other]
                found[one, other] = [total + value, count + 1]
    rows = np.array([found[one, other] for one, other in itertools.product(names, names)])
    totals, counts = rows.T.reshape(2, len(names), len(names))
    means = totals / np.where(counts > 0, counts, np.nan)
    return Grid(tuple(names), means, counts.astype(np.int64))


def dataset_correlation(means: Mapping[str, Mapping[str, float]]) -> Grid:
    """Return Pearson's correlation of the words' mean scores in each two data sets, over the words both have.

    Args:
      means: name of a data set: what `word_means` returns.

    Source: Wu and Ong 2021, On Explaining Your Explanations of BERT, the correlation of data sets.
    """
    values = np.full((len(means), len(means)), np.nan)
    counts = np.zeros((len(means), len(means)), np.int64)
    for row, one in enumerate(means.values()):
        for column, other in enumerate(means.values()):
            shared = sorted(one.keys() & other.keys())
            pair = ([words[word] for word in shared] for words in (one, other))
            values[row, column] = statistics.pearson(*pair)
            counts[row, column] = len(shared)
    return Grid(tuple(means), values, counts)


def layer_profile(
    records: Iterable[explanation_lib.Explanation], seed: int = 0
) -> tuple[LayerShare, ...]:
    """Return where the relevance lies, layer by layer, as means over the texts.

    Raises:
      ValueError: there are no records, one has no layer scores, or they have different numbers of layers.
    """
    shares: list[npt.NDArray[np.float64]] = []
    specials: list[npt.NDArray[np.float64]] = []
    for record in records:
        if record.layer_scores is None or len(record.layer_scores) != len(
            shares[0] if shares else record.layer_scores
        ):
            raise ValueError(
                f"records must hold the layer_scores of one model, got none or other layers in {record.guid!r} by "
                f"{record.method}; explain with a method that follows layers, as "
                'method_options={"cp_lrp": {"layers": True}} asks'
            )
        sizes = np.abs(np.asarray(record.layer_scores, np.float64))
        is_special = [tokenization.is_special(token) for token in record.tokens]
        in_layer = sizes.sum(axis=1)
        shares.append(in_layer / (in_layer.sum() or 1.0))
        specials.append(sizes[:, is_special].sum(axis=1) / np.where(in_layer > 0, in_layer, 1.0))
    if not shares:
        raise ValueError("there must be records to make a profile of, got none")
    return tuple(
        LayerShare(
            layer, statistics.bootstrap_mean(share, seed), statistics.bootstrap_mean(special, seed)
        )
        for layer, (share, special) in enumerate(
            zip(np.transpose(shares), np.transpose(specials), strict=True)
        )
    )


def head_table(importance: statistics.Numbers, seed: int = 0) -> tuple[HeadRow, ...]:
    """Return the heads, the most important first.

    Args:
      importance: float[n, l, h], of each text, layer and head.
    """
    layers, heads = importance.shape[1:]
    rows = [
        HeadRow(layer, head, statistics.bootstrap_mean(importance[:, layer, head], seed))
        for layer in range(layers)
        for head in range(heads)
    ]
    return tuple(sorted(rows, key=lambda row: -row.importance.mean))


def read_lexicon(positive: files.Path, negative: files.Path) -> dict[str, float]:
    """Return 1 for the words of the first file and -1 for those of the second; what is in both is left out.

    One word a line, UTF-8 or else Latin-1; lines that begin with `;` are comments, as in the opinion lexicon of Hu and
    Liu (2004).

    Raises:
      FileNotFoundError: a file is not there.
    """
    ours, theirs = _read_words(positive), _read_words(negative)
    return dict.fromkeys(sorted(ours - theirs), 1.0) | dict.fromkeys(sorted(theirs - ours), -1.0)


def polarity_check(
    means: Mapping[str, float], polarity: Mapping[str, float], seed: int = 0
) -> Polarity:
    """Compare the signs of words with what they are known to be.

    Args:
      means: what `word_means` returns for the positive class, of a method whose scores have a sign; without one, only
        `auc` means something.
      polarity: word: above 0 if it is positive, below if negative; 0 is left out.

    Raises:
      ValueError: no word is in both.
    """
    known = sorted(word for word in means.keys() & polarity.keys() if polarity[word])
    if not known:
        raise ValueError(
            f"there must be words with a known polarity among the {len(means)} with a score, got none; use a lexicon "
            "of the texts' language, in lower case"
        )
    scores = np.array([means[word] for word in known])
    is_positive = np.array([polarity[word] > 0 for word in known])
    positive = int(np.sum(is_positive))
    has_both = 0 < positive < len(known)
    return Polarity(
        right=statistics.bootstrap_mean(np.where(is_positive, scores > 0, scores < 0), seed),
        auc=float(sklearn.metrics.roc_auc_score(is_positive, scores)) if has_both else np.nan,
        positive=positive,
        negative=len(known) - positive,
    )


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _correlations(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation of each two rows; NaN for a row that is constant, empty or has a NaN."""
    if not rows.size:
        return np.full((len(rows), len(rows)), np.nan)
    varies = [row.size > 1 and np.ptp(row) > 0 for row in rows]
    units = np.full(rows.shape, np.nan)
    units[varies] = scipy.stats.zscore(rows[varies], axis=1)
    correlations: npt.NDArray[np.float64] = units @ units.T / max(1, rows.shape[1])
    return correlations


def _read_words(path: files.Path) -> set[str]:
    content = pathlib.Path(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = (line.strip().lower() for line in text.splitlines())
    return {line for line in lines if line and not line.startswith(";")}
