"""A client that has gone: nobody waits for its answer any more."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from mindssd.serve.refusals import RefusalError

_Result = TypeVar("_Result")

GONE = 499
"""The status, which nobody hears, in the log and the metrics: nginx calls it so."""


async def while_there(receive: Receive, work: Coroutine[Any, Any, _Result]) -> _Result:
    """What `work` gives for a request whose body was read.

    RefusalError, and the work ended, where the client closes the connection before.
    """
    working = asyncio.create_task(work)
    going = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise RefusalError(GONE, "the client has gone")
        return working.result()
    finally:
        going.cancel()
        working.cancel()
        # Also where it has failed just as this was cancelled: asyncio would print its error.
        await asyncio.gather(working, going, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
