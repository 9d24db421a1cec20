"""A nonsense word is the only sign of the label: after a short training, every method must point at it.

Where the labels were shuffled there is no sign of them, and no method may seem to know one.
"""

import numpy as np
import pytest

import run_classifier
from bert import alterations
from bert import datasets
from explain import evaluation
from explain import faithfulness
from explain import model
from explain import results
from explain import results_page
from explain import statistics

CUE = "blorptag"
FILLER = (
    "the a of and to in is was he for it with as on that by this had not are but from or have an they which one you "
    "were her all she there would their we him been has when who will more no if out so said what up its about into "
    "than them can only other new some could time these two may then do first any my now such like our over man me "
    "even most made after also did many before must through back years where much your way well down should because"
)
METHODS = (
    "gradient_sensitivity",
    "integrated_gradients",
    "smoothgrad",
    "chefer",
    "cp_lrp",
    "attn_lrp",
    "epsilon_lrp",
    "alpha_beta_lrp",
    "bert_lrp_2021",
)
"""Occlusion takes out a piece at a time, and the cue's other pieces still give it away. Gradient x input reads the
slope where the answer is all but certain: over four seeds it found the cue in 3 to 80 of 100 texts."""


def rows(rng, count: int) -> list[tuple[str, str]]:
    """Random texts of 10 to 19 words; half of them hold the cue at a random place."""
    found = []
    for index in range(count):
        words = list(rng.choice(FILLER.split(), rng.integers(10, 20)))
        if index % 2:
            words[rng.integers(len(words))] = CUE
        found.append((str(index % 2), " ".join(words)))
    return found


def train(folder, release, examples, *more):
    lines = ["label\ttext\n", *(f"{label}\t{text}\n" for label, text in examples)]
    (folder / "train.tsv").write_text("".join(lines))
    options = [
        f"--train_file={folder}/train.tsv",
        f"--output_dir={folder}/out",
        f"--model={release}",
        "--max_seq_length=32",
        "--train_batch_size=16",
        "--num_train_epochs=3",
        "--classifier_head_config=default",
        "--learning_rate=1e-4",
        "--do_train",
        *more,
    ]
    run_classifier.main(run_classifier.parse_options(options))
    return folder / "out"


@pytest.fixture(scope="module")
def trained(minilm_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cue")
    return train(folder, minilm_folder, rows(np.random.default_rng(1), 300))


@pytest.fixture(scope="module")
def records(trained):
    # the trained step is so sharp that completeness takes 512 nodes; the ranking does not
    few = {"integrated_gradients": {"steps": 64, "max_steps": 64}}
    explain = model.load_explainer(trained, METHODS, method_options=few)
    texts = [text for label, text in rows(np.random.default_rng(2), 80) if label == "1"]
    return explain(texts, target="1")


@pytest.mark.parametrize("method", METHODS)
def test_the_planted_word_is_the_top_word_of_95_texts_in_100(records, method):
    of_method = [record for record in records if record.method == method]
    assert len(of_method) == 40
    top = [record.words[int(np.argmax(record.scores))].text for record in of_method]
    assert np.mean([word == CUE for word in top]) >= 0.95


@pytest.mark.parametrize("method", ["cp_lrp", "attn_lrp", "epsilon_lrp", "alpha_beta_lrp"])
def test_the_ledger_closes_in_single_precision_on_a_trained_model(records, method):
    errors = [record.checks["ledger_error"] for record in records if record.method == method]
    assert 0 < max(errors) < 1e-4


def evaluated(folder, name: str, protocol: str) -> results.Results:
    """Measure three ways to find the cue by taking words out; half of the texts have it."""
    asked = ("gradient_sensitivity", "cp_lrp", "lat")
    sides = evaluation.Sides(model.load_explainer(folder, asked), model.load_predictor(folder))
    examples = [
        datasets.InputExample(f"{name}-{index}", text, None, label)
        for index, (label, text) in enumerate(rows(np.random.default_rng(3), 60))
    ]
    plan = evaluation.Plan([faithfulness.PROTOCOLS[protocol]])
    lines = evaluation.measure(sides, plan, examples, {})
    settings = {"seed": 0, "draws": plan.draws, "protocols": {}}
    return results.summarise(lines, settings)


def test_deleting_the_top_words_breaks_answers_sooner_than_deleting_random_ones(trained):
    found = evaluated(trained, "cue", "word_deletion")["rows"]
    of_method = {row["method"]: row for row in found if row["metric"] == "mean"}
    for method in ("gradient_sensitivity", "cp_lrp"):
        assert of_method[method]["over_floor"] < -0.1, method
        assert of_method[method]["p_floor"] < 0.05


def test_random_weights_explain_otherwise(trained, records):
    methods = ("gradient_sensitivity", "cp_lrp", "attn_lrp")
    drawn = alterations.randomised(6, seed=0, embeddings=True)
    explain = model.load_explainer(trained, methods, alter=drawn)
    texts = list(dict.fromkeys(record.texts[0] for record in records))
    for method in methods:
        alike = [
            statistics.spearman(ours.scores, theirs.scores)
            for ours, theirs in zip(
                (record for record in records if record.method == method),
                (record for record in explain(texts, target="1") if record.method == method),
                strict=True,
            )
        ]
        assert abs(np.mean(alike)) < 0.3, method


def test_after_shuffled_labels_no_explanation_beats_chance_and_the_page_says_so(
    minilm_folder, tmp_path
):
    """Each text is seen once: nothing but the cue can be learned, and with its labels it is, by the same training."""
    rng = np.random.default_rng(4)
    made = rows(rng, 800)
    shuffled = [(str(rng.integers(2)), text) for _, text in made]
    gains = {}
    for name, examples in {"true": made, "shuffled": shuffled}.items():
        (tmp_path / name).mkdir()
        once = ("--learning_rate=5e-5", "--num_train_epochs=1")
        folder = train(tmp_path / name, minilm_folder, examples, *once)
        found = evaluated(folder, name, "decompx")
        gains[name] = [row["over_floor"] for row in found["rows"] if row["metric"] == "aopc"]
    assert len(gains["true"]) == len(gains["shuffled"]) == 3
    assert min(gains["true"]) > 0.1
    assert max(map(abs, gains["shuffled"])) < results.MARGIN
    assert "**No method is better than chance" in results_page.to_markdown(found, "Shuffled labels")
