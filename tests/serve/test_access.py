"""Who may ask: by which methods, from which sites, with which token."""

import json
import logging
import math
import os
from dataclasses import replace

import pytest

from mindssd.deploy.graph import describe, finish
from mindssd.errors import ConfigError
from mindssd.serve.job import _log_to_stderr
from mindssd.serve.settings import Settings
from tests.deploy.conftest import CLASS_NAMES, DEFAULT_BOXES, manifest, random_outputs, raw_graph
from tests.serve.conftest import form, picture, png, running

ADDRESSES = ("/", "/healthz", "/readyz", "/v1/model", "/v1/models", "/metrics", "/openapi.json")


def described(folder, **own):
    """A file whose metadata has what is given of its own."""
    raw = raw_graph(*random_outputs())
    model = finish(raw, DEFAULT_BOXES.boxes_cxcywh, (0.1, 0.2), len(CLASS_NAMES), None)
    plain = manifest()
    path = folder / "own.onnx"
    describe(model, replace(plain, metadata=replace(plain.metadata, **own)), path)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("address", ADDRESSES)
def test_head_is_answered_as_get_is_without_the_body(one, address):
    head, get = one.ask(address, method="HEAD"), one.ask(address)
    assert (head.status, head.body) == (get.status, b"") == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert one.ask("/v1/detect", method="HEAD").status == 405


def test_head_is_logged_as_what_it_was(model, capsys):
    with running(model, access_log=True) as service:
        service.ask("/healthz", method="HEAD")
        length = len(service.ask("/healthz").body)
    head, get = map(json.loads, capsys.readouterr().out.splitlines())
    assert (head["method"], head["bytes_out"]) == ("HEAD", 0)
    assert (get["method"], get["bytes_out"]) == ("GET", length)


@pytest.mark.parametrize("token", ["sés ame", "芝麻", os.fsdecode(b"s\xff")])
def test_a_token_may_be_any_that_the_environment_holds(model, token):
    with running(model, token=token) as service:
        head = b"GET /v1/model HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
        for given, status in ((os.fsencode(token), b"200"), (b"s\xfe", b"401")):
            answer = service.send(head + given + b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 " + status), answer


def test_a_page_of_another_site_may_read_why_it_is_refused(model):
    site = "https://other.example"
    with running(model, origins=(site,), token="sesame", limits={"queue_size": 1}) as service:
        answer = service.ask("/v1/model", Origin=site)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, site)
        assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "origin",
    [
        "their.site",
        "https://their.site/",
        "https://their.site/page",
        "https://Their.site",
        "https://täst.de",
    ],
)
def test_a_site_that_no_browser_names_so_is_refused(origin):
    with pytest.raises(ConfigError, match="expected a site as browsers name it"):
        Settings(origins=(origin,))


def test_sites_as_browsers_name_them_are_taken():
    origins = (
        "*",
        "null",
        "http://localhost:3000",
        "http://[::1]:80",
        "https://their.site",
        "app://id",
    )
    assert Settings(origins=origins).origins == origins


def test_numbers_that_are_not_defined_and_own_thresholds_are_told(tmp_path):
    own = {"cat": 0.25, "dog": 0.5, "hen": 0.75}
    path = described(tmp_path, metrics={"AP": math.nan, "AP50": 0.5}, thresholds=own)
    with running(path) as service:
        info = service.ask("/v1/model").json
        assert service.ask("/v1/models").json["models"] == [info]
        found = service.detect(png(picture(3))).json["images"][0]["detections"]
    assert info["metrics"] == {"AP": None, "AP50": 0.5}
    assert (info["thresholds"], info["score"]) == ([0.25, 0.5, 0.75], 0.25)
    assert found and all(one["score"] > own[one["class"]] for one in found)


def test_damaged_forms_which_anyone_may_send_are_not_in_the_log(one, monkeypatch, caplog):
    for name in ("uvicorn.error", "python_multipart", "mindssd.images"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    _log_to_stderr()
    body, _ = form(("image", "one.png", png(picture())))
    assert one.detect(body, kind="multipart/form-data; boundary=other").status == 400
    assert caplog.records == []
