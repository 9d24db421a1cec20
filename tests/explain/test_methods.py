import pytest
import tensorflow as tf

from bert import classifier
from bert import features
from explain import attribution
from explain import methods
from explain import relevance
from explain import warm

NAMES = [  # users write these: they stay
    "attention_last",
    "attention_first",
    "rollout",
    "lat",
    "gradient_sensitivity",
    "gradient_sensitivity_squared",
    "gradient_x_input",
    "gradient_x_input_squared",
    "integrated_gradients",
    "smoothgrad",
    "chefer",
    "cp_lrp",
    "attn_lrp",
    "epsilon_lrp",
    "alpha_beta_lrp",
    "bert_lrp_2021",
    "occlusion",
    "random",
]


def half_of_each(question, *, share: float = 0.5):
    return tf.ones_like(question.features.input_ids, tf.float64) * share


def needs_a_share(question, *, share):
    return tf.ones_like(question.features.input_ids, tf.float64) * share


def test_an_option_without_annotation_takes_any_value():
    (bound,) = methods.bind([needs_a_share], {"needs_a_share": {"share": "0.25"}})
    assert bound.options == {"share": "0.25"}


def test_the_methods_have_the_names_that_users_write():
    assert sorted(methods.METHODS) == sorted(NAMES)


def test_a_method_is_signed_where_scores_below_0_mean_something():
    signed = {name for name, method in methods.METHODS.items() if method.signed}
    assert signed == {
        "gradient_x_input",
        "integrated_gradients",
        "cp_lrp",
        "attn_lrp",
        "epsilon_lrp",
        "alpha_beta_lrp",
        "occlusion",
    }


def test_defaults_are_filled_in_and_given_options_win():
    first, second = methods.bind(
        ["integrated_gradients", "occlusion"], {"integrated_gradients": {"steps": 5}}
    )
    assert first.options == {
        "baseline": "pad",
        "steps": 5,
        "max_steps": 512,
        "tolerance": 0.01,
        "tokens_at_once": 4096,
    }
    assert second.options == {"replacement": "mask", "tokens_at_once": 4096}


def test_a_function_of_ones_own_is_a_method_by_its_name():
    by_value, by_path = (
        methods.bind([name], {"half_of_each": {"share": 0.25}})
        for name in (half_of_each, f"{__name__}:half_of_each")
    )
    assert [bound.name for bound in by_value + by_path] == ["half_of_each"] * 2
    ids = tf.zeros([2, 3], tf.int32)
    asked = features.Features(ids, ids, ids)
    special = features.SpecialIds(0, 1, 2, 3)
    question = methods.Question(None, asked, "logit", special)
    assert by_path[0].answer(question).token_scores.numpy().tolist() == [[0.25] * 3] * 2


@pytest.mark.parametrize(
    ("asked", "options", "error", "told"),
    [
        ("chefer", None, TypeError, r"got one str; write \['chefer'\]"),
        (["chefr"], None, ValueError, r"got 'chefr'; did you mean 'chefer'\?"),
        (["x"], None, ValueError, r"must be one of attention_last, .*package\.module:function"),
        (["lat", "lat"], None, ValueError, r"got one twice"),
        ([7], None, ValueError, r"a name or a function of a Question, got 7"),
        (["lat"], {"lta": {}}, ValueError, r"asked for, lat; got some for lta"),
        (["lat"], {"lat": {"steps": 1}}, ValueError, r"options of lat must be of none at all"),
        (["occlusion"], {"occlusion": {"by": 1}}, ValueError, r"must be of replacement, tokens_at"),
        (
            ["occlusion"],
            {"occlusion": {"replacement": "gap"}},
            ValueError,
            r"occlusion: replacement got 'gap': .*'mask', 'pad' or 'delete'",
        ),
        (
            ["integrated_gradients"],
            {"integrated_gradients": {"steps": 0}},
            ValueError,
            r"steps got 0: .*greater than or equal to 1",
        ),
        (
            ["integrated_gradients"],
            {"integrated_gradients": {"max_steps": 8}},
            ValueError,
            r"max_steps must be at least steps=32, got 8",
        ),
        (["smoothgrad"], {"smoothgrad": {"noise_level": -1}}, ValueError, r"noise_level got -1"),
        (["alpha_beta_lrp"], {"alpha_beta_lrp": {"alpha": 3}}, ValueError, r"must be 1, .*got 3"),
        (["alpha_beta_lrp"], {"alpha_beta_lrp": {"alpha": float("nan")}}, ValueError, r"got nan"),
        ([needs_a_share], None, ValueError, r"of needs_a_share must give share, which has no def"),
    ],
)
def test_a_wrong_method_or_option_is_refused_with_what_is_legal(asked, options, error, told):
    with pytest.raises(error, match=told):
        methods.bind(asked, options)


def test_only_a_logit_can_be_shared_out_by_relevance():
    bound = methods.bind(["lat", "cp_lrp"])
    warm.check_score(bound, "logit")
    with pytest.raises(ValueError, match=r"must be 'logit' for cp_lrp, .*got 'probability'"):
        warm.check_score(bound, "probability")
    with pytest.raises(ValueError, match=r"one of logit, log_probability, probability; got 'odds'"):
        warm.check_score(bound, "odds")


@pytest.mark.parametrize(
    ("dtype", "missing", "passed"),
    [
        (tf.float32, 5e-5, True),
        (tf.float32, 3e-4, False),
        (tf.float64, 5e-10, True),
        (tf.float64, 1e-8, False),
    ],
)
def test_a_ledger_must_close_to_the_tolerance_of_its_precision(monkeypatch, dtype, missing, passed):
    def rule(outputs, score):
        del outputs
        nothing = tf.zeros_like(score)
        at_tokens = score[:, tf.newaxis] + missing
        layers = at_tokens[:, tf.newaxis]
        return relevance.Relevance(at_tokens, layers, nothing, nothing, nothing, score)

    monkeypatch.setattr(relevance, "cp_lrp", rule)
    (bound,) = methods.bind(["cp_lrp"])
    logits, ids = tf.constant([[0.5, 0.25]], dtype), tf.zeros([1, 1], tf.int32)
    outputs = classifier.BertOutputs(logits, logits, (), (), *[logits] * 5, None)
    asked = attribution.with_targets(features.Features(ids, ids, ids), logits)
    answer = bound.answer(
        methods.Question(outputs, asked, "logit", features.SpecialIds(0, 1, 2, 3))
    )
    assert answer.passed.numpy().tolist() == [passed]
