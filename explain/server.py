"""The local app over HTTP: a page that explains what is typed, and TensorFlow Serving's REST form.

Nothing is kept between requests and no file is read or written for one: what a request says reaches the tokenizer and
templates that escape it, nothing else. Leaves to others: binding an address (`scripts/app.py`), the answers (`answers`)
and who waits for them (`turns`), the report (`views`), the REST form's JSON (`rest`).
"""

import asyncio
import dataclasses
import functools
import ipaddress
import logging
import re
import socket
import traceback
import urllib.parse
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

import fastapi
import uvicorn
from fastapi import responses
from starlette import exceptions
from starlette import requests

from explain import answers as answers_lib
from explain import explanation
from explain import form as form_lib
from explain import highlight
from explain import palette
from explain import rest
from explain import turns as turns_lib
from explain import views

_TITLE = "Why this answer?"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, a browser would not say where a form came from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_STYLES = "style-src 'unsafe-inline'; img-src data:"
# Of the report, whose head comes before anything a user wrote: a page in a frame runs under its parent's policy too.
_REPORTS_SCRIPTS = re.compile(r"""content="default-src 'none'; (script-src '[^'"]*')""")
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)
_LONGEST_LINE = 300  # characters of a message


class Limits(NamedTuple):
    """What one request, and all of them together, may ask.

    Attributes:
      characters: of each text.
      texts: in one request.
      waiting: requests at a time; more are told to come back.
      timeout_s: until an answer, waiting included.
      body_timeout_s: until a request's body is there.
    """

    characters: int = 20_000
    texts: int = 64
    waiting: int = 512
    timeout_s: float = 600.0
    body_timeout_s: float = 20.0

    @property
    def body_bytes(self) -> int:
        """Most bytes of a body: four texts of a form, in which a character takes up to 12, and its other fields."""
        return 2**16 + 4 * 12 * self.characters


def create_app(
    answers: answers_lib.Answers,
    name: str,
    limits: Limits | None = None,
    hosts: Collection[str] = ("localhost",),
) -> fastapi.FastAPI:
    """Return the app.

    Args:
      name: the model's, in the REST form's addresses.
      hosts: names that requests may call this machine by, addresses apart.
    """
    site = _Site(answers, name, limits or Limits(), hosts)
    # The framework's own pages of documentation load scripts from elsewhere.
    app = fastapi.FastAPI(title=_TITLE, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/", site.home, methods=["GET"])
    app.add_api_route("/", site.ask, methods=["POST"])
    app.add_api_route("/v1/models/{name}", site.status, methods=["GET"])
    app.add_api_route("/v1/models/{name}:predict", site.predict, methods=["POST"])
    app.middleware("http")(site.guard)
    app.add_exception_handler(exceptions.HTTPException, site.refused)
    app.add_exception_handler(Exception, site.failed)
    app.state.turns = site.turns
    return app


class Server(uvicorn.Server):
    """Stops without waiting for an answer that is being computed."""

    def __init__(self, config: uvicorn.Config, turns: turns_lib.Turns) -> None:
        """Take the turns of the app that is served, its `state.turns`."""
        super().__init__(config)
        self._turns = turns

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell all who wait that there will be no answer, and close."""
        self._turns.end()
        await super().shutdown(sockets)


class _Site:
    """The routes, and what guards them."""

    def __init__(
        self, answers: answers_lib.Answers, name: str, limits: Limits, hosts: Collection[str]
    ) -> None:
        self._answers, self._name, self._limits = answers, name, limits
        self._hosts = {host.lower() for host in hosts}  # as a request's is read
        self.turns = turns_lib.Turns(limits.waiting, limits.timeout_s)
        self._first = form_lib.Form(
            methods=tuple(answers.methods[:1]), layer=str(answers.layers - 1)
        )

    async def home(self) -> fastapi.Response:
        return self._page(self._first)

    async def ask(self, request: fastapi.Request) -> fastapi.Response:
        kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != form_lib.CONTENT_TYPE:
            told = f"Content-Type must be {form_lib.CONTENT_TYPE}, got {kind!r}"
            raise fastapi.HTTPException(415, told)
        body = await self._body(request)
        try:
            form = request.state.form = form_lib.Form.parse(body)
        except ValueError as error:
            raise fastapi.HTTPException(400, str(error)) from None
        question = self._question(form)
        return await self._turn(self._explained, form, question)

    async def status(self, name: str) -> fastapi.Response:
        if name != self._name:
            raise fastapi.HTTPException(404, f"Could not find any versions of model {name}")
        return responses.JSONResponse(rest.status())

    async def predict(self, name: str, request: fastapi.Request) -> fastapi.Response:
        if name != self._name:
            raise fastapi.HTTPException(404, f"Servable not found for request: Latest({name})")
        body = await self._body(request)
        try:
            asked = rest.parse(body)
        except ValueError as error:
            raise fastapi.HTTPException(400, str(error)) from None
        if len(asked.instances) > self._limits.texts:
            told = f"instances must be at most {self._limits.texts}, got {len(asked.instances)}"
            raise fastapi.HTTPException(413, f"{told}; send them in several requests")
        self._check_length(
            max(len(text) for row in asked.instances for text in (row.text, row.text_b))
        )
        answer = await self._turn(rest.answer, asked, self._answers)
        return fastapi.Response(answer, media_type="application/json")

    async def guard(
        self,
        request: fastapi.Request,
        call_next: Callable[[fastapi.Request], Awaitable[fastapi.Response]],
    ) -> fastapi.Response:
        """Let through only what came to this machine by a name of its own, and not from another site's page."""
        refusal = self._refusal(request.method, request.headers)
        if refusal:
            return await self.refused(request, refusal)
        return _guarded(await call_next(request))

    async def refused(self, request: fastapi.Request, error: Exception) -> fastapi.Response:
        assert isinstance(error, exceptions.HTTPException)
        return self._error(request, error.status_code, error.detail)

    async def failed(self, request: fastapi.Request, error: Exception) -> fastapi.Response:
        """Say no more than that; the framework raises the error again, for the server's log."""
        del error
        return self._error(request, 500, "the server failed to answer; its log says why")

    def _refusal(self, method: str, headers: Mapping[str, str]) -> exceptions.HTTPException | None:
        host = headers.get("host", "")
        if not _is_own(host, self._hosts):
            told = f"Host must be an address or a name of this machine, got {host!r}"
            return fastapi.HTTPException(400, told)
        if method not in ("GET", "HEAD"):
            origin = headers.get("origin")
            is_other = origin is not None and origin.partition("://")[2] != host
            if is_other or headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
                return fastapi.HTTPException(403, "Origin must be this page: no other site may ask")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> exceptions.HTTPException:
        most = f"{self._limits.body_bytes:,} bytes"
        return fastapi.HTTPException(
            413, f"a request must be at most {most}; shorten its texts, or send fewer"
        )

    async def _body(self, request: fastapi.Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for part in request.stream():
                    body += part
                    if len(body) > self._limits.body_bytes:
                        raise self._too_large()
        except (TimeoutError, requests.ClientDisconnect):
            raise fastapi.HTTPException(408, "the request took too long to arrive") from None
        return bytes(body)

    async def _turn(self, function: Callable[..., _Answer], *arguments: object) -> _Answer:
        """Return what a function of the model says, when its turn has come."""
        try:
            return await self.turns.take(functools.partial(function, *arguments))
        except turns_lib.NoAnswerError as error:
            raise fastapi.HTTPException(503, str(error)) from None
        except ValueError as error:
            # what only the model can tell is wrong, or a fault of a method; its message may hold what a user wrote
            at = traceback.extract_tb(error.__traceback__)[-1]
            _log.warning("answered 400: %s at %s:%s", type(error).__name__, at.filename, at.lineno)
            raise fastapi.HTTPException(400, str(error)) from None

    def _question(self, form: form_lib.Form) -> answers_lib.Question:
        if not form.texts:
            raise fastapi.HTTPException(400, "there must be a text to explain, got none; type one")
        self._check_length(form.longest)
        methods = tuple(dict.fromkeys(form.methods))
        for method in methods:
            if method not in self._answers.methods:
                legal = ", ".join(self._answers.methods)
                told = f"a method must be one of {legal}; got {method!r}"
                raise fastapi.HTTPException(400, told)
        layers = [str(layer) for layer in range(self._answers.layers)]
        if form.layer and form.layer not in layers:
            told = f"a layer must be a number from 0 to {layers[-1]}, got {form.layer!r}"
            raise fastapi.HTTPException(400, told)
        if not methods and not form.layer:
            raise fastapi.HTTPException(400, "there must be a method or a layer; choose one")
        target = (form.target, form.against) if form.against else form.target
        try:
            self._answers.check_target(target)
        except ValueError as error:
            raise fastapi.HTTPException(400, str(error)) from None
        layer = int(form.layer) if form.layer else None
        return answers_lib.Question(form.texts, methods, target, layer)

    def _explained(self, form: form_lib.Form, question: answers_lib.Question) -> fastapi.Response:
        """Return the whole answer in one turn: the attention of many texts that wait would fill the memory."""
        records = self._answers.records(question)
        if form.answer == "jsonl":
            return _download("explanations.jsonl", "application/jsonl", _jsonl(records))
        report = views.report(records, f"What counted for {self._name}")
        if form.answer == "html":
            return _download("report.html", "text/html; charset=utf-8", report)
        return self._page(form, report=report, records=records)

    def _check_length(self, longest: int) -> None:
        most = self._limits.characters
        if longest > most:
            told = f"a text must have at most {most:,} characters, got {longest:,}; shorten it"
            raise fastapi.HTTPException(413, told)

    def _error(self, request: fastapi.Request, status: int, line: str) -> fastapi.Response:
        line = line[:_LONGEST_LINE]
        if request.scope["path"].startswith("/v1"):
            return _guarded(responses.JSONResponse({"error": line}, status))
        form = getattr(request.state, "form", self._first)
        return _guarded(self._page(form, status=status, error=line))

    def _page(
        self,
        form: form_lib.Form,
        *,
        status: int = 200,
        error: str = "",
        report: str = "",
        records: Sequence[explanation.Explanation] = (),
    ) -> fastapi.Response:
        scripts = _REPORTS_SCRIPTS.search(report)
        source = highlight.TEMPLATES.get_template("app/page.html").render(
            title=_TITLE,
            name=self._name,
            answers=self._answers,
            characters=self._limits.characters,
            form=form,
            error=error,
            report=report,
            comparison=_comparison(records),
            colours=palette.PAGE | _accent(palette.diverging(1.0)),
            dark_colours=palette.DARK_PAGE | _accent(palette.diverging_on_dark(1.0)),
        )
        policy = [_POLICY, _STYLES, *(scripts.groups() if scripts else ())]
        headers = {"Content-Security-Policy": "; ".join(policy)}
        return responses.HTMLResponse(highlight.encodable(source), status, headers)


def _is_own(host: str, names: Collection[str]) -> bool:
    """Tell whether a Host header is an address or a known name: another site's name can be made to lead here."""
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        return name in names or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _guarded(response: fastapi.Response) -> fastapi.Response:
    for name, value in {**_HEADERS, "Content-Security-Policy": _POLICY}.items():
        response.headers.setdefault(name, value)
    return response


def _accent(colours: tuple[str, str]) -> dict[str, str]:
    return dict(zip(("accent", "on-accent"), colours, strict=True))


def _jsonl(records: Sequence[explanation.Explanation]) -> bytes:
    """Return the records as lines, without the attention of every head: as numbers it would be megabytes a text."""
    light = [dataclasses.replace(record, attention=None) for record in records]
    return b"".join(explanation.json_lines(light))


def _download(name: str, kind: str, content: bytes | str) -> fastapi.Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return fastapi.Response(content, media_type=kind, headers=disposition)


def _comparison(records: Sequence[explanation.Explanation]) -> list[tuple[str, float, float]]:
    """Return each class's label and probability for two texts; nothing where there is one."""
    of_text = {record.guid: record for record in records}
    if len(of_text) != 2:
        return []
    one, two = of_text.values()
    probabilities = one.probabilities.tolist(), two.probabilities.tolist()
    return list(zip(one.labels, *probabilities, strict=True))
