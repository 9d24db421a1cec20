"""The fields of the app's page, as a browser sends them. Leaves to others: what they may hold (`server`)."""

import dataclasses
import urllib.parse
from typing import Self

CONTENT_TYPE = "application/x-www-form-urlencoded"
ANSWERS = ("page", "jsonl", "html")
_MOST_FIELDS = 64


@dataclasses.dataclass(frozen=True)
class Form:
    """What the page asks.

    Attributes:
      text_b: second text of a pair; blank where it is a single text.
      other: the text, or with `other_b` the pair, to compare with.
      against: the class that a contrast takes off.
      layer: number of the layer whose attention is shown; blank for none.
      answer: one of `ANSWERS`.
    """

    text: str = ""
    text_b: str = ""
    other: str = ""
    other_b: str = ""
    methods: tuple[str, ...] = ()
    target: str = "predicted"
    against: str = ""
    layer: str = ""
    answer: str = ANSWERS[0]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Return the fields of a request's body; those that it leaves out have their defaults.

        Raises:
          ValueError: it is no such form.
        """
        try:
            given = urllib.parse.parse_qs(
                body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
        except ValueError:
            raise ValueError(
                f"a form must be URL-encoded UTF-8 of at most {_MOST_FIELDS} fields, got another body"
            ) from None
        methods = tuple(given.pop("methods", ()))
        known = {field.name for field in dataclasses.fields(cls)}
        for name, values in given.items():
            if name not in known or len(values) > 1:
                raise ValueError(f"a form must have each of its fields once, got {name!r:.80}")
        # a browser sends lines with carriage returns that nobody typed
        form = cls(
            methods=methods,
            **{name: value.replace("\r\n", "\n") for name, (value,) in given.items()},
        )
        if form.answer not in ANSWERS:
            raise ValueError(f"answer must be one of {', '.join(ANSWERS)}; got {form.answer!r:.80}")
        return form

    @property
    def texts(self) -> tuple[str | tuple[str, str], ...]:
        """The text or pair, and the one to compare it with; blank ones left out."""
        pairs = [(self.text, self.text_b), (self.other, self.other_b)]
        return tuple(
            (first, second) if second.strip() else first
            for first, second in pairs
            if first.strip() or second.strip()
        )

    @property
    def longest(self) -> int:
        """Characters of the longest text."""
        return max(map(len, (self.text, self.text_b, self.other, self.other_b)))
