"""Asking a server by HTTP: its answer as it comes, or all of it within bounds."""

import http.client
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mindssd.errors import ImageError
from mindssd.files import is_http, shown

TIMEOUT_S = 30.0
"""A server that sends nothing for so long has broken off."""

MAX_BYTES = 64 * 1024 * 1024
"""An image's file has so many bytes at most."""

MAX_SECONDS = 60.0
"""A whole image comes within this time."""

MAX_REDIRECTS = 5

_CHUNK_BYTES = 1 << 16


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few, and to HTTP alone: Python's own would go on to FTP too."""

    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not is_http(newurl):
            raise urllib.error.HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def ask(address: str, name: str) -> http.client.HTTPResponse:
    """Ask a server, and give its answer, still to be read and closed.

    A user and password in the address are used where the server asks for them. ImageError where
    there is no answer, which calls it `name` and never shows them.
    """
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
        # A name in Chinese or with an umlaut is written in the address as it is.
        path, query = (
            quote(text, safe="%/:;=&?~+!$,'@()*[]") for text in (parts.path, parts.query)
        )
        plain = urlunsplit((parts.scheme, host, path, query, ""))
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        user = unquote(parts.username or "")
        root = f"{parts.scheme}://{host}/"
        passwords.add_password(None, root, user, unquote(parts.password or ""))
        handlers = [
            urllib.request.HTTPBasicAuthHandler(passwords),
            urllib.request.HTTPDigestAuthHandler(passwords),
        ]
        opener = urllib.request.build_opener(
            _Redirects, *(handlers if parts.username is not None else ())
        )
        request = urllib.request.Request(plain, headers={"User-Agent": "mindssd"})
        response: http.client.HTTPResponse = opener.open(request, timeout=TIMEOUT_S)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Not `from error`: it may show the address as it is.
        raise ImageError(f"{name}: cannot be opened: {in_words(error)}") from None
    return response


def fetch_bytes(address: str) -> bytes:
    """All that a server gives for an http:// or https:// address, in memory.

    ImageError, without the address's passwords, where it is another kind of address, cannot be had,
    or exceeds `MAX_BYTES`, `MAX_SECONDS` or `MAX_REDIRECTS`.
    """
    name = shown(address)
    if not is_http(address):
        raise ImageError(f"{name}: only http:// and https:// addresses are fetched; give a path")
    until = time.monotonic() + MAX_SECONDS
    result: list[bytes | BaseException] = []

    def work() -> None:
        try:
            result.append(_all_of(address, name, lambda: time.monotonic() > until))
        except BaseException as error:
            result.append(error)

    # A server may send its headers letter by letter, which no timeout of a socket ends.
    thread = threading.Thread(target=work, name="mindssd-http", daemon=True)
    thread.start()
    thread.join(MAX_SECONDS)
    if not result:
        raise _too_slow(name)
    (found,) = result
    if isinstance(found, BaseException):
        raise found
    return found


def _all_of(address: str, name: str, is_late: Callable[[], bool]) -> bytes:
    data = bytearray()
    with ask(address, name) as response:
        too_large = ImageError(
            f"{name}: is larger than {MAX_BYTES // 2**20} MiB; fetch it yourself"
        )
        if (response.length or 0) > MAX_BYTES:
            raise too_large
        try:
            while more := response.read1(_CHUNK_BYTES):
                data += more
                if len(data) > MAX_BYTES:
                    raise too_large
                if is_late():
                    raise _too_slow(name)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ImageError(f"{name}: broke off: {in_words(error)}") from None
        if response.length:
            raise ImageError(f"{name}: broke off: its last {response.length} bytes are missing")
    return bytes(data)


def _too_slow(name: str) -> ImageError:
    return ImageError(f"{name}: did not come within {MAX_SECONDS:.0f} s; fetch it yourself")


def in_words(error: Exception) -> str:
    """A fault of a connection or pipe, without the address that it may hold."""
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (301, 302, 303, 307, 308):
            return (
                f"it leads elsewhere more than {MAX_REDIRECTS} times, or to what is neither "
                "http:// nor https://"
            )
        return f"{error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return in_words(error.reason)
    if isinstance(error, urllib.error.URLError | http.client.InvalidURL):  # no host, or port
        return "no valid address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted; SSL_CERT_FILE=FILE names one that is"
    if isinstance(error, TimeoutError):
        return f"nothing came for {TIMEOUT_S:.0f} s"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended within it"
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "no valid answer" if isinstance(error, http.client.HTTPException) else "no valid address"
