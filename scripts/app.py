"""Ask a trained model in a browser: a page that explains what is typed, on this machine only.

    python scripts/app.py --model_dir out/demo
    python scripts/app.py --model_dir out/demo --port 8080 --methods integrated_gradients,occlusion

It prints its address when the model is warm; Ctrl-C stops it, and who waits for an answer is told so. The same address
answers TensorFlow Serving's REST form: GET /v1/models/<name> and POST /v1/models/<name>:predict, where the name is the
folder's. Needs `pip install -r requirements-serve.txt`.
"""

import argparse
import contextlib
import functools
import ipaddress
import logging
import os
import pathlib
import re
import socket
import sys

if __name__ == "__main__":  # before TensorFlow is imported: its start-up notes drown our lines
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bert import failures
from bert import project_config
from explain import answers as answers_lib
from explain import methods

METHODS = ["integrated_gradients", "gradient_x_input", "chefer", "rollout", "attention_last"]
_BACKLOG = 2048  # connections that the system holds while the app is busy
_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket at an address, before anything heavy: another program may have it.

    Raises:
      OSError: it is taken, or is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(f"--host must be an address of this machine, got {host!r}: {error}") from None
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
    except OSError as error:
        found.close()
        raise OSError(
            f"--host {host} --port {port} must be an address that is free: {error.strerror}; choose another --port"
        ) from None
    return found


def is_this_machine_only(host: str) -> bool:
    """Tell whether only programs of this machine reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(options: argparse.Namespace) -> None:
    """Warm up and serve until Ctrl-C."""
    try:
        import uvicorn

        from explain import server
    except ModuleNotFoundError as error:
        raise ValueError(
            f"scripts/app.py needs {error.name}; pip install -r requirements-serve.txt"
        ) from None
    with listen(options.host, options.port) as address:
        if not is_this_machine_only(options.host):
            _log.warning(
                "whoever reaches this machine at %s can ask the model: there is no password",
                options.host,
            )
        answers = answers_lib.Answers(options.model_dir, options.methods)
        answers.warm_up()
        limits = server.Limits(characters=options.max_characters)
        name = re.sub(r"[^\w.-]", "_", pathlib.Path(options.model_dir).resolve().name)
        app = server.create_app(
            answers, name, limits, {"localhost", options.host, socket.gethostname()}
        )
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=5,
        )
        address.listen(_BACKLOG)  # so that who reads the line below is not turned away
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(
            f"http://{host}:{address.getsockname()[1]}/ explains {options.model_dir}; Ctrl-C stops it",
            flush=True,
        )
        with contextlib.suppress(KeyboardInterrupt):  # it raises Ctrl-C again when all is closed
            server.Server(config, app.state.turns).run([address])
        _log.info("app.py: stopped")


def whole_number(text: str, least: int = 1, most: int | None = None) -> int:
    """Return a number of a command line."""
    number = int(text) if text.isdecimal() else -1
    if number < least or (most is not None and number > most):
        told = f"from {least} to {most}" if most else f"of at least {least}"
        raise argparse.ArgumentTypeError(f"must be a whole number {told}, got {text!r}")
    return number


def cli_main(arguments: list[str] | None = None) -> int:
    """Run the command line; see `failures.exit_status`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model_dir",
        required=True,
        help="a trained folder or Hugging Face classifier (output_dir)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (127.0.0.1: this machine only)"
    )
    parser.add_argument(
        "--port",
        type=functools.partial(whole_number, least=0, most=65535),
        default=8000,
        help="0 takes a free one (8000)",
    )
    parser.add_argument(
        "--methods",
        type=project_config.split_names,
        default=METHODS,
        help=f"those to choose from, with commas ({','.join(METHODS)}); others are "
        f"{', '.join(name for name in methods.METHODS if name not in METHODS)}, or your own as package.module:function",
    )
    parser.add_argument(
        "--max_characters",
        type=whole_number,
        default=20_000,
        help="of a text; longer ones are refused (20000)",
    )
    options = parser.parse_args(arguments)
    sys.path.insert(0, os.getcwd())  # where a module of one's own usually is
    return failures.exit_status("app.py", lambda: main(options))


if __name__ == "__main__":
    status = cli_main()
    sys.stdout.flush()
    os._exit(status)  # nothing stops a graph that runs, and Python would wait for its answer
