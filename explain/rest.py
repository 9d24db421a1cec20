"""TensorFlow Serving's REST form: what a client may send, and what it gets, as of the exported model's signatures.

`serving_default` explains the predicted class, `explain` the class that `target` names. `text_b` and `target` may be
left out. Leaves to others: HTTP (`server`), the answers (`answers`).
Source: TensorFlow Serving, RESTful API; tensorflow_serving/util/json_tensor.cc.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import pydantic
import pydantic_core

from bert import features
from explain import answers as answers_lib
from explain import explanation

SIGNATURES = ("serving_default", "explain")
_Row: TypeAlias = dict[str, Any]  # outputs by name, as JSON has them


class Instance(pydantic.BaseModel):
    """One text or pair, and which class is to be explained."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    text: str
    text_b: str = ""
    target: str | int = "predicted"


class Columns(pydantic.BaseModel):
    """The same of several texts, by name."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    text: list[str]
    text_b: list[str] | None = None
    target: list[str | int] | None = None

    @pydantic.model_validator(mode="after")
    def _refuse_uneven(self) -> Self:
        for name in ("text_b", "target"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.text):
                raise ValueError(
                    f"{name} must be one a text, got {len(column)} for {len(self.text)} texts"
                )
        return self

    def rows(self) -> list[Instance]:
        """Return them one by one."""
        named = self.model_dump(exclude_none=True)
        return [
            Instance(**dict(zip(named, row, strict=True)))
            for row in zip(*named.values(), strict=True)
        ]


class Request(NamedTuple):
    """What a client asks.

    Attributes:
      is_columnar: it sent `inputs` and gets `outputs`, by name; else `instances` and `predictions`, one by one.
    """

    instances: list[Instance]
    is_columnar: bool


class _Body(pydantic.BaseModel):
    signature_name: str = SIGNATURES[0]
    instances: list[Instance | str] | None = None
    inputs: Columns | list[str] | None = None


def parse(body: bytes) -> Request:
    """Return what a request's body asks.

    Raises:
      ValueError: it is not JSON, or not of the form; the message is TensorFlow Serving's where it has one.
    """
    try:
        asked = _Body.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise ValueError(first_problem(error)) from None
    if asked.signature_name not in SIGNATURES:
        raise ValueError(
            f'Serving signature name: "{asked.signature_name:.80}" not found in signature def'
        )
    if asked.instances is not None and asked.inputs is not None:
        raise ValueError(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    given = asked.instances if asked.inputs is None else asked.inputs
    if given is None:
        raise ValueError("Missing 'inputs' or 'instances' key")
    rows = given.rows() if isinstance(given, Columns) else given
    found = [Instance(text=row) if isinstance(row, str) else row for row in rows]
    if not found:
        raise ValueError("No values in 'instances' array")
    if asked.signature_name == SIGNATURES[0] and any(
        "target" in row.model_fields_set for row in found
    ):
        raise ValueError(
            "target is an input of signature_name 'explain'; give that, or leave target out"
        )
    return Request(found, asked.inputs is not None)


def answer(request: Request, answers: answers_lib.Answers) -> bytes:
    """Return the JSON of the answer; numbers that are not finite are NaN and Infinity, as TensorFlow Serving has them.

    Raises:
      ValueError: a target is no class, or more than one.
    """
    rows: list[_Row] = [{} for _ in request.instances]
    numbered = sorted(enumerate(request.instances), key=lambda pair: repr(pair[1].target))
    for target, group in itertools.groupby(numbered, key=lambda pair: pair[1].target):
        if target == -1:  # the exported model's number for it
            target = "predicted"
        if target == "all":
            raise ValueError("target must be one class, got 'all'; send the text once a class")
        places, asked = zip(*group, strict=True)
        texts = tuple((row.text, row.text_b) if row.text_b else row.text for row in asked)
        methods = tuple(answers.methods)
        records = answers.records(answers_lib.Question(texts, methods, target))
        for index, (place, text) in enumerate(zip(places, texts, strict=True)):
            of_text = records[index * len(methods) : (index + 1) * len(methods)]
            rows[place] = _row(of_text, answers.encode(text))
    _pad(rows)
    if request.is_columnar:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return pydantic_core.to_json({"outputs": columns}, inf_nan_mode="constants")
    return pydantic_core.to_json({"predictions": rows}, inf_nan_mode="constants")


def status() -> dict[str, object]:
    """Return what TensorFlow Serving says of a model that it serves."""
    fine = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": fine}]}


def _row(records: Sequence[explanation.Explanation], encoding: features.Encoding) -> _Row:
    first = records[0]
    return {
        "label": first.predicted,
        "probabilities": first.probabilities.tolist(),
        "tokens": list(first.tokens),
        "spans": [[token.start, token.end] for token in encoding.tokens],
        **{f"attribution_{record.method}": record.token_scores.tolist() for record in records},
    }


def _pad(rows: Sequence[_Row]) -> None:
    """Make every row as long as the longest: the exported model's outputs are dense."""
    longest = max(len(row["tokens"]) for row in rows)
    for row in rows:
        missing = longest - len(row["tokens"])
        for name, values in row.items():
            if name == "tokens":
                values += [""] * missing
            elif name == "spans":
                values += [[0, 0] for _ in range(missing)]
            elif name.startswith("attribution_"):
                values += [0.0] * missing


def first_problem(error: pydantic.ValidationError) -> str:
    """Return the first problem with what was sent, in one line that does not repeat it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # the names of fields and the numbers of rows, not those of our classes
    where = ".".join(
        str(part) for part in first["loc"] if re.fullmatch("[a-z_]+|[0-9]+", str(part))
    )
    told = first["msg"].removeprefix("Value error, ")
    return f"{where}: {told}" if where else told
