"""Reads what a request sends: images as the body, in a form, or as base64 in JSON."""

import asyncio
import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from mindssd.errors import printable
from mindssd.serve.options import JsonBody, Options, from_words
from mindssd.serve.refusals import RefusalError, busy
from mindssd.serve.settings import Limits

_MOST_FIELDS = 32
_MOST_FIELD_BYTES = 64 << 10
_MOST_NAME = 255

_Model = TypeVar("_Model", bound=Options)


@dataclass(frozen=True)
class Asked:
    """The images of a request, as (name, content), and its settings."""

    images: list[tuple[str, bytes]]
    options: Options


class Buffered:
    """Counts the bytes of bodies that are in memory, of all requests together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.now = 0

    @contextmanager
    def account(self) -> Iterator["Account"]:
        """What one request has in memory, until the end of the block."""
        account = Account(self)
        try:
            yield account
        finally:
            self.now -= account.size

    def take(self, size: int) -> None:
        if self.now + size > self._most:
            raise busy(f"{self._most} bytes of requests are in memory")
        self.now += size


class Account:
    """The bytes of one request."""

    def __init__(self, buffered: Buffered) -> None:
        self._buffered = buffered
        self.size = 0

    def add(self, size: int) -> None:
        """RefusalError where all requests together would have too many."""
        self._buffered.take(size)
        self.size += size


async def read_request(request: Request, query: Options, limits: Limits, account: Account) -> Asked:
    """The images and settings of a request; RefusalError where it sends none, too many or too much.

    Settings in a form or in JSON go before those of the query.
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise RefusalError(
            415, f"Content-Encoding is {printable(coding[:100])}; send the body as it is, without"
        )
    header = request.headers.get("content-type", "")
    kind, parameters = parse_options_header(header)
    if kind == b"multipart/form-data":
        body = await _body(request, limits, account)
        account.add(len(body))  # its parts are copies
        boundary = parameters.get(b"boundary", b"")
        return await asyncio.to_thread(_from_form, body, boundary, query, limits.max_images)
    if kind == b"application/json":
        body = await _body(request, limits, account)
        account.add(2 * len(body))  # as text, and decoded
        return await asyncio.to_thread(_from_json, body, query, limits.max_images)
    if kind.startswith(b"image/") or kind in (b"application/octet-stream", b""):
        return Asked([("image", await _body(request, limits, account))], query)
    raise RefusalError(
        415,
        f"Content-Type is {printable(header[:100])}; expected an image's, "
        "application/octet-stream, multipart/form-data or application/json",
    )


async def _body(request: Request, limits: Limits, account: Account) -> bytes:
    most = limits.max_body_bytes
    too_large = RefusalError(413, f"the request is larger than {most} bytes")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > most:
        raise too_large
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise too_large
                account.add(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise RefusalError(408, f"the body did not come within {limits.body_s:g} s") from None
    except ClientDisconnect:
        raise RefusalError(400, "the request ended in the middle") from None
    return b"".join(chunks)


@dataclass
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)


class _Form:
    """Takes a form's parts as its parser finds them, no more than allowed."""

    def __init__(self, boundary: bytes, max_images: int) -> None:
        self.parts: list[_Part] = []
        self.ended = False
        self._most = max_images + _MOST_FIELDS
        self._name = self._value = b""
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_begin": self._header_begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        self.parser = MultipartParser(boundary, callbacks)

    def _begin(self) -> None:
        if len(self.parts) == self._most:
            raise RefusalError(413, f"the form has more than {self._most} parts")
        self.parts.append(_Part())

    def _header_begin(self) -> None:
        self._name = self._value = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self.parts[-1].headers[self._name.lower()] = self._value

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += memoryview(data)[start:end]

    def _end(self) -> None:
        self.ended = True


def _from_form(body: bytes, boundary: bytes, query: Options, max_images: int) -> Asked:
    try:
        form = _Form(boundary, max_images)
        form.parser.write(body)
        form.parser.finalize()
    except FormParserError as error:
        raise RefusalError(400, f"the form is damaged: {printable(str(error)[:200])}") from error
    if not form.ended:
        raise RefusalError(400, "the form is damaged: it does not end with its boundary")
    images = []
    words_of: dict[str, list[str]] = {}
    for part in form.parts:
        _, words = parse_options_header(part.headers.get(b"content-disposition", b""))
        name = words.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in words:
            shown = words[b"filename"].decode("utf-8", "replace")[:_MOST_NAME]
            images.append((printable(shown) or name or "image", bytes(part.content)))
            continue
        if len(part.content) > _MOST_FIELD_BYTES:
            raise RefusalError(413, f"the field {printable(name[:100])} has more than 64 KB")
        words_of.setdefault(name, []).append(part.content.decode("utf-8", "replace"))
    return _asked(images, from_words(words_of), query, max_images)


def _from_json(body: bytes, query: Options, max_images: int) -> Asked:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, f"the body is no JSON: {printable(str(error)[:200])}") from error
    if not isinstance(values, dict):
        raise RefusalError(422, 'the JSON is no object; expected such as {"image": "…base64…"}')
    given = validated(JsonBody, values)
    texts = [] if given.image is None else [given.image]
    texts += given.images or []
    if len(texts) > max_images:
        raise _too_many(len(texts), max_images)
    images = [(f"image {number}", _decoded(text, number)) for number, text in enumerate(texts)]
    settings = {key: v for key, v in values.items() if key not in ("image", "images")}
    return _asked(images, settings, query, max_images)


def _decoded(text: str, number: int) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        # The command base64 breaks lines, and so does Python's encodebytes.
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusalError(422, f"image {number} is no base64: {error}") from error


def _asked(
    images: list[tuple[str, bytes]], values: dict[str, Any], query: Options, max_images: int
) -> Asked:
    if not images:
        raise RefusalError(422, "no image is sent: send a file in the form, or image in JSON")
    if len(images) > max_images:
        raise _too_many(len(images), max_images)
    if not values:
        return Asked(images, query)
    return Asked(images, validated(Options, query.model_dump(exclude_unset=True) | values))


def _too_many(count: int, most: int) -> RefusalError:
    return RefusalError(413, f"{count} images are sent; at most {most} in a request")


def validated(model: type[_Model], values: dict[str, Any]) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise RefusalError(422, in_a_line(error.errors(), list(model.model_fields))) from error


def in_a_line(errors: Any, known: Sequence[str] = ()) -> str:
    """Pydantic's first error: where it is and what; `known` are the settings that there are."""
    first = errors[0]
    where = ".".join(str(word) for word in first["loc"] if word not in ("query", "body"))
    what = first["msg"].removeprefix("Value error, ")[:300]
    if first["type"] == "extra_forbidden":
        what = f"is no setting; there are {', '.join(known)}"
    return printable(f"{where[:100]}: {what}")
