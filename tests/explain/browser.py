"""A headless Chromium that tests can point, click and type in, over the pipe of its DevTools protocol.

`python -m tests.explain.browser PAGE.html ...` prints each page's bytes, and the median seconds of five until it had
loaded and drawn.
"""

import contextlib
import json
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

TIMEOUT_S = 60
KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
    " ": 32,
    "+": 187,
    "-": 189,
}


class Page:
    """One tab.

    Attributes:
      requests: addresses that the page asked for, itself left out.
      complaints: what it threw, and what the browser logged, such as a breach of its policy.
    """

    def __init__(self, process: subprocess.Popen[bytes], write_to: int, read_from: int) -> None:
        self._process, self._write_to, self._read_from = process, write_to, read_from
        self._received, self._session, self._count = b"", "", 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._events: set[str] = set()
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command and return its result."""
        number = self._post(method, **parameters)
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def open(self, path: pathlib.Path) -> float:
        """Open a file and return the seconds until it had loaded and drawn."""
        self._events.clear()
        self.requests.clear()
        start = time.perf_counter()
        self.send("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._note(self._read())
        self.settle()
        assert self.requests.pop(0) == path.as_uri()
        return time.perf_counter() - start

    def settle(self) -> None:
        """Wait until what the last event changed is drawn, and what came into sight with it.

        The browser tells a page's observers of their first sights together, some frames after it loaded.
        """
        frame = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
        seen = (
            "new Promise((done) => new IntersectionObserver((_, observer) => "
            "{ observer.disconnect(); done(); }).observe(document.documentElement))"
        )
        self.evaluate(f"{frame}.then(() => {seen}).then(() => {frame})")

    def until(self, script: str) -> None:
        """Wait until the expression holds, for what takes the page more than a frame."""
        end = time.perf_counter() + TIMEOUT_S
        while not self.evaluate(script):
            assert time.perf_counter() < end, f"the page never came to {script}"
            time.sleep(0.05)

    def evaluate(self, script: str) -> Any:
        """Return the value of an expression, which may be a promise."""
        result = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def focus(self, selector: str) -> None:
        """Give the keys to the element."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            typed = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            if key == "Enter":
                typed["text"] = "\r"  # what makes a button act
            self.send("Input.dispatchKeyEvent", type="keyDown", **typed)
            self.send("Input.dispatchKeyEvent", type="keyUp", **typed)
        self.settle()

    def point(self, selector: str, x: float, y: float) -> None:
        """Move the mouse to a place inside the element, measured from its upper left corner."""
        self._mouse("mouseMoved", selector, x, y)
        self.settle()

    def click(self, selector: str, x: float | None = None, y: float | None = None) -> None:
        """Click on the element, in its middle unless told where."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._mouse(kind, selector, x, y)
        self.settle()

    def choose(self, label: str, value: str) -> None:
        """Choose an option of the drop-down list of that name."""
        self.evaluate(
            "(() => { const labels = [...document.querySelectorAll('label')]; const select = labels.find((label) => "
            f"label.textContent.startsWith({json.dumps(label)})).querySelector('select'); "
            f"select.value = {json.dumps(value)}; select.dispatchEvent(new Event('change')); }})()"
        )
        self.settle()

    def text(self, selector: str) -> str:
        """Return the text of the first element."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def table(self, selector: str = ".table") -> list[list[str]]:
        """Return the rows of the table, its head first."""
        return self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector + ' tr')})]"
            ".map((row) => [...row.children].map((cell) => cell.textContent))"
        )

    def _post(self, method: str, **parameters: object) -> int:
        """Send a command whose result nobody waits for, and return its number."""
        self._count += 1
        message: dict[str, object] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        return self._count

    def _mouse(self, kind: str, selector: str, x: float | None, y: float | None) -> None:
        box = self.evaluate(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)}); "
            "element.scrollIntoViewIfNeeded(); const box = element.getBoundingClientRect(); "
            "return [box.x, box.y, box.width, box.height]; })()"
        )
        left, top, width, height = box
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        where = {
            "x": left + (width / 2 if x is None else x),
            "y": top + (height / 2 if y is None else y),
        }
        self.send("Input.dispatchMouseEvent", type=kind, **where, **button)

    def _note(self, event: dict[str, Any]) -> None:
        method, told = event.get("method", ""), event.get("params", {})
        self._events.add(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        if method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read_from], [], [], TIMEOUT_S)
            part = os.read(self._read_from, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError(f"the browser did not answer (exit code {self._process.poll()})")
            self._received += part
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def launch(chromium: str, profile: pathlib.Path) -> Iterator[Page]:
    """Start the browser and yield a tab of it; afterwards the browser is gone."""
    commands, write_to = os.pipe()
    read_from, answers = os.pipe()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    flags.append("--enable-unsafe-swiftshader")  # WebGL without a graphics card
    place = [f"--user-data-dir={profile}", "--window-size=1280,900", "about:blank"]
    command = [chromium, *flags, *place]
    # the browser expects its pipes as files 3 and 4
    there = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash"]
    process = subprocess.Popen(
        [*there, *command], pass_fds=(commands, answers), stderr=subprocess.DEVNULL
    )
    os.close(commands)
    os.close(answers)
    try:
        page = Page(process, write_to, read_from)
        yield page
        page._session = ""
        page.send("Browser.close")
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        os.close(write_to)
        os.close(read_from)


def main() -> None:
    """Time the pages that the command line names."""
    with (
        tempfile.TemporaryDirectory() as profile,
        launch(shutil.which("chromium") or "chromium", pathlib.Path(profile)) as page,
    ):
        for path in map(pathlib.Path, sys.argv[1:]):
            seconds = statistics.median(page.open(path.resolve()) for _ in range(5))
            sys.stdout.write(f"{path}: {path.stat().st_size} bytes, {seconds:.2f} s\n")


if __name__ == "__main__":
    main()
