"""A reader opens a page of embeddings: it asks for nothing, shows each point's text, and answers mouse and keys."""

import xml.etree.ElementTree

import numpy as np
import pytest

from explain import embeddings
from explain import views
from tests.explain import test_embeddings as made
from tests.explain import test_views as pages
from tests.explain import test_views_browser as reading

tab, show, status = reading.tab, reading.show, reading.status
POINTS, LABELS, TEXTS = made.POINTS, made.LABELS, made.TEXTS
FIGURE = "document.querySelector('.view').figure"


@pytest.fixture
def flat(show):
    """The page of two dimensions."""
    return show(views.embedding_view(POINTS, LABELS, TEXTS, dimensions=2))


@pytest.fixture
def deep(show):
    """The page of three; the browser draws it with WebGL."""
    page = show(views.embedding_view(POINTS, LABELS, TEXTS))
    assert page.evaluate(f"{FIGURE}.isDeep")
    yield page
    # what a browser without a graphics card says about its speed
    page.complaints[:] = [one for one in page.complaints if not _is_about_speed(one)]


def _is_about_speed(complaint: str) -> bool:
    return "GPU stall due to ReadPixels" in complaint or complaint.startswith("Canvas2D: Multiple")


def place_of(page, number: int) -> tuple[float, float]:
    """Return where a point of the flat picture lies, from the picture's corner."""
    x, y = embeddings.reduce(POINTS, 2).points[number].tolist()
    return tuple(
        page.evaluate(
            f"(() => {{ const {{ xaxis, yaxis }} = {FIGURE}.plot._fullLayout;"
            f"return [xaxis._offset + xaxis.l2p({x}), yaxis._offset + yaxis.l2p({y})]; }})()"
        )
    )


def camera(page) -> np.ndarray:
    return np.array(page.evaluate(f"Object.values({FIGURE}.plot.layout.scene.camera.eye)"))


def wait(page) -> None:
    page.evaluate("new Promise((done) => setTimeout(done, 400))")


def test_the_table_holds_texts_labels_and_coordinates(deep):
    deep.click(".files button")
    rows = deep.table()
    assert rows[0] == ["text", "label", *embeddings.reduce(POINTS).axes]
    assert [row[0] for row in rows[1:]] == [f"{i} {text}" for i, text in enumerate(TEXTS)]
    assert [row[1] for row in rows[1:]] == LABELS
    shown = np.array([list(map(float, row[2:])) for row in rows[1:]])
    np.testing.assert_allclose(shown, embeddings.reduce(POINTS).points, rtol=1e-6)


def test_the_pictures_points_are_the_pages_in_a_colour_and_a_shape_a_label(deep):
    drawn = deep.evaluate(
        f"{FIGURE}.plot.data.slice(0, 2).map(({{ name, x, y, z, marker, customdata }}) =>"
        "({ name, places: [x, y, z], kind: [marker.color, marker.symbol], customdata }))"
    )
    wanted = embeddings.reduce(POINTS).points
    for part, name in zip(drawn, ("negative", "positive"), strict=True):
        numbers = [i for i, label in enumerate(LABELS) if label == name]
        assert (part["name"], part["customdata"]) == (name, numbers)
        np.testing.assert_allclose(np.array(part["places"]).T, wanted[numbers], rtol=1e-6)
    assert [part["kind"] for part in drawn] == [["#0072b2", "circle"], ["#d55e00", "square"]]


def test_pointing_at_a_point_shows_its_text_and_pressing_keeps_it(flat):
    idle = status(flat)
    here, there = place_of(flat, 3), place_of(flat, 8)
    flat.point(".plot", *here)
    wait(flat)
    assert status(flat).startswith("“text 3” (3), positive: PC 1")
    assert flat.text(".plot .hoverlayer") == "text 3positive"
    flat.point("h2", 5, 5)
    wait(flat)
    assert status(flat) == idle
    flat.click(".plot", *there)
    flat.point(".plot", *here)
    wait(flat)
    assert status(flat).startswith("“text 8” (8), negative")
    ring = flat.evaluate(f"{FIGURE}.plot.data.at(-1).x")
    np.testing.assert_allclose(ring, embeddings.reduce(POINTS, 2).points[8, :1], rtol=1e-6)
    flat.focus(".plot")
    flat.press("Escape")
    assert status(flat) == idle
    assert flat.evaluate(f"{FIGURE}.plot.data.at(-1).x") == []


def test_keys_go_through_the_points_and_pass_by_those_of_other_labels(flat):
    flat.focus(".plot")
    flat.press("ArrowDown", "ArrowDown")
    assert status(flat).startswith("“text 1” (1), positive")
    flat.choose("Label", "0")
    assert status(flat).startswith("Point at a point")
    flat.press("ArrowDown", "ArrowDown")
    assert status(flat).startswith("“text 2” (2), negative")
    flat.press("ArrowUp")
    assert status(flat).startswith("“text 0” (0), negative")
    assert flat.evaluate(f"{FIGURE}.plot.data.map((trace) => trace.visible)")[:2] == [True, False]
    flat.press("Enter")
    assert {row[1] for row in flat.table()[1:]} == {"negative"}


def test_home_and_end_find_the_outermost_points_that_are_shown(flat):
    flat.focus(".plot")
    for label, name in (("0", "negative"), ("1", "positive")):
        flat.choose("Label", label)
        numbers = [i for i, given in enumerate(LABELS) if given == name]
        flat.press("End")
        assert status(flat).startswith(f"“{TEXTS[numbers[-1]]}” ({numbers[-1]}), {name}")
        flat.press("Home")
        assert status(flat).startswith(f"“{TEXTS[numbers[0]]}” ({numbers[0]}), {name}")
        flat.press("Escape")


def test_keys_turn_the_picture_and_bring_it_nearer_and_choosing_leaves_it_so(deep):
    deep.focus(".plot")
    start = camera(deep)
    deep.press("ArrowRight", "ArrowRight", "+")
    turned = camera(deep)
    angle = np.pi / 6
    x, y, z = start
    wanted = np.array(
        [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y, z]
    )
    np.testing.assert_allclose(turned, 0.8 * wanted, rtol=1e-6)
    deep.press("ArrowDown")
    wait(deep)
    np.testing.assert_allclose(camera(deep), turned, rtol=1e-6)
    assert status(deep).startswith("“text 0” (0)")


def test_three_dimensions_can_be_seen_two_at_a_time(deep):
    deep.choose("Axes", "0,2")
    wait(deep)
    points = embeddings.reduce(POINTS).points
    x, y, kind = deep.evaluate(f"(({{ x, y, type }}) => [x, y, type])({FIGURE}.plot.data[0])")
    assert kind == "scatter"
    np.testing.assert_allclose(np.transpose([x, y]), points[::2][:, [0, 2]], rtol=1e-6)


def test_hostile_labels_and_texts_do_nothing_and_are_shown_to_the_letter(show):
    hostile = pages.HOSTILE
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 2]], np.float32)
    page = show(views.embedding_view(points, hostile, hostile, title=hostile[0]))
    page.focus(".plot")
    page.press("ArrowDown", "ArrowDown", "Enter")
    assert page.evaluate("document.title") == hostile[0]
    assert page.evaluate("document.querySelectorAll('img, iframe, [onerror]').length") == 0
    assert page.evaluate("document.querySelectorAll('.plot a[href]').length") == 0
    assert [row[0].split(" ", 1)[1] for row in page.table()[1:]] == hostile
    assert [row[1] for row in page.table()[1:]] == hostile
    assert page.evaluate("document.scripts.length") == 3
    # Plotly's labels are a kind of HTML, where <b> and &amp; would mean something
    told = page.evaluate(
        "[...document.querySelectorAll('.plot .legendtext')].map((one) => one.textContent)"
    )
    assert told[:3] == hostile[:3]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_pictures_are_saved_as_png_and_svg(show, tmp_path, dimensions):
    page = show(
        views.embedding_view(POINTS, LABELS, TEXTS, title="A Title, of <b>", dimensions=dimensions)
    )
    page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for ending, button in (("png", 2), ("svg", 3)):
        page.click(f".files button:nth-of-type({button})")
        path = tmp_path / f"a_title_of_b_.{ending}"
        for _ in range(40):
            wait(page)
            if path.exists():
                break
    assert (tmp_path / "a_title_of_b_.png").read_bytes().startswith(b"\x89PNG")
    root = xml.etree.ElementTree.parse(tmp_path / "a_title_of_b_.svg").getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"negative", "positive"} <= set(texts)
    # what the page made itself, on its way into a file
    assert all(address.startswith(("blob:null/", "data:image/")) for address in page.requests)
    page.requests.clear()
    page.complaints[:] = [one for one in page.complaints if not _is_about_speed(one)]


def test_dark_pages_have_the_palettes_dark_colours(flat):
    background = f"{FIGURE}.plot._fullLayout.paper_bgcolor"
    assert flat.evaluate(background) == "#ffffff"
    try:
        flat.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark"}],
        )
        wait(flat)
        assert flat.evaluate(background) == "#1b222a"
    finally:
        flat.send("Emulation.setEmulatedMedia", features=[])


def test_the_picture_is_told_to_screen_readers(flat):
    flat.focus(".plot")
    flat.press("ArrowDown", "ArrowDown", "ArrowDown")
    told = flat.evaluate(
        "Object.fromEntries([...document.activeElement.attributes].map((one) => [one.name, one.value]))"
    )
    assert told["role"] == "slider"
    assert told["aria-label"].startswith("Embeddings; arrow keys choose a point")
    assert (told["aria-valuenow"], told["aria-valuemax"]) == ("2", "39")
    assert told["aria-valuetext"] == status(flat)
