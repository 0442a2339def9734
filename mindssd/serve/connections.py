"""uvicorn's connections and end, so that nobody can hold the service by holding connections.

uvicorn 0.54 waits for ever for a request's head. At its end it closes at once a connection that is
kept open, though a request may be on its way, and resets those that it has not accepted yet.
"""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

_SWEEP_S = 1.0
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def protocol(max_connections: int, idle_s: float, drain_s: float) -> type[H11Protocol]:
    """uvicorn's protocol with a limit of connections; past it the longest idle one is closed."""

    class Limited(H11Protocol):
        waiting_since = 0.0

        @property
        def is_idle(self) -> bool:
            """Whether no request is under way: none has come as far as its head's end."""
            return self.cycle is None or self.cycle.response_complete

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.waiting_since = time.monotonic()
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                others: Any = self.connections
                idle = [one for one in others if one.is_idle and one is not self]
                if idle:
                    min(idle, key=lambda one: one.waiting_since).abort()
                else:
                    transport.write(_FULL)
                    transport.close()

        def on_response_complete(self) -> None:
            self.waiting_since = time.monotonic()
            super().on_response_complete()

        def abort(self) -> None:
            self.connections.discard(self)
            self.transport.abort()

        def shutdown(self) -> None:
            """Close, but one that is kept open only when its client can have heard of the end."""
            if self.is_idle:
                self.loop.call_later(drain_s, self._end_idle)

        def _end_idle(self) -> None:
            if self.is_idle:
                self.transport.close()

        def sweep(self) -> None:
            """Close what waits for a head too long, and what its client does not let close."""
            if self.is_idle and time.monotonic() - self.waiting_since > idle_s:
                self.abort() if self.transport.is_closing() else self.transport.close()

    return Limited


class Server(uvicorn.Server):
    """Ends at SIGINT or SIGTERM once all is answered that came; a second one ends it at once.

    `tasks` run beside it. `ending` is called when the end begins.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        tasks: list[Callable[[], Coroutine[Any, Any, None]]],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._beside = [self._sweep, *tasks]
        self._ending = ending

    async def serve(self, sockets: Any = None) -> None:
        async with _beside(self._beside):
            await super().serve(sockets)

    async def shutdown(self, sockets: Any = None) -> None:
        """End as uvicorn does, with the connections too that wait at `sockets` to be accepted."""
        waiting = list(_accepted(sockets or ()))
        for listener in (*self.servers, *(sockets or ())):  # at once: more could come meanwhile
            listener.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            with suppress(OSError):  # it has gone again
                await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> Any:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the signal is carried out once what was asked is done: status 0."""
        if threading.current_thread() is not threading.main_thread():  # which alone gets them
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self._ending()
        self.should_exit = True

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            connections: Any = list(self.server_state.connections)
            for connection in connections:
                connection.sweep()


def _accepted(listeners: Sequence[socket.socket]) -> Iterator[socket.socket]:
    """The connections that wait at listening sockets, which do not block."""
    for listener in listeners:
        with suppress(OSError):  # BlockingIOError: no more
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                yield connection


@asynccontextmanager
async def _beside(functions: list[Callable[[], Coroutine[Any, Any, None]]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(function()) for function in functions]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
