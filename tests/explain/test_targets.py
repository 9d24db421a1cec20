import pytest

from explain import targets

FILM = targets.Targets(["bad", "good", "so-so"])


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("predicted", [(2, -1)]),
        ("gold", [(0, -1)]),
        ("all", [(0, -1), (1, -1), (2, -1)]),
        ("good", [(1, -1)]),
        ("so-so", [(2, -1)]),
        (1, [(1, -1)]),
        ("1", [(1, -1)]),
        ("good-bad", [(1, 0)]),
        ("so-so-good", [(2, 1)]),
        ("bad-so-so", [(0, 2)]),
        ("predicted-good", [(2, 1)]),
        ("bad-predicted", [(0, 2)]),
        ("gold-predicted", [(0, 2)]),
        ("so-so-gold", [(2, 0)]),
        (("good", "so-so"), [(1, 2)]),
        ((1, "predicted"), [(1, 2)]),
    ],
)
def test_a_target_is_a_class_and_what_is_taken_off_it(target, expected):
    assert FILM.pairs(target, gold=0, predicted=2) == expected


def test_the_prediction_that_the_caller_does_not_know_stays_open():
    assert FILM.pairs("predicted", gold=None, predicted=-1) == [(-1, -1)]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("predicted-good", True),
        ("bad-predicted", True),
        (("predicted", "good"), True),
        (("good", "bad"), False),
        ("predicted", False),
        ("good-bad", False),
        ("all", False),
        (2, False),
    ],
)
def test_only_a_contrast_with_the_prediction_needs_it_first(target, expected):
    assert FILM.needs_prediction(target) is expected


def test_true_labels_are_names_indices_or_unknown():
    assert FILM.gold(["so-so", 0, None, "1"], 4) == [2, 0, None, 1]
    assert FILM.gold(None, 3) == [None, None, None]


def test_a_label_that_reads_as_an_index_is_the_label():
    stars = targets.Targets(["2", "1", "0"])
    assert [stars.class_of(name) for name in ("2", "1", "0")] == [0, 1, 2]
    assert [stars.class_of(index) for index in (2, 1, 0)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("target", "gold", "told"),
    [
        ("neutral", 1, r"one of 'bad', 'good', 'so-so', or an index from 0 to 2; got 'neutral'"),
        (3, 1, r"got 3$"),
        (-1, 1, r"got -1$"),
        ("-1", 1, r"got '-1'$"),
        ("good-neutral", 1, r"got 'good-neutral'$"),
        ("good-all", 1, r"got 'good-all'$"),
        ("gold", None, r"^target 'gold' needs the true label of every text; give labels$"),
        ("gold-bad", None, r"^target 'gold' needs the true label"),
        ("bad-bad", 1, r"of two classes, but 'bad-bad' is one for some text"),
        ("predicted-so-so", 1, r"but 'predicted-so-so' is one for some text"),
        (("bad", "bad"), 1, r"of two classes, but 'bad-bad' is one for some text"),
        (("good", "neutral"), 1, r"got 'neutral'$"),
    ],
)
def test_what_names_no_class_is_refused(target, gold, told):
    with pytest.raises(ValueError, match=told):
        FILM.pairs(target, gold, predicted=2)


def test_a_label_that_is_a_word_of_the_targets_is_asked_for_by_its_index():
    named = targets.Targets(["gold", "good", "all"])
    for target, index in (("gold", 0), ("all", 2)):
        with pytest.raises(ValueError, match=rf"name the class by its index, {index}$"):
            named.pairs(target, gold=1, predicted=1)
        assert named.pairs(index, gold=1, predicted=1) == [(index, -1)]


def test_two_classes_are_a_contrast_also_where_their_joined_name_is_a_label():
    named = targets.Targets(["joy", "sad", "joy-sad", "sad-joy"])
    assert named.pairs("joy-sad", gold=None, predicted=3) == [(2, -1)]
    assert named.pairs(("joy", "sad"), gold=None, predicted=3) == [(0, 1)]
    assert named.pairs("joy-sad-joy", gold=None, predicted=3) == [(0, 3)]
    assert named.pairs(("joy-sad", "joy"), gold=None, predicted=3) == [(2, 0)]
    assert not named.needs_prediction("joy-sad")


@pytest.mark.parametrize("labels", [["good"], ["good", "bad", "bad"], "xy"])
def test_true_labels_are_one_a_text(labels):
    with pytest.raises(ValueError, match=r"^labels must be one a text, got .* for 2 texts$"):
        FILM.gold(labels, 2)
