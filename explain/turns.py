"""Turns at a model that answers one question at a time: who asks waits, but not for ever.

Leaves to others: what is asked (`answers`), and how who asked is told (`server`).
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")


class NoAnswerError(Exception):
    """There is no answer now; the message says why."""


class Turns:
    """A queue in front of one thread, for the tasks of one event loop."""

    def __init__(self, waiting: int, timeout_s: float) -> None:
        """Begin with an empty queue.

        Args:
          waiting: questions at a time, the one that is being answered included; more are turned away.
          timeout_s: until an answer, waiting included.
        """
        self._most, self._timeout_s = waiting, timeout_s
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._asked: set[asyncio.Future[Any]] = set()
        self._is_over = False

    async def take(self, question: Callable[[], _Answer]) -> _Answer:
        """Return what a function says when its turn has come.

        It is not called any more once nobody waits for it; where it runs already, it runs on.

        Raises:
          NoAnswerError: too many wait already, it takes too long, or the turns are over.
        """
        if self._is_over:
            raise NoAnswerError("the app was stopped")
        if len(self._asked) >= self._most:
            raise NoAnswerError("too many requests are waiting; try again later")
        turn = asyncio.get_running_loop().run_in_executor(self._thread, question)
        self._asked.add(turn)
        try:
            return await asyncio.wait_for(turn, self._timeout_s)  # which takes the turn back
        except TimeoutError:
            told = f"no answer within {self._timeout_s:g} seconds; ask for less, or later"
            raise NoAnswerError(told) from None
        except asyncio.CancelledError:
            if self._is_over:
                raise NoAnswerError("the app was stopped") from None
            raise
        finally:
            self._asked.discard(turn)

    def end(self) -> None:
        """Let nobody wait any more; the question that is being answered goes on in its thread."""
        self._is_over = True
        for turn in self._asked:
            turn.cancel()
