"""How the service lives: who may ask, what it says of itself, new models, its end."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mindssd.build.model import load
from mindssd.pages.viewer import viewer_files
from mindssd.serve.job import build_server, build_service, listen
from mindssd.serve.settings import Settings
from tests.deploy.conftest import random_outputs
from tests.serve.conftest import PATIENCE_S, picture, png, running
from tests.serve.test_detect import same

PAGE = Path(__file__).resolve().parents[2] / "mindssd" / "serve" / "page"


def test_with_a_token_nothing_is_told_without_it(model):
    with running(model, token="sesame") as service:
        image = png(picture())
        for words in ({}, {"Authorization": "Bearer sesam"}, {"Authorization": "Basic sesame"}):
            answer = service.ask("/v1/detect", image, Content_Type="image/png", **words)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            for path in ("/v1/model", "/v1/models", "/metrics", "/openapi.json", "/nothing"):
                assert service.ask(path, **words).status == 401
        right = {"Authorization": "Bearer sesame"}
        assert service.ask("/v1/detect", image, Content_Type="image/png", **right).status == 200
        described = service.ask("/openapi.json", **right).json
        assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        for path in ("/healthz", "/readyz", "/", "/page/page.js"):
            assert service.ask(path).status == 200


def test_other_sites_may_ask_only_where_it_is_said(model):
    asked = {"Origin": "https://other.example", "Access_Control_Request_Method": "POST"}
    allowed = "Access-Control-Allow-Origin"
    with running(model) as service:
        assert service.ask("/v1/detect", method="OPTIONS", **asked).headers[allowed] is None
        assert service.ask("/v1/model", **asked).headers[allowed] is None
    with running(model, origins=("https://other.example",), token="sesame") as service:
        answer = service.ask("/v1/detect", method="OPTIONS", **asked)
        assert (answer.status, answer.headers[allowed]) == (200, "https://other.example")
        asked["Origin"] = "https://third.example"
        assert service.ask("/v1/detect", method="OPTIONS", **asked).headers[allowed] is None


def test_the_page_asks_no_other_host_and_runs_no_script_but_its_own(one):
    answer = one.ask("/")
    assert "<title>mindssd</title>" in answer.body.decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy and "*" not in policy
    asked = set(re.findall(r'(?:src|href)="([^"]+)"', answer.body.decode()))
    assert asked == {"page/page.js", "page/viewer.css", "page/icon.svg"}
    files = {*viewer_files(), *(path.name for path in PAGE.iterdir())}
    for name in files:
        content = one.ask(f"/page/{name}")
        assert content.status == 200
        addresses = re.findall(r"https?://[^\"' ]+", content.body.decode())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, name
        assert set(re.findall(r'from "\./([^"]+)"', content.body.decode())) <= files


def test_it_describes_itself_with_examples(one):
    described = one.ask("/openapi.json").json
    detect = described["paths"]["/v1/detect"]["post"]
    kinds = {"multipart/form-data", "application/json", "image/*", "application/octet-stream"}
    assert set(detect["requestBody"]["content"]) == kinds
    example = detect["requestBody"]["content"]["application/json"]["examples"]["one"]["value"]
    assert one.detect(json.dumps(example), kind="application/json").status == 200
    assert {"200", "401", "413", "415", "422", "429", "503"} <= set(detect["responses"])
    assert {one["name"] for one in detect["parameters"]} >= {"score", "classes", "tile", "format"}
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert references <= set(described["components"]["schemas"])


def test_it_counts_what_it_does(model):
    with running(model) as service:
        service.detect(png(picture(3)))
        service.detect(b"nothing")
        service.ask("/nowhere-" + "x" * 500)
        text = service.ask("/metrics").body.decode()
    for line in (
        'mindssd_requests_total{method="POST",path="/v1/detect",status="200"} 1.0',
        'mindssd_requests_total{method="POST",path="/v1/detect",status="422"} 1.0',
        'mindssd_requests_total{method="GET",path="other",status="404"} 1.0',
        'mindssd_images_total{model="model"} 2.0',
        "mindssd_unreadable_images_total 1.0",
        'mindssd_batch_size_count{model="model"} 1.0',
        "mindssd_queue 0.0",
        "mindssd_buffered_bytes 0.0",
    ):
        assert line in text.splitlines(), line


def test_the_log_is_a_line_of_json_an_answer_and_holds_no_secret(model, capsys):
    image = png(picture())
    with running(model, access_log=True, token="sesame") as service:
        words = {"Authorization": "Bearer sesame", "Content_Type": "image/png"}
        service.ask("/v1/detect?classes=cat", image, **words)
        service.ask("/v1/%0aforged?token=sesame")
    text = capsys.readouterr().out
    first, second = map(json.loads, text.splitlines())
    assert (first["path"], first["status"], first["model"]) == ("/v1/detect", 200, "model")
    assert (first["bytes_in"], first["images"], first["client"]) == (len(image), 1, "127.0.0.1")
    assert (second["path"], second["status"]) == ("/v1/\nforged", 401)
    assert "sesame" not in text


def test_what_a_client_asked_that_has_gone_keeps_nobody_waiting(model, monkeypatch, capsys):
    decoding, go_on = threading.Event(), threading.Event()
    with running(model, access_log=True, limits={"queue_size": 1}) as service:
        detecting = service.service.detecting
        decode = detecting._decode

        def slowly(*words):
            decoding.set()
            assert go_on.wait(PATIENCE_S)
            return decode(*words)

        monkeypatch.setattr(detecting, "_decode", slowly)
        body = png(picture())
        head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        with service.connect() as connection:
            connection.sendall(head.encode() + body)
            assert decoding.wait(PATIENCE_S) and service.detect(body).status == 429
        try:
            end = time.monotonic() + PATIENCE_S
            while detecting.queue.now:
                assert time.monotonic() < end
                time.sleep(0.01)
        finally:
            go_on.set()
        assert service.detect(body).status == 200
        assert service.service.models.default.runner.num_coming == 0
    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == [429, 499, 200]


def replace_whole(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".aside")
    aside.write_bytes(content)
    aside.replace(path)


def info_where(service, holds):
    end = time.monotonic() + PATIENCE_S
    while not holds(info := service.ask("/v1/model").json):
        assert time.monotonic() < end, info
        time.sleep(0.02)
    return info


def test_a_file_that_is_replaced_is_served_and_a_broken_one_is_not(deploy, tmp_path):
    path = deploy()
    image = picture(2)
    with running(path, reload_s=0.05) as service:
        first = service.detect(png(image)).json
        assert same(first["images"][0], load(path)(image))
        replace_whole(path, path.read_bytes()[:1000])
        info = info_where(service, lambda info: info["reload_error"])
        assert info["generation"] == 1 and str(path) in info["reload_error"]
        assert service.detect(png(image)).json == first
        other = deploy(random_outputs(seed=5), name="other.onnx")
        replace_whole(path, other.read_bytes())
        info = info_where(service, lambda info: info["generation"] == 2)
        assert info["reload_error"] is None
        second = service.detect(png(image)).json
        assert second != first and same(second["images"][0], load(other)(image))
        path.unlink()  # between two files of a slow replacement, say
        assert service.detect(png(image)).json == second
        text = service.ask("/metrics").body.decode()
    assert 'mindssd_reloads_total{model="model",taken="true"} 1.0' in text
    assert 'mindssd_reloads_total{model="model",taken="false"} 1.0' in text


def test_what_keeps_one_new_file_from_being_opened_does_not_end_the_watch(deploy, monkeypatch):
    path = deploy()
    with running(path, reload_s=0.02) as service:
        models = service.service.models
        start = models._start

        def full(*words):
            monkeypatch.setattr(models, "_start", start)
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(models, "_start", full)
        replace_whole(path, deploy(random_outputs(seed=5), name="other.onnx").read_bytes())
        info = info_where(service, lambda info: info["reload_error"])
        assert info["reload_error"] == "can't start new thread"
        replace_whole(path, deploy(random_outputs(seed=6), name="other.onnx").read_bytes())
        assert info_where(service, lambda info: info["generation"] == 2)["reload_error"] is None


def test_no_request_is_lost_while_models_are_replaced(deploy):
    path = deploy()
    contents = [path.read_bytes(), deploy(random_outputs(seed=5), name="other.onnx").read_bytes()]
    with running(path, reload_s=0.02) as service:
        statuses, done = [], threading.Event()

        def ask() -> None:
            while not done.is_set():
                statuses.append(service.detect(png(picture())).status)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in (1, 2, 3):
            replace_whole(path, contents[number % 2])
            info_where(service, lambda info, number=number: info["generation"] == number + 1)
        done.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


@pytest.fixture
def process(model):
    """`mindssd serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "mindssd", "serve", str(model), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as started:
        assert started.stderr is not None
        for line in started.stderr:
            if found := re.search(r"serves at http://127\.0\.0\.1:(\d+)/", line):
                break
        else:
            pytest.fail(f"it ended with status {started.wait()}")
        yield started, int(found[1])
        started.kill()


def test_sigterm_ends_it_once_all_is_answered_that_came(process):
    started, port = process
    image = png(picture(1, (480, 640)))
    lost, answered, ready = [], [], threading.Semaphore(0)

    def ask() -> None:
        """Ask again and again on a connection that is kept open, until there is no other."""
        connection = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
                try:
                    connection.connect()
                except ConnectionError:
                    return  # it listens no more: nothing was taken
            try:
                connection.request("POST", "/v1/detect", image, {"Content-Type": "image/png"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                lost.append(error)
                return
            answered.append(answer.status)
            ready.release()
            if answer.headers["Connection"] == "close":
                connection.close()
                connection = None

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        assert ready.acquire(timeout=PATIENCE_S)
    started.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(PATIENCE_S)
    output, _ = started.communicate(timeout=PATIENCE_S)
    assert (lost, set(answered), started.returncode) == ([], {200}, 0)
    log = [json.loads(line) for line in output.splitlines()]
    assert len(log) == len(answered)  # what was taken was answered, and heard


def test_a_port_that_is_taken_is_a_users_error(one, model):
    words = [sys.executable, "-m", "mindssd", "serve", str(model), "--port", str(one.port)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert f"127.0.0.1 port {one.port}: Address already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_end_takes_what_waits_to_be_accepted(model):
    """Its client is connected already, and would take a reset for a lost request."""

    settings = Settings(access_log=False, drain_s=0.2)

    async def ended_with_one_waiting() -> bytes:
        service = build_service({"model": model}, {"threads": None}, settings)
        listener = listen("127.0.0.1", 0)
        server = build_server(service)
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup([listener])
        # Until the end begins the loop does not come to accept it.
        with socket.create_connection(listener.getsockname(), PATIENCE_S) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            server.handle_exit(signal.SIGTERM, None)
            await server.shutdown([listener])
            answer = client.recv(1 << 16)
        service.models.close()
        service.detecting.close()
        return answer

    assert asyncio.run(ended_with_one_waiting()).startswith(b"HTTP/1.1 200")
