"""Fetch what MindCV publishes, and other files of servers: once, resumable, checked by hash."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from mindssd.errors import WeightsError
from mindssd.files import CACHE_VARIABLE, cache_dir
from mindssd.platform import lock
from mindssd.weights.atomic import describe_read_error, describe_write_error
from mindssd.weights.published import PUBLISHED, Published, find_published, names_of

DEFAULT_BASE_URL = "https://download.mindspore.cn/toolkits/mindcv"
BASE_URL_VARIABLE = "MINDSSD_WEIGHTS_URL"

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole, None where unknown."""


@dataclass(frozen=True)
class Remote:
    """A file of a server, and what is known of it beforehand."""

    url: str
    hash_name: str
    """As hashlib and people call it: SHA-256."""
    hash_prefix: str
    """The hex digits that its hash begins with, or is."""
    elsewhere: str
    """What a person may do where it cannot be had, beside trying again."""
    may_redirect: bool = True

    def is_in(self, path: Path) -> bool:
        """Whether a file is this one; WeightsError where it cannot be read."""
        return hash_of(path, self.hash_name).startswith(self.hash_prefix)

    @property
    def begins(self) -> str:
        """What its hash ought to begin with, for people, who need not read all of it."""
        return self.hash_prefix[:16]


_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 30.0
_MAX_TRIES = 3


def cached_path(published: Published) -> Path:
    """Where this file lies, or will lie, in the cache."""
    return cache_dir() / published.file_name


def address(published: Published) -> str:
    """Its URL: MindCV's, or below the mirror that `MINDSSD_WEIGHTS_URL` names."""
    base = os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
    if urlsplit(base).scheme not in ("http", "https"):
        raise WeightsError(f"{BASE_URL_VARIABLE}={base}: expected an http:// or https:// address")
    return f"{base.rstrip('/')}/{published.path}"


def resolve_backbone(path_or_name: str | Path, progress: Progress | None = None) -> Path:
    """The path itself where it is a file, or that of a published name, fetched if absent.

    A detector's name gives its file too, which holds a backbone. A folder that happens to be called
    like a published file is passed over.
    """
    path = Path(path_or_name).expanduser()
    if path.is_file():
        return path
    if str(path_or_name) in PUBLISHED:
        return fetch(str(path_or_name), progress)
    what = "a folder, not a checkpoint" if path.is_dir() else "no such file"
    raise WeightsError(
        f"{path_or_name}: {what}; nor is it a published backbone; these are "
        f"{', '.join(names_of('backbone'))}"
    )


def fetch(name: str, progress: Progress | None = None) -> Path:
    """The cached file of a published name, downloaded if absent, as `fetch_remote` does it."""
    published = find_published(name)
    url = address(published)
    elsewhere = f"set {BASE_URL_VARIABLE} to a mirror"
    remote = Remote(url, "SHA-256", published.hash_prefix, elsewhere)
    return fetch_remote(remote, cached_path(published), progress)


def fetch_remote(remote: Remote, path: Path, progress: Progress | None = None) -> Path:
    """`path`, downloaded if absent, its hash checked either way.

    What an interrupted transfer left is kept as FILE.part and continued next time. Two processes
    that fetch at once share one download. Raises WeightsError in one line, with what to do by hand.
    """
    if not path.is_file():  # one that is there needs no folder that can be written to
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _exclusive(path):
                if not path.exists():
                    _download(remote, path, progress)
                    return path
        except OSError as error:
            raise describe_write_error(path, error) from error
    if not remote.is_in(path):
        raise WeightsError(
            f"{path}: its {remote.hash_name} does not begin with {remote.begins}: it is damaged or "
            "another file; delete it and fetch it again"
        )
    return path


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time fetch `path`; the lock goes with the process that holds it."""
    lock_file = path.with_name(path.name + ".lock")
    while True:
        with lock_file.open("w") as file:
            with suppress(OSError):  # a system without locks: the file still gets its name last
                lock(file.fileno())
            if not os.fstat(file.fileno()).st_nlink:
                continue  # the process before has removed it: another one may lock its successor
            try:
                yield
            finally:
                with suppress(OSError):  # Windows removes no open file
                    lock_file.unlink()
            return


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex; WeightsError where it cannot be read."""
    return hash_of(path, "SHA-256")


def hash_of(path: Path, hash_name: str) -> str:
    """The file's hash of that name in hex; WeightsError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, hash_name.replace("-", "").lower()).hexdigest()
    except OSError as error:
        raise describe_read_error(path, error) from error


def _download(remote: Remote, path: Path, progress: Progress | None) -> None:
    url = remote.url
    part = path.with_name(path.name + ".part")
    by_hand = f"or download {url} elsewhere and put it at {path}"
    reason = ""
    for _ in range(_MAX_TRIES):
        resumed = part.exists() and part.stat().st_size > 0
        with _reached(remote, part, by_hand) as response:
            reason = "" if response is None else _append(response, part, progress)
        if reason:
            continue
        if remote.is_in(part):
            part.replace(path)
            return
        part.unlink()
        if not resumed:
            raise WeightsError(
                f"{url}: the {remote.hash_name} of what came does not begin with {remote.begins}; "
                f"it was deleted; try again, {remote.elsewhere}, {by_hand}"
            )
        # The part came from another version of the file or was damaged: begin anew.
    size = part.stat().st_size if part.exists() else 0
    raise WeightsError(
        f"{url}: the transfer broke off {_MAX_TRIES} times; {size} bytes are kept, run the same "
        f"command again to continue, {by_hand} ({reason})"
    )


def _ask(request: Request, may_redirect: bool) -> HTTPResponse | None:
    opener = build_opener(*(() if may_redirect else (_NoRedirects,)))
    response: HTTPResponse = opener.open(request, timeout=_TIMEOUT_S)
    return response


class _NoRedirects(HTTPRedirectHandler):
    """An answer that leads elsewhere is an error, as any that is not the file."""

    def redirect_request(self, *asked: object) -> None:
        return None


@contextmanager
def _reached(remote: Remote, part: Path, by_hand: str) -> Iterator[HTTPResponse | None]:
    """Ask for what `part` lacks; None where that is nothing, or the hash will tell.

    Whatever fails here is the network's or the server's fault, never the disk's.
    """
    url = remote.url
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "mindssd", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = _ask(Request(url, headers=headers), remote.may_redirect)
    except HTTPError as error:
        if error.code != 416 or not have:
            raise WeightsError(
                f"{url}: the server answers {error.code} {error.reason}; {remote.elsewhere}, "
                f"{by_hand}"
            ) from error
        response = None
    except (OSError, HTTPException, ValueError) as error:  # URLError and SSLError are OSErrors
        reason = error.reason if isinstance(error, URLError) else error
        check = "check the network"
        if isinstance(reason, SSLCertVerificationError):
            check += ", or name its certificates: SSL_CERT_FILE=FILE"
        raise WeightsError(
            f"{url}: cannot be reached ({_described(reason)}); {check}, "
            f"{remote.elsewhere}, {by_hand}"
        ) from error
    with response or nullcontext():
        yield response


def _append(response: HTTPResponse, part: Path, progress: Progress | None) -> str:
    """Append what comes to `part`; why it broke off, empty where the whole file is there now.

    OSError where the disk fails.
    """
    # Without a 206 the server sends the whole file, whatever we have.
    have = part.stat().st_size if response.status == 206 else 0
    length = response.headers.get("Content-Length")
    total = have + int(length) if length is not None and length.isdigit() else None
    _require_room(part, (total or 0) - have)
    with part.open("ab" if have else "wb") as file:
        while True:
            try:
                chunk = response.read(_CHUNK_BYTES)
            except (OSError, HTTPException) as error:
                return _described(error)  # what came is kept
            if not chunk:
                whole = total is None or have >= total
                return "" if whole else f"it ended after {have} of {total} bytes"
            file.write(chunk)
            have += len(chunk)
            if progress is not None:
                progress(have, total)


def _described(error: object) -> str:
    return str(error) or type(error).__name__


def _require_room(part: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if num_bytes > free:
        raise WeightsError(
            f"{part.parent}: no room for {num_bytes / 1e6:.0f} MB ({free / 1e6:.0f} MB free); free "
            f"some or set {CACHE_VARIABLE} to another folder"
        )
