"""What a detector takes an array, a tensor or an address for, and what it says of it."""

import io
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mindssd import http
from mindssd.errors import ConfigError, ImageError
from mindssd.images import log_once
from mindssd.inference.pictures import as_picture, require_channels, require_image
from mindssd.types import Array

Said = Callable[[], list[str]]

PICTURE = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3) * np.uint8(2)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    """What was logged, of this test alone: a remark is made once a process."""
    log_once.cache_clear()
    caplog.set_level(logging.WARNING)
    yield lambda: caplog.messages
    log_once.cache_clear()


def png(picture: Array = PICTURE) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "held",
    [
        PICTURE,
        PICTURE.transpose(2, 0, 1),
        PICTURE / 255,
        (PICTURE / 255).astype(np.float32),
        (PICTURE / 255).astype(np.float32).transpose(2, 0, 1),
        PICTURE.astype(np.uint16) * np.uint16(257),
        PICTURE[::-1][::-1],  # not contiguous
        png(),
        bytearray(png()),
        memoryview(png()),
        Image.fromarray(PICTURE),
    ],
    ids=lambda held: type(held).__name__,
)
def test_one_picture_is_the_same_however_it_is_held(held: Any, said: Said) -> None:
    require_image(held, "it")
    np.testing.assert_array_equal(as_picture(held, "it"), PICTURE)
    assert said() == []


def test_a_tensor_is_channels_first_or_last_of_uint8_or_0_to_1(torch: Any, said: Said) -> None:
    tensor = torch.from_numpy(PICTURE.copy())
    first = tensor.permute(2, 0, 1)
    learnt = (first.double() / 255).requires_grad_()
    for held in (tensor, first, first.float() / 255, learnt, torch.nn.Parameter(learnt)):
        require_image(held, "it")
        np.testing.assert_array_equal(as_picture(held, "it"), PICTURE)
    half = as_picture((first.float() / 255).bfloat16(), "it")
    np.testing.assert_allclose(half.astype(int), PICTURE, atol=1)
    assert said() == []


def test_a_tensor_that_is_no_plain_array_says_so(torch: Any) -> None:
    with pytest.raises(ImageError, match="it: the tensor gives no array"):
        as_picture(torch.zeros(3, 4, 4, device="meta"), "it")


def test_bgr_is_what_is_said_to_be_bgr(torch: Any) -> None:
    backwards = PICTURE[:, :, ::-1]
    np.testing.assert_array_equal(as_picture(backwards, "it", "bgr"), PICTURE)
    np.testing.assert_array_equal(as_picture(backwards / 255, "it", "bgr"), PICTURE)
    tensor = torch.from_numpy(backwards.copy()).permute(2, 0, 1)
    np.testing.assert_array_equal(as_picture(tensor, "it", "bgr"), PICTURE)
    alpha = np.dstack([backwards, np.full((5, 6), 255, np.uint8)])
    np.testing.assert_array_equal(as_picture(alpha, "it", "bgr"), PICTURE)
    grey = PICTURE[:, :, 0]
    np.testing.assert_array_equal(as_picture(grey, "it", "bgr"), np.dstack([grey] * 3))
    # What says its colours itself is not turned round.
    np.testing.assert_array_equal(as_picture(png(), "it", "bgr"), PICTURE)
    np.testing.assert_array_equal(as_picture(Image.fromarray(PICTURE), "it", "bgr"), PICTURE)
    with pytest.raises(ConfigError, match="channels is 'grb'; expected 'rgb' or"):
        require_channels("grb")


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (1, 5, 6)])
def test_grey_is_repeated_whichever_way_it_lies(shape: tuple[int, ...], said: Said) -> None:
    grey = PICTURE[:, :, 1]
    seen = as_picture(grey.reshape(shape), "it")
    np.testing.assert_array_equal(seen, np.dstack([grey] * 3))
    assert said() == []


def test_where_two_layouts_fit_it_is_said_once_which_was_taken(torch: Any, said: Said) -> None:
    narrow = np.zeros((3, 9, 3), np.uint8)
    assert as_picture(narrow, "it").shape == (3, 9, 3)
    assert as_picture(narrow, "it").shape == (3, 9, 3)
    assert said() == [
        "the image: of shape (3, 9, 3) it is not clear; taken as (height, width, channels)"
    ]
    assert as_picture(torch.zeros(3, 9, 4), "it").shape == (9, 4, 3)
    assert said()[1:] == [
        "the image: of shape (3, 9, 4) it is not clear; taken as (channels, height, width)"
    ]


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (PICTURE.astype(np.float32), "float32 values from 0 to 178; expected 0 to 1: give it as"),
        ((PICTURE / 255 - 0.5) / 0.2, "expected 0 to 1: give it before it is normalised"),
        (np.full((4, 4, 3), np.nan), "from nan to nan; expected 0 to 1: some are not finite"),
        (np.zeros((2, 3, 4, 4), np.uint8), "as of a batch; give its images as a list: list(batch)"),
        (np.zeros((9, 9, 9), np.uint8), "image has shape (9, 9, 9); expected"),
        (np.zeros((0, 4, 3), np.float32), "image has shape (0, 4, 3), and so no pixels"),
        (np.array([]), "image has shape (0,), and so no pixels"),
        (
            np.zeros((4, 4, 3), np.int64),
            "image has dtype int64; expected uint8, uint16 or bool, or ",
        ),
        (np.zeros((4, 4, 3), np.int64), "or floats from 0 to 1: give it as uint8"),
        (
            np.zeros((4, 4, 3), complex),
            "image has dtype complex128; expected uint8, uint16 or bool",
        ),
    ],
)
def test_what_fits_no_rule_is_an_error_with_its_values(held: Array, message: str) -> None:
    with pytest.raises(ImageError) as told:
        as_picture(held, "it")
    assert str(told.value).startswith("it: ") and message in str(told.value)


def test_floats_a_rounding_beyond_their_range_are_taken() -> None:
    held = np.array([[[-0.0005, 1.0005, 0.5]]], np.float32)
    assert as_picture(held, "it").tolist() == [[[0, 255, 128]]]


def test_text_that_is_no_path_is_not_repeated_whatever_its_length() -> None:
    with pytest.raises(ImageError, match=r"it is text of 90000 letters.*content as bytes"):
        as_picture("iVBORw0KG" * 10_000, "it")


# Addresses


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(**answers: Answer) -> Iterator[str]:
    """A server on this machine that gives each answer under its name."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers[self.path.partition("?")[0].strip("/")](self)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def giving(data: bytes, length: int | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data) if length is None else length))
        request.end_headers()
        request.wfile.write(data)

    return answer


def leading_to(address: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", address)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"x" * 65536)
    except OSError:
        pass


def test_an_address_is_fetched_also_where_it_leads_to_another() -> None:
    with serving(a=giving(png()), b=leading_to("/a")) as root:
        np.testing.assert_array_equal(as_picture(f"{root}/a?key=secret", "it"), PICTURE)
        np.testing.assert_array_equal(as_picture(f"{root}/b", "it"), PICTURE)


def missing(request: BaseHTTPRequestHandler) -> None:
    request.send_error(404)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (missing, "cannot be opened: 404 Not Found"),
        (leading_to("/x"), "it leads elsewhere more than 5 times"),
        (leading_to("file:///etc/hostname"), "neither http:// nor https://"),
        (leading_to("ftp://127.0.0.1/a.png"), "neither http:// nor https://"),
        (giving(png()[:40], 1000), "broke off: "),
        (giving(b"", http.MAX_BYTES + 1), "is larger than 64 MiB"),
        (giving(b"<html>"), "/x?…: "),
    ],
    ids=["404", "circle", "file", "ftp", "cut off", "too large", "no picture"],
)
def test_what_an_address_does_not_give_is_said_without_its_secrets(
    answer: Answer, message: str
) -> None:
    with serving(x=answer) as root, pytest.raises(ImageError) as told:
        as_picture(f"{root.replace('//', '//user:word@')}/x?key=secret", "it")
    assert message in str(told.value) and "\n" not in str(told.value)
    assert "secret" not in str(told.value) and "word" not in str(told.value)


def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 1 << 20)
    with serving(x=endless) as root, pytest.raises(ImageError, match="is larger than 1 MiB"):
        as_picture(f"{root}/x", "it")


def test_a_server_that_sends_letter_by_letter_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_SECONDS", 0.5)
    over = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Name: ")
        try:
            while not over.wait(0.05):
                request.wfile.write(b"x")
        except OSError:
            pass

    began = time.monotonic()
    with serving(x=slow) as root, pytest.raises(ImageError, match="did not come within"):
        try:
            as_picture(f"{root}/x", "it")
        finally:
            over.set()
    assert time.monotonic() - began < http.TIMEOUT_S


@pytest.mark.parametrize(
    "address", ["file:///etc/hostname", "ftp://host/a.png", "data://x", "rtsp://user:word@host/s"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ImageError, match="only http:// and https:// addresses are fetched") as told:
        as_picture(address, "it")
    assert "word" not in str(told.value)
    with pytest.raises(ImageError, match="only http:// and https://"):
        http.fetch_bytes(address)


@pytest.mark.parametrize(
    "address", ["http://", "http:///x.png", "http://host:port/", "http://[::1"]
)
def test_an_address_that_is_none_is_said_to_be_none(address: str) -> None:
    with pytest.raises(ImageError, match="cannot be opened: no valid address"):
        as_picture(address, "it")


def test_an_address_that_was_made_a_path_is_told_from_a_missing_file() -> None:
    with pytest.raises(ImageError, match="one slash of an address's two; give a str"):
        as_picture(Path("https://host/a.png"), "it")


def test_an_address_is_shown_in_one_line() -> None:
    with pytest.raises(ImageError) as told:
        as_picture("http://[::1\nhost/a.png", "it")
    assert "\n" not in str(told.value)


def test_no_framework_is_imported_to_tell_a_tensor() -> None:
    class Like:
        __module__ = "elsewhere"

        def __array__(self, *options: Any) -> Array:
            return PICTURE

    before = set(sys.modules)
    np.testing.assert_array_equal(as_picture(Like(), "it"), PICTURE)
    assert not {"torch", "tensorflow", "jax"} & (set(sys.modules) - before)
