"""Who waits for the one thread that asks the model, how long, and what becomes of what nobody waits for."""

import asyncio
import threading

import pytest

from explain import turns as turns_lib


class Thread:
    """Questions that wait until they may go on, and the names of those that were asked."""

    def __init__(self) -> None:
        self.asked, self.entered, self.go_on = [], threading.Event(), threading.Event()

    def slow(self, name):
        def question():
            self.asked.append(name)
            self.entered.set()
            assert self.go_on.wait(30)
            return name

        return question


async def until(event):
    await asyncio.to_thread(event.wait, 30)
    assert event.is_set()


def test_a_question_that_waited_too_long_is_never_asked():
    thread = Thread()

    async def run():
        turns = turns_lib.Turns(waiting=9, timeout_s=0.05)
        found = await asyncio.gather(
            *(turns.take(thread.slow(name)) for name in ("first", "second")), return_exceptions=True
        )
        assert thread.asked == ["first"]
        thread.go_on.set()
        while True:  # the thread takes questions in their order
            try:
                return found, await turns.take(lambda: "last")
            except turns_lib.NoAnswerError:
                pass

    found, last = asyncio.run(run())
    assert list(map(str, found)) == ["no answer within 0.05 seconds; ask for less, or later"] * 2
    assert (thread.asked, last) == (["first"], "last")


def test_no_more_may_wait_than_there_are_places():
    thread = Thread()

    async def run():
        turns = turns_lib.Turns(waiting=2, timeout_s=30)
        held = [asyncio.create_task(turns.take(thread.slow(name))) for name in "ab"]
        await until(thread.entered)
        with pytest.raises(turns_lib.NoAnswerError, match=r"^too many requests are waiting; try"):
            await turns.take(thread.slow("c"))
        thread.go_on.set()
        return [*await asyncio.gather(*held), await turns.take(thread.slow("d"))]

    assert asyncio.run(run()) == ["a", "b", "d"]
    assert thread.asked == ["a", "b", "d"]


def test_at_the_end_nobody_waits_any_more_and_nothing_more_is_asked():
    thread = Thread()

    async def run():
        turns = turns_lib.Turns(waiting=9, timeout_s=3600)
        held = [asyncio.create_task(turns.take(thread.slow(name))) for name in "ab"]
        await until(thread.entered)
        turns.end()
        found = await asyncio.gather(*held, return_exceptions=True)
        with pytest.raises(turns_lib.NoAnswerError, match=r"^the app was stopped$"):
            await turns.take(thread.slow("c"))
        return found

    found = asyncio.run(run())  # though the first one runs still
    thread.go_on.set()
    assert list(map(repr, found)) == ["NoAnswerError('the app was stopped')"] * 2
    assert thread.asked == ["a"]


def test_a_task_that_is_cancelled_is_not_told_of_an_end():
    thread = Thread()

    async def run():
        turns = turns_lib.Turns(waiting=1, timeout_s=3600)
        task = asyncio.create_task(turns.take(thread.slow("a")))
        await until(thread.entered)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        thread.go_on.set()
        return await turns.take(lambda: "b")  # its place is free

    assert asyncio.run(run()) == "b"


def test_what_a_question_raises_is_what_who_asked_gets():
    def wrong():
        raise ValueError("no such class")

    turns = turns_lib.Turns(waiting=1, timeout_s=30)
    with pytest.raises(ValueError, match=r"^no such class$"):
        asyncio.run(turns.take(wrong))
