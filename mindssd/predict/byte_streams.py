"""Bytes that come once, from a pipe or a server, as PyAV and the image decoders read them."""

import http.client
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import IO, Any
from urllib.parse import urlsplit

from mindssd.http import ask, in_words

_CHUNK = 1 << 16
_PORTS = {"rtsp": 554, "rtsps": 322, "rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}


class ByteStream:
    """A pipe or a server's answer, whose beginning can be looked at before it is read.

    It is read by PyAV, which prints or loses an error inside of `read`. Here each looks like an
    end; `fault` says in words what it was, None of a true end, and `check` raises an interruption.
    """

    def __init__(
        self,
        raw: Any,
        remaining: Callable[[], int | None] = lambda: None,
        close: Callable[[], None] = lambda: None,
        is_told: Callable[[], bool] = lambda: False,
    ) -> None:
        self._read_some: Callable[[int], bytes] = getattr(raw, "read1", raw.read)
        self._remaining = remaining
        self._is_told = is_told
        self.close = close
        self._ahead = bytearray()
        self._is_over = False
        self._interruption: BaseException | None = None
        self.head = b""
        self.num_bytes = 0
        self.fault: str | None = None

    @property
    def ended_as_told(self) -> bool:
        """Whether it came to an end that its sender had announced or marked."""
        return self._is_over and self.fault is None and self._is_told()

    def peek(self, count: int) -> bytes:
        """The next bytes, `count` or more, fewer at the end; they are still to be read."""
        while len(self._ahead) < count and (more := self._next(_CHUNK)):
            self._ahead += more
        return bytes(self._ahead)

    def read(self, count: int = _CHUNK) -> bytes:
        """Up to `count` bytes, as soon as there are any; none at the end, however it came."""
        if self._ahead:
            data = bytes(self._ahead[:count])
            del self._ahead[:count]
        else:
            data = self._next(count)
        self.num_bytes += len(data)
        return data

    def check(self) -> None:
        """Raise a Ctrl-C that came while PyAV was reading."""
        if self._interruption is not None:
            raise self._interruption

    def _next(self, count: int) -> bytes:
        data = b""
        if self._is_over:
            return data
        try:
            data = self._read_some(count) or b""
            if not data and (missing := self._remaining()):
                self.fault = f"its last {missing} bytes are missing"
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.fault = in_words(error)
        except BaseException as error:
            self._interruption = error
        self._is_over = not data
        self.head += data[: max(0, _CHUNK - len(self.head))]
        return data

    def until(self, seams: Sequence[bytes]) -> bytes | None:
        """All that follows; None, with nothing read, where one of the `seams` shows in it."""
        looked, longest = 0, max(map(len, seams), default=0)
        while True:
            start = max(0, looked - longest)
            if any(self._ahead.find(seam, start) >= 0 for seam in seams):
                return None
            looked = len(self._ahead)
            if not (more := self._next(_CHUNK)):
                return self.read(looked)
            self._ahead += more

    def spooled(self) -> IO[bytes]:
        """The rest in a file without a name, for what is not in the order of its use.

        OSError where there is no room for it.
        """
        with ExitStack() as stack:
            file = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(self, file, _CHUNK)
            file.seek(0)
            stack.pop_all()
            return file


def open_http(address: str, name: str) -> tuple[ByteStream, str]:
    """Ask a server; its answer, and the answer's media type in small letters.

    ImageError as of `mindssd.http.ask`.
    """
    response = ask(address, name)
    # Without either the end of the connection is the answer's, however it came.
    is_told = response.length is not None or response.chunked
    stream = ByteStream(response, lambda: response.length, response.close, lambda: is_told)
    return stream, response.headers.get_content_type()


def is_server_gone(address: str) -> bool:
    """Whether nobody listens any more where a stream came from.

    For what FFmpeg fetches: to it a server that dies and a stream that ends look the same. Of tcp
    and udp, whose sender may serve once, it says nothing.
    """
    try:
        parts = urlsplit(address)
        if parts.hostname and parts.scheme in _PORTS:
            port = parts.port or _PORTS[parts.scheme]
            socket.create_connection((parts.hostname, port), timeout=3).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False
    return False
