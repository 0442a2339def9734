"""Fetch what MindCV publishes: once, into a cache, resumable, checked against its hash."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from mindssd.errors import WeightsError
from mindssd.files import CACHE_VARIABLE, cache_dir
from mindssd.platform import lock
from mindssd.weights.atomic import describe_read_error, describe_write_error
from mindssd.weights.published import PUBLISHED, Published, find_published, names_of

DEFAULT_BASE_URL = "https://download.mindspore.cn/toolkits/mindcv"
BASE_URL_VARIABLE = "MINDSSD_WEIGHTS_URL"

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole, None where unknown."""

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
    """The cached file of a published name, downloaded if absent, its hash checked either way.

    What an interrupted transfer left is kept as FILE.part and continued next time. Two processes
    that fetch at once share one download. Raises WeightsError in one line, with what to do by hand.
    """
    published = find_published(name)
    path = cached_path(published)
    if not path.is_file():  # one that is there needs no folder that can be written to
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _exclusive(path):
                if not path.exists():
                    _download(published, path, progress)
                    return path
        except OSError as error:
            raise describe_write_error(path, error) from error
    if not sha256_of(path).startswith(published.hash_prefix):
        raise WeightsError(
            f"{path}: its SHA-256 does not begin with {published.hash_prefix}: it is damaged or "
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
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise describe_read_error(path, error) from error


def _download(published: Published, path: Path, progress: Progress | None) -> None:
    url = address(published)
    part = path.with_name(path.name + ".part")
    by_hand = f"or download {url} elsewhere and put it at {path}"
    reason = ""
    for _ in range(_MAX_TRIES):
        resumed = part.exists() and part.stat().st_size > 0
        with _reached(url, part, by_hand) as response:
            reason = "" if response is None else _append(response, part, progress)
        if reason:
            continue
        if sha256_of(part).startswith(published.hash_prefix):
            part.replace(path)
            return
        part.unlink()
        if not resumed:
            raise WeightsError(
                f"{url}: the SHA-256 of what came does not begin with {published.hash_prefix}; it "
                f"was deleted; try again, set {BASE_URL_VARIABLE} to a mirror, {by_hand}"
            )
        # The part came from another version of the file or was damaged: begin anew.
    size = part.stat().st_size if part.exists() else 0
    raise WeightsError(
        f"{url}: the transfer broke off {_MAX_TRIES} times; {size} bytes are kept, run the same "
        f"command again to continue, {by_hand} ({reason})"
    )


@contextmanager
def _reached(url: str, part: Path, by_hand: str) -> Iterator[HTTPResponse | None]:
    """Ask for what `part` lacks; None where that is nothing, or the hash will tell.

    Whatever fails here is the network's or the server's fault, never the disk's.
    """
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "mindssd", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response: HTTPResponse | None = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code != 416 or not have:
            raise WeightsError(
                f"{url}: the server answers {error.code} {error.reason}; set {BASE_URL_VARIABLE} "
                f"to a mirror, {by_hand}"
            ) from error
        response = None
    except (OSError, HTTPException, ValueError) as error:  # URLError and SSLError are OSErrors
        reason = error.reason if isinstance(error, URLError) else error
        check = "check the network"
        if isinstance(reason, SSLCertVerificationError):
            check += ", or name its certificates: SSL_CERT_FILE=FILE"
        raise WeightsError(
            f"{url}: cannot be reached ({_described(reason)}); {check}, {by_hand}"
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
