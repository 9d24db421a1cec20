"""`scripts/app.py`: it starts, answers, stops; many ask at once; what keeps it from starting is told in one line."""

import asyncio
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent import futures

import httpx2
import pytest

from scripts import app
from tests.explain import classifier_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHODS = "--methods=gradient_x_input,rollout"
AT_ONCE = 200


@pytest.fixture(scope="module")
def trained(tiny_release, tmp_path_factory):
    return classifier_folder.make(tmp_path_factory.mktemp("trained") / "tiny", tiny_release)


@pytest.fixture(scope="module")
def started(trained):
    """The command in a process of its own, and its address; stopped by the last test, or else killed."""
    command = [sys.executable, "scripts/app.py", f"--model_dir={trained}", "--port=0", METHODS]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        (address,) = re.findall(
            r"^http://127\.0\.0\.1:\d+/(?= explains .*; Ctrl-C stops it$)", line
        )
        yield process, address
    finally:
        process.kill()
        process.communicate()


def test_it_says_where_it_is_when_it_answers(started):
    _, address = started
    with urllib.request.urlopen(address, timeout=60) as response:
        assert response.status == 200
        assert response.headers["Server"] is None
        assert "Why this answer?" in response.read().decode()
    with urllib.request.urlopen(f"{address}v1/models/tiny", timeout=60) as response:
        assert b"AVAILABLE" in response.read()


def test_two_hundred_who_ask_at_once_are_all_answered(started, record_property):
    _, address = started
    words = classifier_folder.WORDS

    async def ask(client, number):
        text = " ".join(words[(number + step) % len(words)] for step in range(1 + number % 9))
        if number % 4:
            body = {"instances": [{"text": text}]}
            return text, await client.post("v1/models/tiny:predict", json=body)
        form = {"text": text, "methods": ["rollout"], "layer": "0"}
        return text, await client.post("", data=form)

    async def ask_all():
        limits = httpx2.Limits(max_connections=AT_ONCE)
        async with httpx2.AsyncClient(base_url=address, limits=limits, timeout=800) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(AT_ONCE)))

    found = asyncio.run(ask_all())
    assert [response.status_code for _, response in found] == [200] * AT_ONCE
    waited = sorted(response.elapsed.total_seconds() for _, response in found)
    for percent in (50, 95):  # in the file that --junitxml asks for
        record_property(f"p{percent} in seconds", waited[AT_ONCE * percent // 100])
    for number, (text, response) in enumerate(found):  # each its own answer
        if number % 4:
            (row,) = response.json()["predictions"]
            assert row["tokens"] == ["[CLS]", *text.split()[:10], "[SEP]"]
        else:
            assert f">\n{text}</textarea>" in response.text


def test_an_error_of_the_transport_is_no_traceback(started):
    _, address = started
    port = int(address.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_ctrl_c_ends_it_well_in_one_line(started):  # the last one to use it
    process, _ = started
    process.send_signal(signal.SIGINT)
    printed, logged = process.communicate(timeout=60)
    assert process.returncode == 0
    assert printed == ""
    assert [line for line in logged.splitlines() if "Invalid HTTP" not in line] == [
        "app.py: stopped"
    ]


SLOW = """
import os
import sys
import time

import tensorflow as tf


def stalled(scores):
    if os.path.exists("stall"):
        print("asked", file=sys.stderr, flush=True)
        time.sleep(3600)
    return scores


def slow(question):
    scores = tf.reduce_sum(question.outputs.word_embeddings, axis=-1)
    made = tf.py_function(stalled, [scores], scores.dtype)
    made.set_shape(scores.shape)
    return made
"""


def test_ctrl_c_does_not_wait_for_an_answer_and_who_waits_is_told(trained, tmp_path):
    (tmp_path / "mine.py").write_text(SLOW)
    app_of_mine = [ROOT / "scripts" / "app.py", "--port=0", "--methods=mine:slow"]
    process = subprocess.Popen(
        [sys.executable, *app_of_mine, f"--model_dir={trained}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().split()[0]
        (tmp_path / "stall").touch()
        with futures.ThreadPoolExecutor(1) as client:
            body = {"instances": ["so fine"]}
            answer = client.submit(
                httpx2.post, f"{address}v1/models/tiny:predict", json=body, timeout=60
            )
            assert process.stderr.readline() == "asked\n"
            process.send_signal(signal.SIGINT)
            response = answer.result()
        printed, logged = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (response.status_code, response.json()) == (503, {"error": "the app was stopped"})
    assert (process.returncode, printed, logged) == (0, "", "app.py: stopped\n")


def test_a_port_in_use_is_one_line(trained, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert app.cli_main([f"--model_dir={trained}", f"--port={port}"]) == 1
    (line,) = caplog.messages
    assert line == (
        f"app.py: --host 127.0.0.1 --port {port} must be an address that is free: {os.strerror(98)}; "
        "choose another --port"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model_dir=nowhere/at/all"], "a model must be an existing folder"),
        ([f"--model_dir={ROOT / 'tests'}"], "must be the output_dir of a finished training"),
        (["--model_dir={trained}", "--methods=rolout"], "did you mean 'rollout'?"),
        (["--model_dir={trained}", "--methods=,"], "methods must be at least one"),
        (
            ["--model_dir={trained}", "--host=256.0.0.1"],
            "--host must be an address of this machine",
        ),
        (
            ["--model_dir={trained}", "--host=192.0.2.1"],
            "--host 192.0.2.1 --port 0 must be an address",
        ),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(arguments, told, trained, caplog):
    filled = [argument.format(trained=trained) for argument in arguments]
    assert app.cli_main([*filled, "--port=0"]) == 1
    (line,) = caplog.messages
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--model_dir=x", "--port=65536"],
        ["--model_dir=x", "--port=-1"],
        ["--model_dir=x", "--max_characters=0"],
        ["--model_dir=x", "--reload"],
    ],
)
def test_wrong_usage_ends_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        app.cli_main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("example.org", False),
    ],
)
def test_it_knows_who_can_reach_an_address(host, expected):
    assert app.is_this_machine_only(host) is expected


def test_an_open_address_is_warned_of(trained, caplog):
    arguments = [f"--model_dir={trained}", "--host=0.0.0.0", "--port=0", "--methods=none_such"]
    assert app.cli_main(arguments) == 1
    assert caplog.messages[0] == (
        "whoever reaches this machine at 0.0.0.0 can ask the model: there is no password"
    )


def test_without_its_packages_it_says_what_to_install(trained, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert app.cli_main([f"--model_dir={trained}"]) == 1
    (line,) = caplog.messages
    assert line == "app.py: scripts/app.py needs uvicorn; pip install -r requirements-serve.txt"
