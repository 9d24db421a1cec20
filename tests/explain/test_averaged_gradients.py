import numpy as np
import pytest
import tensorflow as tf

from bert import classifier
from explain import averaged_gradients
from tests.explain import tiny_model

WORDS = "bert/embeddings/word_embeddings"
BASELINES = ["pad", "mask", "mean", "zero"]


@pytest.fixture(scope="module")
def config():
    return tiny_model.config()


@pytest.fixture(scope="module")
def weights(config):
    return tiny_model.variables(config)


def integrate(weights, config, steps, **more):
    fixed = {"steps": steps, "max_steps": steps} | more
    return tiny_model.ask("integrated_gradients", weights, config, **fixed)


@pytest.mark.parametrize("kind", ["logit", "log_probability", "probability"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_integrated_gradients_are_complete(config, weights, kind, baseline):
    found = integrate(weights, config, 128, kind=kind, baseline=baseline)

    def score(outputs, score):
        return score

    end = tiny_model.explain(score, weights, config, kind=kind, with_taps=False)
    rise = end - found.checks["baseline_score"]
    assert np.abs(rise).min() > 1e-4
    np.testing.assert_allclose(found.token_scores.sum(axis=1), rise, rtol=1e-3, atol=1e-5)
    gap = found.token_scores.sum(axis=1) - rise
    np.testing.assert_allclose(found.checks["completeness_gap"], gap, atol=1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_baseline_score_is_that_of_the_text_without_its_words(config, weights, baseline):
    def score_at_baseline(outputs, score):
        del score
        special = tf.constant(np.isin(tiny_model.IDS, (0, 2, 3)))[:, :, tf.newaxis]
        if baseline == "zero":
            entered = outputs.embedding_output
            start, at = tf.where(special, entered, tf.zeros_like(entered)), "post_layernorm"
        else:
            table = weights[WORDS]
            row = {"pad": table[0], "mask": table[4], "mean": tf.reduce_mean(table, axis=0)}
            start, at = tf.where(special, outputs.word_embeddings, row[baseline]), "word"
        return outputs.rerun(start, tiny_model.batch(), at).logits

    logits = tiny_model.explain(score_at_baseline, weights, config, with_taps=False)
    found = integrate(weights, config, 2, baseline=baseline)
    np.testing.assert_allclose(
        found.checks["baseline_score"], logits[[0, 1], tiny_model.TARGET], rtol=1e-12
    )


def test_special_tokens_and_padding_do_not_move_and_get_nothing(config, weights):
    found = integrate(weights, config, 8).token_scores
    np.testing.assert_array_equal(found[np.isin(tiny_model.IDS, (0, 2, 3))], 0.0)
    assert np.abs(found[~np.isin(tiny_model.IDS, (0, 2, 3))]).min() > 1e-9


def test_the_gap_closes_with_more_steps(config, weights):
    gaps = [
        np.abs(integrate(weights, config, steps).checks["completeness_gap"]).max()
        for steps in (2, 8, 32)
    ]
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]


def test_steps_double_until_the_gap_is_small_enough_for_each_text_alone(config, weights):
    def gaps(steps):
        return np.abs(integrate(weights, config, steps).checks["completeness_gap"])

    rise = integrate(weights, config, 2)
    ladder = [2, 4, 8, 16]
    by_steps = {steps: gaps(steps) for steps in ladder}
    score = rise.token_scores.sum(axis=1) - rise.checks["completeness_gap"]
    tolerance = 0.03
    allowed = np.maximum(tolerance * np.abs(score), 1e-3)
    expected = [next(s for s in ladder if by_steps[s][row] <= allowed[row]) for row in range(2)]
    found = tiny_model.ask(
        "integrated_gradients", weights, config, steps=2, max_steps=16, tolerance=tolerance
    )
    assert found.checks["steps"].tolist() == expected
    assert max(expected) > 2
    assert found.passed.all()
    for row, steps in enumerate(expected):
        alone = integrate(weights, config, steps).token_scores[row]
        np.testing.assert_allclose(found.token_scores[row], alone, rtol=1e-9, atol=1e-12)


def test_a_gap_that_stays_open_at_the_cap_is_returned_and_fails_the_check(config, weights):
    found = tiny_model.ask(
        "integrated_gradients", weights, config, steps=1, max_steps=2, tolerance=1e-9
    )
    assert found.checks["steps"].tolist() == [2, 2]
    assert np.abs(found.checks["completeness_gap"]).min() > 1e-3
    assert not found.passed.any()


def test_a_model_that_gives_no_number_gives_no_scores(config, weights):
    broken = weights | {"output_bias": weights["output_bias"] * np.nan}
    found = tiny_model.ask("integrated_gradients", broken, config, steps=1, max_steps=2)
    assert found.checks["steps"].tolist() == [2, 2]
    assert not found.passed.any()
    assert np.isnan(found.checks["completeness_gap"]).all()


def test_the_size_of_groups_changes_nothing(config, weights):
    one, many = (integrate(weights, config, 7, tokens_at_once=size) for size in (1, 60))
    np.testing.assert_allclose(one.token_scores, many.token_scores, rtol=1e-9, atol=1e-12)


def test_the_way_back_gives_the_negative(config, weights):
    def both_ways(outputs, score):
        del score
        batch = tiny_model.batch()._replace(
            target=tf.constant(tiny_model.TARGET), contrast=tf.constant([-1, -1])
        )
        there = averaged_gradients.path_from("pad", outputs, batch, tiny_model.SPECIAL)
        back = averaged_gradients.Path(there.end, there.start, there.at)
        again = outputs.rerun(there.start, batch, "word")

        def score_of(logits, asked):
            return tf.gather(logits, asked.target, batch_dims=1)

        return [
            averaged_gradients.integrated_gradients(
                start,
                batch,
                score_of,
                path,
                steps=16,
                max_steps=16,
                tolerance=0.01,
                tokens_at_once=4096,
            ).token_scores
            for start, path in ((outputs, there), (again, back))
        ]

    there, back = tiny_model.explain(both_ways, weights, config, with_taps=False)
    assert np.abs(there).max() > 1e-3
    np.testing.assert_allclose(there, -back, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("power", "steps"), [(2, 1), (4, 2), (6, 3)])
def test_gauss_legendre_is_exact_for_polynomials_of_its_degree(power, steps):
    """A network that is a sum of powers of its input: n nodes integrate its gradient of degree 2n - 1 exactly."""

    @tf.function(autograph=False)
    def run():
        x = tf.constant([[[0.7, -1.2], [0.4, 2.0], [0.3, 0.3]]], tf.float64)

        def rerun(embeddings, batch, at="word"):
            del batch, at
            logits = tf.reduce_sum(embeddings**power, axis=[1, 2])[:, tf.newaxis]
            return classifier.BertOutputs(
                embeddings, embeddings, (embeddings,), (), *[embeddings] * 3, logits, x, rerun
            )

        batch = tiny_model.batch(*(np.ones((1, 3), np.int32),) * 3)
        path = averaged_gradients.Path(tf.zeros_like(x), x, "word")
        return averaged_gradients.integrated_gradients(
            rerun(x, batch),
            batch,
            lambda logits, _: logits[:, 0],
            path,
            steps=steps,
            max_steps=steps,
            tolerance=0.01,
            tokens_at_once=6,
        )

    found = run()
    x = np.array([[0.7, -1.2], [0.4, 2.0], [0.3, 0.3]])
    np.testing.assert_allclose(found.token_scores[0], (x**power).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.gap, 0.0, atol=1e-12)


def test_smoothgrad_without_noise_is_sensitivity(config, weights):
    plain = tiny_model.ask("gradient_sensitivity", weights, config).token_scores
    smooth = tiny_model.ask("smoothgrad", weights, config, noise_level=0.0, samples=3)
    np.testing.assert_allclose(smooth.token_scores, plain, rtol=1e-9, atol=1e-12)


def test_smoothgrad_is_the_norm_of_the_mean_gradient_at_noisy_embeddings(config, weights):
    level, samples, seed = 0.3, 5, 7

    def by_hand(outputs, score):
        del score
        words, mask = outputs.word_embeddings, tiny_model.MASK[:, :, np.newaxis]
        real = [tf.boolean_mask(words[row], mask[row, :, 0]) for row in range(2)]
        sigma = tf.stack([level * tf.math.reduce_std(x) for x in real])
        gradients = []
        for sample in range(samples):
            noise = tf.random.stateless_normal(words.shape[1:], [seed, sample], dtype=words.dtype)
            moved = words + sigma[:, tf.newaxis, tf.newaxis] * noise
            logits = outputs.rerun(moved, tiny_model.batch(), "word").logits
            picked = tf.gather(logits, tf.constant(tiny_model.TARGET), batch_dims=1)
            gradients.append(tf.gradients(picked, moved)[0])
        return tf.norm(tf.add_n(gradients) / samples, axis=-1)

    expected = tiny_model.explain(by_hand, weights, config, with_taps=False)
    for at_once in (1, 40):
        found = tiny_model.ask(
            "smoothgrad",
            weights,
            config,
            noise_level=level,
            samples=samples,
            seed=seed,
            tokens_at_once=at_once,
        )
        np.testing.assert_allclose(found.token_scores, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad"])
def test_padding_gets_nothing_and_changes_nothing(config, weights, method):
    found = tiny_model.ask(method, weights, config).token_scores
    np.testing.assert_array_equal(found[0, 5:], 0.0)
    wider = [np.pad(x, ((0, 0), (0, 6))) for x in tiny_model.batch()[:3]]
    again = tiny_model.ask(method, weights, config, inputs=tiny_model.batch(*wider)).token_scores
    np.testing.assert_allclose(again[:, :7], found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["integrated_gradients", "smoothgrad"])
def test_batch_mates_and_their_order_change_nothing(config, weights, method):
    found = tiny_model.ask(method, weights, config).token_scores
    arrays = (tiny_model.IDS, tiny_model.MASK, tiny_model.SEGMENTS)
    turned = tiny_model.batch(*(x[::-1] for x in arrays))
    again = tiny_model.ask(method, weights, config, inputs=turned, target=[3, 1]).token_scores
    np.testing.assert_allclose(again[::-1], found, rtol=1e-9, atol=1e-12)
