"""What the service finds: to the bit what `mindssd predict` finds, however it is asked."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mindssd.build.model import load
from mindssd.types import Detections
from tests.cli.conftest import mindssd
from tests.serve.conftest import form, picture, png, running

__all__ = ["mindssd"]


def same(found: dict, expected: Detections) -> bool:
    """Whether JSON has the very bits of detections."""
    listed = found["detections"]
    return (
        np.array_equal(np.array([x["box"] for x in listed], np.float32), expected.boxes)
        and np.array_equal(np.array([x["score"] for x in listed], np.float32), expected.scores)
        and [x["class_id"] for x in listed] == expected.class_ids.tolist()
        and [x["class"] for x in listed] == [name for name, _, _ in expected]
    )


def test_it_finds_to_the_bit_what_the_library_finds_however_the_image_comes(one, model):
    image = picture(3)
    expected = load(model)(image)
    assert len(expected) > 3
    data = png(image)
    bodies = [
        (data, "image/png"),
        (data, "application/octet-stream"),
        form(("image", "photo.png", data)),
        (json.dumps({"image": base64.b64encode(data).decode()}), "application/json"),
        (
            json.dumps({"images": ["data:image/png;base64," + base64.b64encode(data).decode()]}),
            "application/json; charset=utf-8",
        ),
    ]
    for body, kind in bodies:
        answer = one.detect(body, kind=kind)
        assert answer.status == 200, answer.body
        (found,) = answer.json["images"]
        assert (found["width"], found["height"]) == (120, 90)
        assert same(found, expected)


@pytest.mark.parametrize(("threads", "together", "beside"), [(1, (1, 2, 4, 8), 1), (2, (1,), 2)])
def test_requests_that_are_batched_together_change_nothing_in_each_other(
    model, threads, together, beside
):
    images = [picture(seed) for seed in range(24)]
    expected = [load(model)(image) for image in images]
    with running(model, threads=threads, max_batch=8, max_wait_s=0.05) as service:
        info = service.ask("/v1/model").json
        assert (tuple(info["batch_sizes"]), info["side_by_side"]) == (together, beside)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda image: service.detect(png(image)), images))
        text = service.ask("/metrics").body.decode()
    for answer, detections in zip(answers, expected, strict=True):
        assert same(answer.json["images"][0], detections)
    (batches,) = [x for x in text.splitlines() if x.startswith("mindssd_batch_size_count")]
    assert float(batches.split()[1]) < 24  # some were taken together


def test_several_images_are_answered_in_their_order_and_a_broken_one_by_its_error(one, model):
    images = [picture(seed) for seed in (1, 2)]
    parts = [("a", "one.png", png(images[0])), ("b", "cut.png", png(images[0])[:300])]
    answer = one.detect(*_apart(form(*parts, ("c", "../../etc/two.png", png(images[1])))))
    assert answer.status == 200
    first, broken, last = answer.json["images"]
    assert [x["name"] for x in (first, broken, last)] == ["one.png", "cut.png", "../../etc/two.png"]
    assert "truncated" in broken["error"] and "detections" not in broken
    assert same(first, load(model)(images[0])) and same(last, load(model)(images[1]))


def _apart(body_and_kind):
    body, kind = body_and_kind
    return body, "", kind


@pytest.mark.parametrize("way", ["query", "form", "json"])
def test_settings_are_those_of_predict_in_the_query_the_form_or_the_json(one, model, way):
    image = picture(5)
    settings = {"score": 0.6, "classes": "hen,cat", "max_detections": 4}
    names = ["hen", "cat"]
    expected = load(model, score_threshold=0.6, classes=names, max_detections=4)(image)
    assert len(expected) == 4
    if way == "query":
        answer = one.detect(png(image), "?score=0.6&classes=hen&classes=cat&max_detections=4")
    elif way == "form":
        fields = [(name, None, str(value).encode()) for name, value in settings.items()]
        answer = one.detect(*_apart(form(*fields, ("image", "x", png(image)))))
    else:
        body = json.dumps({**settings, "image": base64.b64encode(png(image)).decode()})
        answer = one.detect(body, "?score=0.1", "application/json")  # what is inside goes before
    assert same(answer.json["images"][0], expected)


def test_tiles_are_those_of_predict(one, model):
    image = picture(4, (130, 200))
    expected = load(model, tile=64, overlap=0.3)(image)
    answer = one.detect(png(image), "?tile=64&overlap=0.3")
    assert same(answer.json["images"][0], expected)
    fault = one.detect(png(image), "?tile=32&overlap=0.9")
    assert fault.status == 422 and "tiles; at most 64 are looked at" in fault.error
    assert one.service.detecting.queue.now == 0


def test_cocos_layout_is_what_predict_writes(one, model, mindssd, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(png(picture(6)))
    mindssd("predict", model, path, "--out", tmp_path / "out", "--save", "json")
    written = json.loads((tmp_path / "out" / "detections.json").read_text())
    body, kind = form(("image", str(path), path.read_bytes()))
    assert one.detect(body, "?format=coco", kind).json == written


def test_a_picture_comes_back_drawn_on(one):
    answer = one.detect(png(picture(7, (400, 500))), "?format=image")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    drawn = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert drawn.shape == (400, 500, 3)
    body, kind = form(("a", "1", png(picture(1))), ("b", "2", png(picture(2))))
    assert (
        one.detect(body, "?format=image", kind).error == "2 images are sent; format=image takes one"
    )


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("?score=2", "score: Input should be less than or equal to 1"),
        ("?score=nan", "score: Input should be a finite number"),
        ("?classes=cat,cow", "classes: the model has no class 'cow'; it has cat, dog, hen"),
        ("?format=xml", "format: Input should be 'json', 'coco' or 'image'"),
        ("?overlap=0.1", "overlap is for tile: give both, or neither"),
        ("?tile=1", "tile: Input should be greater than or equal to 32"),
    ],
)
def test_a_setting_that_is_wrong_is_named_in_a_line(one, query, fault):
    answer = one.detect(png(picture()), query)
    assert (answer.status, answer.error) == (422, fault)


def test_models_are_chosen_by_name_and_the_first_is_the_default(model, tmp_path, deploy):
    other = deploy(name="other.onnx")
    with running(model, other) as service:
        assert service.detect(png(picture())).json["model"] == "model"
        assert service.detect(png(picture()), "?model=other").json["model"] == "other"
        fault = service.detect(png(picture()), "?model=third")
        assert fault.status == 404
        assert fault.error == "no model is called 'third'; there are model, other"
        listed = service.ask("/v1/models").json["models"]
        assert [one["name"] for one in listed] == ["model", "other"]
        info = service.ask("/v1/model?name=other").json
        assert (info["classes"], info["score"]) == (["cat", "dog", "hen"], 0.3)
        assert info["category_ids"] == [3, 7, 9] and info["image_size"] == [48, 64]
