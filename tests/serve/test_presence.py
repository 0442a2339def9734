"""Work for a client that may go, or whose time may be up."""

import asyncio
import gc
from typing import Any

import pytest

from mindssd.serve.presence import GONE, while_there
from mindssd.serve.refusals import RefusalError


async def stays() -> dict[str, Any]:
    await asyncio.sleep(60)
    return {"type": "http.request"}


async def goes() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def refused() -> None:
    raise RefusalError(422, "no such setting")


def test_what_the_work_gives_or_refuses_is_the_clients() -> None:
    async def right() -> int:
        return 7

    async def both() -> int:
        with pytest.raises(RefusalError, match="no such setting"):
            await while_there(stays, refused())
        return await while_there(stays, right())

    assert asyncio.run(both()) == 7


def test_work_for_a_client_that_has_gone_is_ended() -> None:
    ended = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(RefusalError) as caught:
        asyncio.run(while_there(goes, long()))
    assert (caught.value.status, ended) == (GONE, [True])


def test_work_that_fails_just_as_its_time_is_up_prints_nothing() -> None:
    printed: list[dict[str, Any]] = []

    async def both_at_once() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: printed.append(context))
        asking = asyncio.create_task(while_there(stays, refused()))
        await asyncio.sleep(0)  # it waits for the work, which has begun in no loop yet
        loop.call_soon(asking.cancel)
        with pytest.raises((asyncio.CancelledError, RefusalError)):
            await asking
        del asking
        gc.collect()

    asyncio.run(both_at_once())
    assert printed == []
