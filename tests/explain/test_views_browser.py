"""A reader opens the views in a browser: they ask for nothing, show the arrays' numbers, and answer mouse and keys."""

import shutil
import xml.etree.ElementTree

import numpy as np
import pytest

from explain import packing
from explain import views
from tests.explain import browser
from tests.explain import test_packing
from tests.explain import test_views as made

TOKENS, SIZE = made.TOKENS, made.SIZE
SEGMENTS = [0, 0, 0, 0, 0, 0, 1, 1, 1]
# of the head view: a token's height, places in both columns
ROW_PX, COLUMN_PX, RIGHT_PX = 16, 60, 780
CANVAS = ".stage canvas"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("waits for chromium on PATH, to open the views as a reader does")
    with browser.launch(chromium, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def show(tab, tmp_path):
    """Return a function that opens a page in the browser; afterwards nothing was asked for and nothing went wrong."""
    tab.complaints.clear()

    def opened(source: str) -> browser.Page:
        path = tmp_path / "view.html"
        path.write_text(source, encoding="utf-8", newline="")
        tab.open(path)
        return tab

    yield opened
    assert tab.requests == []
    assert tab.complaints == []


def weights_of(rows: list[list[str]], column: int = 1) -> np.ndarray:
    """Return a column of a table; what is left out is NaN, what a filter hides is 0."""
    told = {"left out": np.nan, "hidden": 0.0}
    return np.array([float(told.get(row[column], row[column])) for row in rows[1:]])


def status(page: browser.Page) -> str:
    return page.text(".status")


def test_the_browser_does_count_requests_and_breaches(tab, tmp_path):
    path = tmp_path / "asks.html"
    path.write_text("<img src='https://example.invalid/a.png'><script>throw Error('oh')</script>")
    tab.open(path)
    assert tab.requests == ["https://example.invalid/a.png"]
    assert any("oh" in complaint for complaint in tab.complaints)


@pytest.mark.parametrize("exact", [False, True])
def test_the_head_views_table_holds_the_arrays_numbers(show, exact):
    attention = made.attention()
    page = show(views.head_view(attention, TOKENS, exact=exact))
    for number in (1, 2, 3):  # head 0 was on
        page.click(f"fieldset label:nth-of-type({number}) input")
    page.focus(CANVAS)
    page.press("ArrowDown", "ArrowDown", "ArrowDown", "Enter")
    rows = page.table()
    assert rows[0] == ["token", "head 1", "head 2"]
    assert [row[0] for row in rows[1:]] == [f"{i} {token}" for i, token in enumerate(TOKENS)]
    for column, head in ((1, 1), (2, 2)):
        wanted = attention[-1, head, 2]
        tolerance = 1e-7 if exact else np.max(wanted) / 255
        np.testing.assert_allclose(weights_of(rows, column), wanted, rtol=0, atol=tolerance)


def test_numbers_left_out_are_said_to_be(show):
    size = 150
    attention = made.attention(12, 12, size)
    packed = packing.pack(attention, views._BYTES)
    there = test_packing.unpack(packed, size).reshape(attention.shape)
    page = show(views.head_view(attention, [f"w{i}" for i in range(size)]))
    page.choose("Layer", "4")
    page.focus(CANVAS)
    page.press("End", "Enter")
    assert f"layer 4, from {size - 1} w{size - 1}; left out: at most" in page.text(".table")
    shown, wanted = weights_of(page.table()), there[4, 0, -1]
    np.testing.assert_array_equal(np.isnan(shown), wanted == 0)
    np.testing.assert_allclose(shown[wanted > 0], wanted[wanted > 0], rtol=6e-4)  # four digits
    np.testing.assert_allclose(
        wanted[wanted > 0], attention[4, 0, -1][wanted > 0], atol=packed.error
    )
    assert "% of the row not on this page" in status(page)


def test_pointing_shows_a_token_pressing_keeps_it_and_escape_lets_it_go(show):
    attention = made.attention()
    page = show(views.head_view(attention, TOKENS))
    idle = status(page)
    page.point(CANVAS, COLUMN_PX, 3 * ROW_PX)
    most = int(np.argmax(attention[-1, 0, 2]))
    assert status(page).startswith(
        f"“film” (2) attends; layer 1, head 0: most to “{TOKENS[most]}” ({most})"
    )
    page.point("h2", 5, 5)
    assert status(page) == idle
    page.click(CANVAS, COLUMN_PX, 5 * ROW_PX)
    page.point(CANVAS, COLUMN_PX, 2 * ROW_PX)
    assert status(page).startswith("“dull” (4)")
    page.press("Escape")
    assert status(page) == idle


def test_the_right_column_asks_who_attends_to_a_token(show):
    attention = made.attention()
    page = show(views.head_view(attention, TOKENS, exact=True))
    page.click(CANVAS, RIGHT_PX, 2 * ROW_PX)
    assert status(page).startswith("“the” (1) is attended to")
    page.press("Enter")
    np.testing.assert_allclose(weights_of(page.table()), attention[-1, 0, :, 1], rtol=1e-6)
    page.press("ArrowLeft")
    np.testing.assert_allclose(weights_of(page.table()), attention[-1, 0, 1], rtol=1e-6)


def test_sentences_and_special_tokens_are_filtered(show):
    attention = made.attention()
    page = show(views.head_view(attention, TOKENS, segments=SEGMENTS, exact=True))
    page.focus(CANVAS)
    page.press("ArrowDown", "ArrowDown", "Enter")
    page.choose("Sentences", "01")
    is_b = np.array(SEGMENTS) == 1
    wanted = np.where(is_b, attention[-1, 0, 1], 0)
    np.testing.assert_allclose(weights_of(page.table()), wanted, rtol=1e-6)
    page.click(".controls label:nth-of-type(3) input")  # leave out special tokens
    wanted[[0, 5, 8]] = 0
    np.testing.assert_allclose(weights_of(page.table()), wanted, rtol=1e-6)
    page.choose("Sentences", "10")
    assert not weights_of(page.table()).any()


def test_relevance_is_shown_first_with_its_sign_and_by_layer(show):
    attention = made.attention()
    relevance = attention * np.random.default_rng(3).normal(size=attention.shape).astype(np.float32)
    page = show(views.head_view(attention, TOKENS, relevance=relevance))
    page.focus(CANVAS)
    page.press("ArrowDown", "Enter")
    wanted = relevance[-1, 0, 0]
    limit = np.max(np.abs(wanted)) / 250  # 127 steps a sign
    np.testing.assert_allclose(weights_of(page.table()), wanted, rtol=0, atol=limit)
    page.choose("Lines", "attention")
    limit = np.max(attention[-1, 0, 0]) / 255
    np.testing.assert_allclose(weights_of(page.table()), attention[-1, 0, 0], rtol=0, atol=limit)
    page.click(".profile button")
    shown = np.array(
        [[float(cell) for cell in row[1:]] for row in page.table(".profile .table")[1:]]
    )
    wanted = [[np.sum(layer[layer > 0]), np.sum(layer[layer < 0])] for layer in relevance]
    np.testing.assert_allclose(shown, wanted, rtol=1e-3)


def test_choosing_a_bar_of_the_profile_shows_that_layer(show):
    page = show(views.head_view(made.attention(), TOKENS))
    layer = "document.querySelector('.controls select').value"
    page.click(".profile canvas", 15, 50)
    assert page.evaluate(layer) == "0"
    page.press("ArrowRight")
    assert page.evaluate(layer) == "1"
    page.choose("Layer", "0")
    assert page.text(".profile .status").startswith("Layer 0:")


def test_only_lines_in_view_are_drawn_and_the_chosen_token_scrolls_into_it(show):
    size = 200
    page = show(views.head_view(made.attention(1, 2, size), [f"w{i}" for i in range(size)]))
    stage = "document.querySelector('.stage')"
    height, shown = page.evaluate(f"[{stage}.scrollHeight, {stage}.clientHeight]")
    assert height > 200 * ROW_PX > 4 * shown
    page.focus(CANVAS)
    page.press("End")
    assert page.evaluate(f"{stage}.scrollTop") > 3 * shown
    assert page.evaluate("document.querySelector('.stage canvas').clientHeight") == shown


def test_the_model_view_enlarges_a_head_and_comes_back(show):
    attention = made.attention()
    page = show(views.model_view(attention, TOKENS, exact=True))
    page.focus(".grid button")
    page.press("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown")  # there is no third layer
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "layer 1, head 0"
    page.press("ArrowRight", "Enter")
    assert page.text("dialog h3") == "layer 1, head 1"
    page.press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight")
    assert page.text("dialog .status").startswith("From “was” (3) to “the” (1)")
    page.press("Enter")
    shown = weights_of(page.table("dialog .table"))
    np.testing.assert_allclose(shown, attention[1, 1, 3], rtol=1e-6)
    page.press("Escape")
    assert not page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate(focused) == "layer 1, head 1"
    page.click(".grid button")
    assert page.text("dialog h3") == "layer 0, head 0"


def test_the_model_views_table_names_the_largest_weight_of_each_head(show):
    attention = made.attention()
    page = show(views.model_view(attention, TOKENS, exact=True))
    page.click(".view > .files button")
    for (name, weight, source, target), head in zip(
        page.table()[1:], attention.reshape(-1, SIZE, SIZE), strict=True
    ):
        row, column = np.unravel_index(np.argmax(head), head.shape)
        assert float(weight) == pytest.approx(np.max(head), rel=1e-6)
        assert (source, target) == (f"{row} {TOKENS[row]}", f"{column} {TOKENS[column]}"), name


def test_maps_out_of_sight_are_not_drawn_until_they_come_near(show):
    page = show(views.model_view(made.attention(40, 2), TOKENS))
    drawn = "document.querySelectorAll('.grid canvas').length"
    assert 0 < page.evaluate(drawn) < 80
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.until("document.querySelector('.grid div:last-child button:last-child canvas') !== null")


def test_a_map_has_the_shades_of_the_palette(show):
    attention = np.zeros((1, 1, 4, 4), np.float32)
    attention[0, 0, 2, 1] = 1.0
    page = show(views.model_view(attention, list("abcd")))
    pixels = page.evaluate(
        "[...document.querySelector('.grid canvas').getContext('2d').getImageData(0, 0, 4, 4).data]"
    )
    shades = np.reshape(pixels, (4, 4, 4))[..., :3]
    ends = [
        tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in ("#eff6ff", "#083a80")
    ]
    assert tuple(shades[2, 1]) == ends[1]
    shades[2, 1] = ends[0]
    assert np.all(shades == ends[0])


def test_the_neuron_view_computes_the_softmax_of_the_chosen_token(show):
    queries, keys = np.random.default_rng(2).normal(size=(2, SIZE, 5)).astype(np.float32)
    page = show(views.neuron_view(queries, keys, TOKENS))
    page.focus(CANVAS)
    page.press("ArrowDown", "ArrowDown", "Enter")
    dots = keys @ queries[2]
    scores = dots / np.sqrt(5)
    weights = np.exp(scores) / np.sum(np.exp(scores))
    for column, wanted in enumerate((dots, scores, weights), start=1):
        np.testing.assert_allclose(weights_of(page.table(), column), wanted, rtol=1e-4, atol=1e-6)
    most = int(np.argmax(weights))
    assert status(page).startswith(f"“film” (2) attends most to “{TOKENS[most]}” ({most})")
    page.click(CANVAS, 20, 3.5 * 18 + 4.5 * 18)  # below the head: the fifth row
    assert status(page).startswith("“dull” (4)")


@pytest.mark.parametrize("view", made.VIEWS)
def test_hostile_tokens_do_nothing_and_are_shown_to_the_letter(show, view):
    page = show(view(made.HOSTILE, title=made.HOSTILE[0]))
    page.focus(".stage canvas, .grid button")
    page.press("Enter", "ArrowDown", "ArrowDown")
    assert page.evaluate("document.title") == made.HOSTILE[0]
    assert page.evaluate("document.querySelectorAll('img, svg, iframe, [onerror]').length") == 0
    assert page.evaluate("document.scripts.length") == 2
    shown = [row[0].split(" ", 1)[-1] for row in page.table("dialog .table, .table")[1:]]
    if view is not made.model:
        assert shown == made.HOSTILE


@pytest.mark.parametrize("view", made.VIEWS)
def test_pictures_are_saved_as_png_and_svg(show, tmp_path, view):
    page = show(view(TOKENS, title="A Title, of <b>"))
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for ending, button in (("png", 2), ("svg", 3)):
        page.click(f".view > .files button:nth-of-type({button})")
        path = tmp_path / f"a_title_of_b_.{ending}"
        page.evaluate("new Promise((done) => setTimeout(done, 1500))")
        assert path.exists()
    assert (tmp_path / "a_title_of_b_.png").read_bytes().startswith(b"\x89PNG")
    root = xml.etree.ElementTree.parse(tmp_path / "a_title_of_b_.svg").getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert (
        set(TOKENS) <= set(texts)
        if view is not made.model
        else {"layer 0", "layer 1", "head 0", "head 2"} <= set(texts)
    )


@pytest.mark.parametrize("view", made.VIEWS)
def test_dark_pages_have_the_palettes_dark_colours(show, view):
    page = show(view(TOKENS))
    card = "getComputedStyle(document.querySelector('.view')).backgroundColor"
    assert page.evaluate(card) == "rgb(255, 255, 255)"
    try:
        page.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        assert page.evaluate(card) == "rgb(27, 34, 42)"
    finally:
        page.send("Emulation.setEmulatedMedia", features=[])


def test_the_picture_is_told_to_screen_readers(show):
    page = show(views.head_view(made.attention(), TOKENS, title="Heads"))
    page.focus(CANVAS)
    page.press("ArrowDown", "ArrowDown")
    told = page.evaluate(
        "Object.fromEntries([...document.activeElement.attributes].map((one) => [one.name, one.value]))"
    )
    assert told["role"] == "slider"
    assert told["aria-label"].startswith("Heads; arrow keys choose a token")
    assert (told["aria-valuenow"], told["aria-valuemax"]) == ("1", "8")
    assert told["aria-valuetext"] == status(page)


def test_the_grid_of_heads_is_told_to_screen_readers(show):
    page = show(views.model_view(made.attention(), TOKENS))
    roles = page.evaluate(
        "[...document.querySelectorAll('.grid [role=row]')].map((row) =>"
        "[...row.children].map((one) => [one.getAttribute('role'), one.getAttribute('aria-label')]))"
    )
    assert [role for role, _ in roles[0]] == ["columnheader"] * 4
    assert [name for _, name in roles[0][1:]] == ["head 0", "head 1", "head 2"]
    assert roles[2] == [["rowheader", None]] + [
        ["gridcell", f"layer 1, head {head}"] for head in range(3)
    ]
