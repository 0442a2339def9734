"""The page's own pre- and post-processing in Chromium, against what Python computes."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindssd.deploy.targets.web as web
from mindssd.deploy.manifest import FOR_PEOPLE
from mindssd.geometry.postprocess import PostProcessDecoded
from mindssd.geometry.refinement import Refinement
from mindssd.images import Normalization, letterbox, letterboxed_size, resize
from mindssd.inference.predictor import Predictor
from mindssd.types import Array
from tests.chromium import Page, chromium
from tests.deploy.web.conftest import call, static

_BYTES = "(text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))"
_TEXT = """(array) => btoa(
  Array.from(new Uint8Array(array.buffer), (x) => String.fromCharCode(x)).join(""))"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of the server of the scripts, which has nothing on it."""
    folder = Path(web.__file__).parent
    with static(folder) as server, chromium(tmp_path_factory.mktemp("browser")) as page:
        page.open(f"{server.address}/verify.js")
        page.wait_for(f"location.href === '{server.address}/verify.js'")
        yield page


def packed(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def with_alpha(image: Array) -> dict[str, Any]:
    """An image as a canvas gives it."""
    opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
    data = packed(np.concatenate([image, opaque], axis=2))
    return {"data": data, "width": image.shape[1], "height": image.shape[0]}


def noise(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


SIZES = [
    ((7, 5), (3, 4)),
    ((4, 4), (4, 4)),
    ((12, 20), (6, 10)),  # halved: the mean of four
    ((12, 20), (6, 11)),
    ((90, 121), (48, 64)),
    ((1, 1), (5, 3)),
    ((2, 9), (31, 40)),
    ((333, 47), (64, 64)),
    ((48, 64), (480, 300)),
]


@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_a_picture_is_resized_to_the_bit(scripts, size, wanted):
    image = noise(*size)
    rows, columns = wanted
    found = call(
        scripts,
        "page/images.js",
        f"({_TEXT})(it.resize({{...image, data: ({_BYTES})(image.data)}}, columns, rows))",
        image=with_alpha(image),
        rows=rows,
        columns=columns,
    )
    array = np.frombuffer(base64.b64decode(found), np.uint8).reshape(rows, columns, 3)
    np.testing.assert_array_equal(array, resize(image, wanted))


@pytest.mark.parametrize("keeps_aspect", [False, True])
@pytest.mark.parametrize("size", [(30, 100), (100, 30), (48, 64), (3, 500), (77, 64)])
def test_a_picture_is_prepared_as_by_the_predictor(scripts, size, keeps_aspect):
    image = noise(*size)
    normalization = Normalization()
    predictor = _predictor((48, 64), keeps_aspect, PostProcessDecoded(1), normalization)
    model = {
        "image_size": (48, 64),
        "mean": normalization.mean,
        "std": normalization.std,
        "keeps_aspect": keeps_aspect,
    }
    found = call(
        scripts,
        "page/images.js",
        f"({_TEXT})(it.prepare({{...image, data: ({_BYTES})(image.data)}}, model))",
        image=with_alpha(image),
        model=model,
    )
    array = np.frombuffer(base64.b64decode(found), np.float32).reshape(3, 48, 64)
    np.testing.assert_array_equal(array, predictor.prepare(image))


def test_the_letterboxed_size_is_rounded_as_python_rounds(scripts):
    """A half goes to the even neighbour: 5 · 5 / 2 is 12."""
    cases = [(h, w, r, c) for h in (1, 5, 7, 480) for w in (3, 5, 641) for r, c in ((2, 5), (5, 2))]
    found = call(
        scripts, "page/images.js", "cases.map((one) => it.letterboxedSize(...one))", cases=cases
    )
    assert found == [list(letterboxed_size((h, w), (r, c))) for h, w, r, c in cases]
    assert letterbox(noise(5, 5), (2, 5), (0.0, 0.0, 0.0)).shape == (2, 5, 3)


def _predictor(image_size, keeps_aspect, postprocess, normalization=None) -> Predictor:
    return Predictor(
        forward=lambda images: (images,),
        image_size=image_size,
        normalization=normalization or Normalization(),
        postprocess=postprocess,
        class_names=("cat", "dog", "hen"),
        keeps_aspect=keeps_aspect,
    )


def outputs(num_boxes: int, seed: int) -> tuple[Array, Array]:
    """Boxes in clusters, as fractions, and scores: some too small, lying outside, or no numbers."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (num_boxes // 8 + 1, 2))[
        rng.integers(0, num_boxes // 8 + 1, num_boxes)
    ]
    centres = centres + rng.normal(0, 0.02, (num_boxes, 2))
    half = rng.uniform(0.02, 0.2, (num_boxes, 2))
    boxes = np.concatenate([centres - half, centres + half], axis=1).clip(0, 1)
    scores = rng.uniform(0, 1, (num_boxes, 3)) ** 2
    boxes[1, 2] = boxes[1, 0]
    scores[2] = np.nan
    scores[5:7] = scores[3]  # equal scores: the earlier one goes first
    return boxes.astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("thresholds", [None, (0.3, 0.6, 0.1)])
@pytest.mark.parametrize("vote_iou", [None, 0.65])
@pytest.mark.parametrize("keeps_aspect", [False, True])
@pytest.mark.parametrize("num_boxes", [16, 400])
def test_detections_are_those_of_python(scripts, thresholds, vote_iou, keeps_aspect, num_boxes):
    boxes, scores = outputs(num_boxes, seed=num_boxes)
    size, image_size = (90, 250), (48, 64)
    selection = replace(FOR_PEOPLE, score_threshold=0.05, max_detections=40)
    if thresholds is not None:
        selection = selection.with_thresholds(thresholds)
    postprocess = PostProcessDecoded(
        num_boxes, selection=selection, refinement=Refinement(vote_iou=vote_iou)
    )
    expected = _predictor(image_size, keeps_aspect, postprocess).finish([boxes, scores], size)
    model = {
        "image_size": image_size,
        "iou_threshold": 0.5,
        "across_classes_iou": 0.5,
        "max_detections": 40,
        "vote_iou": vote_iou,
    }
    found = call(
        scripts,
        "page/selection.js",
        f"""it.detections(
          {{boxes: new Float32Array(({_BYTES})(boxes).buffer),
           scores: new Float32Array(({_BYTES})(scores).buffer)}},
          {{height: size[0], width: size[1]}}, filled, model, score, thresholds)""",
        boxes=packed(boxes),
        scores=packed(scores),
        size=size,
        filled=letterboxed_size(size, image_size) if keeps_aspect else None,
        model=model,
        score=selection.score_threshold,
        thresholds=thresholds,
    )
    assert len(expected) > 5
    assert [one["class_id"] for one in found] == expected.class_ids.tolist()
    assert [one["score"] for one in found] == expected.scores.tolist()
    np.testing.assert_allclose([one["box"] for one in found], expected.boxes, atol=1e-4)


def test_nothing_above_the_score_is_no_detection(scripts):
    found = call(
        scripts,
        "page/selection.js",
        """it.detections({boxes: new Float32Array([0, 0, 1, 1]), scores: new Float32Array([0.3])},
          {height: 9, width: 9}, null, model, 0.3)""",
        model={"iou_threshold": 0.5, "across_classes_iou": 0.5, "vote_iou": 0.5},
    )
    assert found == []
