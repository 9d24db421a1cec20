import numpy as np
import pytest

from explain import explanation
from explain import gallery
from explain import plots

PNG = b"\x89PNG"


def words_in_order(record):
    """A picture of one's own: the words' scores as a step line."""
    figure = plots.Figure()
    figure.subplots().step(range(len(record.scores)), record.scores)
    figure.drawn = record
    return figure


def test_attention_is_kept_as_numbers_and_drawn_for_the_layers_asked(tmp_path):
    attention = np.random.default_rng(0).dirichlet(np.ones(4), (3, 2, 4)).astype(np.float32)
    paths = gallery.save_attention(attention, list("abcd"), (2, 0), tmp_path / "x" / "step_7", "t")
    assert [path.name for path in paths] == [
        "step_7.npz",
        "step_7_layer_2.png",
        "step_7_layer_0.png",
    ]
    assert {path.name for path in (tmp_path / "x").iterdir()} == {path.name for path in paths}
    assert all(path.read_bytes().startswith(PNG) for path in paths[1:])
    saved = np.load(paths[0], allow_pickle=False)
    np.testing.assert_array_equal(saved["attention"], attention)
    expected = [attention[2].mean(axis=0), attention[0].mean(axis=0)]
    np.testing.assert_allclose(saved["mean_over_heads"], expected, rtol=1e-6)  # float32 sums
    assert saved["layers"].tolist() == [2, 0]
    assert saved["tokens"].tolist() == list("abcd")


def test_the_heat_map_shows_the_saved_matrix_with_the_tokens_beside_it(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(gallery, "save_figure", lambda figure, path: drawn.append(figure))
    attention = np.random.default_rng(1).dirichlet(np.ones(3), (2, 5, 3)).astype(np.float32)
    (path, _) = gallery.save_attention(
        attention, ["[CLS]", "so", "[SEP]"], (1,), tmp_path / "a", "t"
    )
    (figure,) = drawn
    axes = figure.axes[0]
    mesh = axes.collections[0].get_array().reshape(3, 3)
    np.testing.assert_array_equal(mesh, np.load(path)["mean_over_heads"][0])
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["[CLS]", "so", "[SEP]"]
    assert axes.get_title() == "t: layer 1, mean over heads"


def test_heat_maps_of_several_layers_have_one_scale(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(gallery, "save_figure", lambda figure, path: drawn.append(figure))
    even, sharp = np.full((2, 3, 3), 1 / 3, np.float32), np.stack([np.eye(3, dtype=np.float32)] * 2)
    gallery.save_attention(np.stack([even, sharp, even]), list("abc"), (0, 1), tmp_path / "a", "t")
    assert [figure.axes[0].collections[0].get_clim() for figure in drawn] == [(0.0, 1.0)] * 2


def test_a_training_leaves_its_curves_and_a_matrix_for_each_evaluation(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(gallery, "save_figure", lambda figure, path: drawn.append((figure, path)))
    curves = {"loss": {"train": [(1, 0.5)], "test": []}}
    confusions = {"dev": np.array([[3, 1], [0, 2]]), "test": np.array([[0, 1], [1, 0]])}
    paths = gallery.save_training(curves, confusions, ("no", "yes"), tmp_path)
    assert paths == [path for _, path in drawn]
    names = ["training_curves.png", "confusion_dev.png", "confusion_test.png"]
    assert paths == [tmp_path / name for name in names]
    titles = [figure.axes[0].get_title() for figure, _ in drawn[1:]]
    assert titles == ["dev: 5 of 6 right", "test: 0 of 2 right"]
    assert gallery.save_training({"loss": {"train": []}}, {}, ("no", "yes"), tmp_path) == []


def test_several_texts_and_leads_have_a_picture_each(build_record, tmp_path):
    leads = ("negative-positive", "positive-negative")
    records = [
        build_record(text, guid=guid, method="ig", target=target)
        for text, guid in (("so fine", "a"), ("so dull", "b"))
        for target in leads
    ]
    paths = gallery.save_explanations(records, tmp_path, "title")
    assert [path.name for path in paths[:-2]] == [
        f"token_importance_text_{text}_target_{target}.png" for text in (0, 1) for target in (0, 1)
    ]
    assert all(path.is_file() for path in paths)
    of_own_target = [
        build_record("so fine", guid="a", target="positive"),
        build_record("so dull", guid="b", target="negative"),
    ]
    paths = gallery.save_explanations(of_own_target, tmp_path, "title")
    assert [path.name for path in paths[:-2]] == [
        f"token_importance_text_{text}.png" for text in (0, 1)
    ]


def test_a_record_that_followed_the_layers_has_their_picture_too(build_record, tmp_path):
    layer_scores = np.arange(12, dtype=np.float32).reshape(3, 4)
    followed = build_record("so fine", method="cp_lrp", layer_scores=layer_scores)
    names = [path.name for path in gallery.save_explanations([followed], tmp_path, "title")]
    assert names[:2] == ["token_importance.png", "layer_profile_cp_lrp.png"]
    assert (tmp_path / names[1]).read_bytes().startswith(PNG)


def test_pictures_of_an_earlier_answer_are_removed_and_nothing_else(tmp_path):
    left = ["attention.npz", "attention_layer_11.png", "layer_profile_cp_lrp.png"]
    left += ["token_importance.png", "token_importance_rollout.png", "words_in_order.png"]
    others = [
        "my_token_importance.png",
        "attention.png",
        "token_importance.svg",
        "explanation.html",
    ]
    for name in [*left, *others, "attention_layer_0.png"]:
        (tmp_path / name).touch()
    gallery.remove_earlier(tmp_path, [tmp_path / "attention_layer_0.png"], words_in_order)
    assert {path.name for path in tmp_path.iterdir()} == {*others, "attention_layer_0.png"}


def test_one_method_has_one_picture_and_several_have_one_each(build_record, tmp_path):
    one = [build_record("so fine", method="rollout")]
    paths = gallery.save_explanations(one, tmp_path / "one", "title")
    assert [path.name for path in paths] == [
        "token_importance.png",
        "explanation.html",
        "explanation.jsonl",
    ]
    several = [
        *one,
        *(build_record("so fine", method="ig", target=t) for t in ("negative", "positive")),
    ]
    paths = gallery.save_explanations(several, tmp_path / "several", "title")
    assert [path.name for path in paths[:-2]] == [
        "token_importance_rollout.png",
        "token_importance_ig_target_0.png",
        "token_importance_ig_target_1.png",
    ]
    assert all(path.read_bytes().startswith(PNG) for path in paths[:-2])
    assert "title" in paths[-2].read_text()


def test_records_are_written_without_the_attention_that_has_its_own_file(build_record, tmp_path):
    attention = np.ones((2, 3, 4, 4), np.float32)
    record = build_record("so fine", attention=attention, method="ig", completeness_gap=0.25)
    *_, lines = gallery.save_explanations([record], tmp_path, "title")
    (read,) = explanation.load_jsonl(lines)
    assert read.attention is None
    assert (read.method, read.completeness_gap, read.texts) == ("ig", 0.25, ("so fine",))
    np.testing.assert_array_equal(read.token_scores, record.token_scores)


def test_a_picture_of_ones_own_is_drawn_under_its_own_name(build_record, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(gallery, "save_figure", lambda figure, path: drawn.append((figure, path)))
    picture = gallery.find_picture(f"{__name__}:words_in_order")
    record = build_record("so fine")
    gallery.save_explanations([record], tmp_path, "title", picture)
    ((figure, path),) = drawn
    assert path == tmp_path / "words_in_order.png"
    assert figure.drawn is record


@pytest.mark.parametrize("name", ["bars", "no.such:module", f"{__name__}:none"])
def test_an_unknown_picture_is_refused_with_what_there_is(name):
    with pytest.raises(ValueError, match=r"picture must be (one of token_importance|importable)"):
        gallery.find_picture(name)
    assert gallery.find_picture("token_importance") is plots.token_importance
