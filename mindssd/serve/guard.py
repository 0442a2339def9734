"""What stands before every route: the token, the log, and the manner of an answer."""

import asyncio
import hmac
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mindssd.serve.metrics import Metrics
from mindssd.serve.refusals import RefusalError

_OPEN = ("/healthz", "/readyz", "/", "/page/")
"""Without a token: what says nothing of the models. The page asks for it."""

_LINGER_S = 2.0
_LINGER_BYTES = 64 << 20
_SEND_S = 30.0

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Token:
    """Lets in who bears the token; others get as far as what says nothing of the models."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        # As the environment has it, which need be no UTF-8.
        self._token = token.encode("utf-8", "surrogateescape")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._may(scope):
            await self._app(scope, receive, send)
            return
        refusal = RefusalError(401, "expected the header Authorization: Bearer TOKEN")
        await refusal.response()(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in _OPEN or path.startswith("/page/"):
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, token = given.partition(b" ")
        right = hmac.compare_digest(token.strip(), self._token)
        return right and scheme.lower() == b"bearer"


class Guard:
    """Logs each answer as a line of JSON, and lets a client hear a refusal.

    A line holds no image, no query and no header but the length. Once `is_ending` says so, each
    answer closes its connection. HEAD is answered as GET is, without the body.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        is_ending: Callable[[], bool],
        log: Callable[[str], None] | None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._is_ending = is_ending
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, receive, send, self._is_ending)
        noted: dict[str, Any] = {}
        scope["mindssd"] = noted
        # uvicorn sends no body where its own scope says HEAD.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._app(asked, exchange.receive, exchange.send)
        finally:
            self._tell(scope, exchange, noted)

    def _tell(self, scope: Scope, exchange: "_Exchange", noted: dict[str, Any]) -> None:
        seconds = time.perf_counter() - exchange.start
        status = exchange.status
        self._metrics.answered(scope["method"], scope["path"], status, seconds)
        if self._log is None:
            return
        client = scope.get("client")
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": client[0] if client else None,
            "method": scope["method"][:20],
            "path": scope["path"][:200],
            "status": status,
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "ms": round(1000 * seconds, 1),
            **noted,
        }
        self._log(json.dumps(entry))


class _Exchange:
    """A request and its answer: counted, and the rest of a body that is refused taken in.

    A connection that is closed while its client still sends is reset, and the client may never see
    the answer: so the last piece of it waits until the body is there, or has been waited for.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, is_ending: Callable[[], bool]
    ) -> None:
        headers = dict(scope["headers"])
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        self.start = time.perf_counter()
        self.status = 0
        self.bytes_in = self.bytes_out = 0
        self._receive = receive
        self._send = send
        self._is_ending = is_ending
        self._is_read = not has_body
        self._waits_for_word = b"expect" in headers
        self._gives_body = scope["method"] != "HEAD"

    async def receive(self) -> Message:
        message = await self._receive()
        self._waits_for_word = False
        self.bytes_in += len(message.get("body", b""))
        self._is_read = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
            if self._is_ending() or not self._is_read:
                message["headers"].append((b"connection", b"close"))
        if self._gives_body:
            self.bytes_out += len(message.get("body", b""))
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        # A client that reads no answer is given up.
        async with asyncio.timeout(_SEND_S):
            if is_last and not self._is_read and not self._waits_for_word:
                await self._send({**message, "more_body": True})
                with suppress(TimeoutError):
                    await self._take_the_rest()
                message = {"type": "http.response.body", "body": b""}
            await self._send(message)

    async def _take_the_rest(self) -> None:
        most = self.bytes_in + _LINGER_BYTES
        async with asyncio.timeout(_LINGER_S):
            while not self._is_read and self.bytes_in < most:
                await self.receive()


def to_stdout(line: str) -> None:
    """Write a line of the log; nobody reading it any more is no reason to end."""
    with suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
