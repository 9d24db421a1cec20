"""What stands around the pictures of `views`: the page, its colours and style, its scripts, and that no other may run.

Leaves to others: what the pictures are (`views`), how they are drawn (`templates/views/`), colours (`palette`).
"""

import base64
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from explain import highlight
from explain import palette

_FOLDER = pathlib.Path(highlight.__file__).parent / "templates" / "views"
_SCRIPTS = {
    "head": "arrays painters figure profile_view head_view start",
    "model": "arrays painters figure model_view start",
    "neuron": "arrays painters figure neuron_view start",
    "embedding": "arrays painters figure embedding_view start",
}


class View(NamedTuple):
    """One picture of a page.

    Attributes:
      kind: whose script draws it.
      notes: lines above it.
      data: what that script reads.
    """

    kind: str
    title: str
    notes: list[str]
    data: Mapping[str, object]

    @property
    def json(self) -> str:
        """The data in ASCII with no sign of markup, so that it cannot end the element it stands in."""
        text = json.dumps(self.data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def page(view: View, library: str = "") -> str:
    """Return the page of one picture.

    Args:
      library: script that the picture's own needs before it.
    """
    template = highlight.TEMPLATES.get_template("views/page.html")
    return highlight.encodable(template.render(view=view, **around(view.kind, "page.css", library)))


def around(kind: str, layout: str, library: str = "") -> dict[str, object]:
    """Return what a template puts around pictures: colours, style, scripts, and the hashes that let these run."""
    own = "".join(
        (_FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS[kind].split()
    )
    scripts = [*filter(None, [library]), f'"use strict";\n{own}']
    return {
        "colours": {"light": "; ".join(_colours(False)), "dark": "; ".join(_colours(True))},
        "style": "".join(
            (_FOLDER / name).read_text(encoding="utf-8") for name in (layout, "views.css")
        ),
        "scripts": scripts,
        "script_hashes": list(map(_hash, scripts)),
    }


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode('utf-8')).digest()).decode()}"


def _colours(on_dark: bool) -> Iterator[str]:
    sequential = palette.sequential_on_dark if on_dark else palette.sequential
    diverging = palette.diverging_on_dark if on_dark else palette.diverging
    named = (palette.DARK_PAGE if on_dark else palette.PAGE) | {
        "low": sequential(0.0)[0],
        "high": sequential(1.0)[0],
        "towards": diverging(1.0)[0],
        "away": diverging(-1.0)[0],
        "head-colours": str(len(palette.HEADS)),
        **{f"head-{number}": colour for number, colour in enumerate(palette.HEADS)},
    }
    yield from (f"--{name}: {value}" for name, value in named.items())
