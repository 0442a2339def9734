"""What a request may say beside its images, and how it is told what it may not."""

import base64
import gzip
import json

import pytest

from tests.serve.conftest import form, picture, png, running

IMAGE = png(picture(3))
TEXT = base64.b64encode(IMAGE).decode()


def send(service, *parts):
    body, kind = form(*parts)
    return service.detect(body, kind=kind)


def classes_in(answer):
    assert answer.status == 200, answer.body
    return {found["class"] for image in answer.json["images"] for found in image["detections"]}


def test_classes_that_are_repeated_all_count_wherever_they_stand(one):
    image = ("image", "one.png", IMAGE)
    assert classes_in(one.detect(IMAGE, "?classes=cat&classes=dog")) == {"cat", "dog"}
    parts = [("classes", None, b"cat"), ("classes", None, b"dog")]
    assert classes_in(send(one, image, *parts)) == {"cat", "dog"}
    assert classes_in(send(one, image, ("classes", None, b"cat,dog"))) == {"cat", "dog"}
    words = json.dumps({"image": TEXT, "classes": ["cat", "dog"]})
    assert classes_in(one.detect(words, kind="application/json")) == {"cat", "dog"}


@pytest.mark.parametrize("name", ["score", "max_detections", "tile", "overlap", "timeout_s"])
def test_a_truth_value_is_no_number(one, name):
    answer = one.detect(json.dumps({"image": TEXT, name: True}), kind="application/json")
    assert (answer.status, answer.error) == (422, f"{name}: Input should be a number")


def test_a_setting_that_there_is_not_is_told_with_those_that_there_are(one):
    by_json = one.detect(json.dumps({"image": TEXT, "skore": 1}), kind="application/json")
    by_form = send(one, ("image", "one.png", IMAGE), ("skore", None, b"1"))
    for answer in (one.detect(IMAGE, "?skore=1"), by_json, by_form):
        assert answer.status == 422
        assert answer.error.startswith("skore: is no setting; there are model, score, classes")


def test_base64_may_be_broken_into_lines(one):
    whole = one.detect(json.dumps({"image": TEXT}), kind="application/json")
    for text in (base64.encodebytes(IMAGE).decode(), TEXT[:76] + "\r\n" + TEXT[76:]):
        assert one.detect(json.dumps({"image": text}), kind="application/json").json == whole.json


def test_a_request_that_never_fits_the_queue_is_not_told_to_come_again(model):
    with running(model, limits={"queue_size": 4}) as service:
        images = [("image", f"{number}.png", IMAGE) for number in range(5)]
        assert send(service, *images[:4]).status == 200
        answer = send(service, *images)
        assert answer.status == 422 and "5 images or tiles; at most 4" in answer.error
        # (90, 120) in tiles of 96: two and the whole, for each of two images.
        answer = send(service, *images[:2], ("tile", None, b"96"))
        assert answer.status == 422 and "6 images or tiles; at most 4" in answer.error
        assert send(service, images[0], ("tile", None, b"96")).status == 200
        assert service.service.detecting.queue.now == 0


def test_a_body_that_is_compressed_is_told_to_come_as_it_is(one):
    body = gzip.compress(json.dumps({"image": TEXT}).encode())
    for coding in ("gzip", "GZIP", "br, gzip"):
        answer = one.ask(
            "/v1/detect", body, Content_Type="application/json", Content_Encoding=coding
        )
        assert answer.status == 415 and answer.error.startswith(f"Content-Encoding is {coding};")
    same = one.ask("/v1/detect", IMAGE, Content_Type="image/png", Content_Encoding="identity")
    assert same.status == 200
