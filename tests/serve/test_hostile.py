"""What anyone may send: it is refused in a line, costs little, and the next request is served."""

import json
import struct
import threading
import time
import zlib
from contextlib import suppress

import numpy as np
import pytest

from mindssd.platform import peak_memory_mb
from tests.serve.conftest import PATIENCE_S, everything, form, picture, png, running


@pytest.fixture(autouse=True)
def next_is_served(request):
    """Whatever a test did to the shared service, it answers the next one who asks."""
    yield
    if "one" in request.fixturenames:
        one = request.getfixturevalue("one")
        assert one.detect(png(picture())).status == 200
        assert (one.service.buffered.now, one.service.detecting.queue.now) == (0, 0)


def head(*lines: str) -> bytes:
    return "\r\n".join(("POST /v1/detect HTTP/1.1", "Host: here", *lines, "", "")).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels, and whose compressed zeros are few."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20), 9)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(one):
    with one.connect() as connection:
        connection.sendall(head("Content-Type: image/png", f"Content-Length: {1 << 40}"))
        assert status(everything(connection)) == 413


def test_a_body_in_chunks_is_refused_where_it_grows_too_large(model):
    with running(model, limits={"max_body_bytes": 100_000}) as service:
        text = head("Content-Type: image/png", "Transfer-Encoding: chunked", "Connection: close")
        chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
        answer = service.send(text + 5 * chunk + b"0\r\n\r\n")
        assert status(answer) == 413 and b"larger than 100000 bytes" in answer
        assert service.detect(png(picture())).status == 200


def test_a_client_that_sends_all_of_a_refused_body_hears_why(model):
    """Else its connection were reset while it sends, and the answer lost."""
    with running(model, limits={"max_body_bytes": 100_000}) as service:
        answer = service.detect(bytes(8 << 20))
        assert (answer.status, answer.error) == (413, "the request is larger than 100000 bytes")


def test_bodies_in_memory_are_bounded_over_all_requests(model):
    with running(model, limits={"buffered_bytes": 150_000}) as service:
        text = head("Content-Type: image/png", "Content-Length: 110000")
        with service.connect() as first:
            first.sendall(text + bytes(100_000))
            wait_until(lambda: service.service.buffered.now == 100_000)
            answer = service.detect(bytes(100_000))
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            first.sendall(bytes(10_000))
            assert status(first.recv(1 << 16)) == 422  # zeros are no picture
        wait_until(lambda: service.service.buffered.now == 0)


def wait_until(holds) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_slow_senders_of_a_body_and_of_a_head_are_cut_off(model):
    with running(model, limits={"body_s": 0.3, "idle_s": 0.5}) as service:
        slow = service.connect()
        slow.sendall(head("Content-Type: image/png", "Content-Length: 1000") + b"x")
        silent = service.connect()
        half = service.connect()
        half.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        assert status(everything(slow)) == 408
        assert everything(silent) == everything(half) == b""
        assert service.detect(png(picture())).status == 200
        for connection in (slow, silent, half):
            connection.close()


def test_one_that_leaves_in_the_middle_leaves_nothing_behind(one):
    for text in (b"", b"GET / HT", head("Content-Type: image/png", "Content-Length: 9") + b"12"):
        with one.connect() as connection:
            connection.sendall(text)
    wait_until(lambda: one.service.buffered.now == 0)


def test_a_thousand_connections_that_say_nothing_keep_nobody_out(model):
    with running(model, limits={"max_connections": 100}) as service:
        held = []
        try:
            for number in range(1000):
                held.append(service.connect())
                if number % 100 == 0:
                    assert service.detect(png(picture())).status == 200
            assert service.detect(png(picture())).status == 200
        finally:
            for connection in held:
                connection.close()


@pytest.mark.parametrize("size", [(60_000, 60_000), (8_000, 7_000), (2**31 - 1, 1)])
def test_a_pixel_bomb_is_told_by_its_header(one, size):
    one.detect(png(picture()))
    before = peak_memory_mb() or 0
    answer = one.detect(bomb(*size))
    assert answer.status == 422 and "pixels; expected at most 50 million" in answer.error
    assert (peak_memory_mb() or 0) - before < 60


def test_a_bomb_inside_other_containers_is_told_too(model):
    import io

    from PIL import Image

    image = Image.fromarray(picture(1, (200, 300)))
    with running(model, limits={"max_pixels": 50_000}) as service:
        for kind in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000"):
            file = io.BytesIO()
            image.save(file, kind)
            answer = service.detect(file.getvalue())
            assert answer.status == 422, kind
            assert "has 300 x 200 pixels; expected at most 0.05 million" in answer.error, kind


@pytest.mark.parametrize(
    ("body", "kind", "expected", "fault"),
    [
        (b"", "image/png", 422, "image: the file is empty"),
        (b"MZ\x90", "image/png", 422, "not an image"),
        (png(picture())[:200], "image/png", 422, "truncated"),
        (b"<xml/>", "text/xml", 415, "Content-Type is text/xml"),
        (b"{", "application/json", 400, "the body is no JSON"),
        (b"[" * 100_000, "application/json", 400, "the body is no JSON"),
        (b"\xff\xfe", "application/json", 400, "the body is no JSON"),
        (b"[]", "application/json", 422, "the JSON is no object"),
        (b"{}", "application/json", 422, "no image is sent"),
        (b'{"image": 5}', "application/json", 422, "image: Input should be a valid string"),
        (b'{"image": "&"}', "application/json", 422, "image 0 is no base64"),
        (b'{"image": "\\u00e9"}', "application/json", 422, "image 0 is no base64"),
        (b'{"score": 1e999, "image": ""}', "application/json", 422, "score"),
        (json.dumps({"images": [""] * 17}), "application/json", 413, "17 images are sent"),
        (b"nothing", "multipart/form-data", 400, "the form is damaged"),
        (b"--a\r\n", "multipart/form-data; boundary=a", 400, "the form is damaged"),
        (b"--b--\r\n", "multipart/form-data; boundary=a", 400, "the form is damaged"),
        (b"x", "multipart/form-data; boundary=" + "a" * 5000, 400, "the form is damaged"),
        (*form(("score", None, b"much"), ("i", "i", b"")), 422, "score: Input should be a valid"),
        (*form(("score", None, b"0.5")), 422, "no image is sent"),
        (*form(("classes", None, bytes(70_000)), ("i", "i", b"")), 413, "more than 64 KB"),
        (*form(*[("i", "i", b"")] * 17), 413, "17 images are sent"),
        (*form(*[("i", None, b"")] * 2000), 413, "the form has more than 48 parts"),
    ],
)
def test_a_body_that_is_wrong_is_refused_in_a_line(one, body, kind, expected, fault):
    answer = one.detect(body, kind=kind)
    assert answer.status == expected, answer.body
    assert fault in answer.error and "\n" not in answer.error


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: -1"),
        head("Content-Length: 5", "Transfer-Encoding: gzip"),
        head("Transfer-Encoding: chunked") + b"zz\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + bytes([65]) * 200_000,
    ],
)
def test_what_is_no_http_gets_400_or_501_and_the_end(one, text):
    with one.connect() as connection, suppress(ConnectionError):  # it need not read to the end
        connection.sendall(text)
        assert status(everything(connection)) in (400, 415, 501, 505)


def test_no_path_leads_out_of_the_page(one):
    for path in (
        *("/page/../app.py", "/page/%2e%2e/app.py", "/page/..%2fapp.py", "/../../etc/passwd"),
        *("/page/%00", "//etc/passwd", "/page/page.js/", "/v1/detect/../../x"),
    ):
        assert one.ask(path).status == 404, path
    assert one.ask("/v1/detect").status == 405
    assert one.ask("/v1/models", b"x").status == 405


def test_what_waits_is_bounded_and_who_comes_late_is_told_to_come_again(model):
    with running(model, limits={"queue_size": 2}, max_batch=1) as service:
        go_on = threading.Event()
        runner = service.service.models.default.runner
        run = runner._predictors[1].run

        class Slow:
            def run(self, parts):
                go_on.wait(PATIENCE_S)
                return run(parts)

        runner._predictors[1] = Slow()
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.append(service.detect(png(picture())).status))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: service.service.detecting.queue.now == 2)
        late = service.detect(png(picture()))
        assert (late.status, late.headers["Retry-After"]) == (429, "1")
        go_on.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]


def test_what_is_not_done_in_time_is_503_and_leaves_the_queue(model):
    with running(model, max_batch=1) as service:
        go_on = threading.Event()
        runner = service.service.models.default.runner
        run, ran = runner._predictors[1].run, []

        class Slow:
            def run(self, parts):
                ran.append(len(parts))
                go_on.wait(PATIENCE_S)
                return run(parts)

        runner._predictors[1] = Slow()
        for _ in range(3):
            answer = service.detect(png(picture()), "?timeout_s=0.2")
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert service.service.detecting.queue.now == 0
        go_on.set()
        assert service.detect(png(picture())).status == 200
        assert ran == [1, 1]  # the two that nobody waited for any more were not computed


def test_noise_as_a_body_is_never_more_than_refused(one):
    rng = np.random.default_rng(0)
    good = png(picture())
    made, kind = form(("image", "x.png", good), ("score", None, b"0.5"))
    for number in range(60):
        body = bytearray(made if number % 2 else good)
        for place in rng.integers(0, len(body), 1 + number % 7):
            body[place] = rng.integers(256)
        answer = one.detect(bytes(body), kind=kind if number % 2 else "image/png")
        assert answer.status in (200, 400, 413, 422), answer.body
