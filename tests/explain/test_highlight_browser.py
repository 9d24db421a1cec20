"""A browser opens the report: it shows what the reader wrote, builds no element from it and runs nothing."""

import pathlib
import re
import shutil
import subprocess

import pytest

from explain import highlight
from tests.explain import test_highlight

TAKE_OVER = "document.title='taken'"
HOSTILE = {
    **{
        name: text.replace("\0", "") for name, text in test_highlight.HOSTILE.items()
    },  # no DOM has NUL
    "scripts": f"</title><script>{TAKE_OVER}</script><img src=x onerror={TAKE_OVER}>",
    "drawings": f"<svg onload={TAKE_OVER}><iframe src=javascript:{TAKE_OVER}></iframe></svg>",
    "attributes": f"\" onmouseover=\"{TAKE_OVER}\" ' autofocus onfocus='{TAKE_OVER}'",
    "forms": "<base href=//elsewhere><form action=//elsewhere><button>go</button></form>",
}


@pytest.fixture
def open_page(tmp_path):
    """Return a function that opens a page's source in a browser and returns what the browser made of it."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("waits for chromium on PATH, to open the report as a reader does")

    def dump(source: str) -> test_highlight.Page:
        path: pathlib.Path = tmp_path / "report.html"
        path.write_text(source, encoding="utf-8", newline="")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [chromium, *flags, profile, path.as_uri()]
        finished = subprocess.run(command, capture_output=True, check=True, timeout=120)
        return test_highlight.Page(finished.stdout.decode())

    return dump


def test_the_policy_allows_styles_of_the_page_and_nothing_else(build_record):
    source = highlight.report([build_record("Not bad at all!")], "title")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', source)
    # what default-src does not cover must be named: where links and forms lead
    assert dict(rule.split(" ", 1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_browser_shows_every_text_to_the_letter_and_builds_no_element_from_it(
    build_record, open_page
):
    title = f"Reviews {HOSTILE['scripts']}"
    records = [
        build_record(text, guid=f"{name} {text[:40]}", labels=(text[:60], "<svg>"), method="<img>")
        for name, text in HOSTILE.items()
    ]
    shown = open_page(highlight.report(records, title))
    assert {name: card.texts for name, card in zip(HOSTILE, shown.cards, strict=True)} == {
        name: [text] for name, text in HOSTILE.items()
    }
    assert shown.title == title
    harmless = test_highlight.page(build_record("harmless", gold="negative"))
    assert shown.tags <= harmless.tags | {"tbody"}  # which a browser adds to every table
    assert not shown.tags & {"script", "img", "svg", "iframe", "base", "form"}
    assert shown.attributes <= harmless.attributes


def test_the_policy_keeps_a_browser_from_running_what_got_in(build_record, open_page):
    source = highlight.report([build_record("harmless")], "Reviews")
    broken = source.replace("</main>", f"<script>{TAKE_OVER}</script></main>")
    assert open_page(broken).title == "Reviews"
    unguarded = re.sub("<meta http-equiv[^>]*>", "", broken)
    assert open_page(unguarded).title == "taken"  # the browser does run scripts
