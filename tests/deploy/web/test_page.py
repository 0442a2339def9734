"""An exported page in Chromium: pictures come in, boxes stand where ONNX Runtime says."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mindssd.build.model import deployed_predictor, load
from mindssd.deploy.graph import describe, finish
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.targets.web import browser, check
from mindssd.deploy.targets.web.check import verify_page
from mindssd.errors import MindSSDError
from mindssd.images import decode_image
from mindssd.types import Array
from tests.browser import program
from tests.chromium import Page
from tests.deploy.conftest import CLASS_NAMES, DEFAULT_BOXES, manifest
from tests.deploy.web.conftest import ISOLATED, Static, call, page_of, static
from tests.viewing import BOXES, ON_SCREEN, PASTED, bring, drop, serious, slide


def picture(seed: int = 0, size: tuple[int, int] = (90, 120)) -> Array:
    """(H, W, 3) uint8 RGB: noise."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Static]:
    with static(folder) as one:
        yield one


def show(page: Page, address: str, **own: Any) -> str:
    """Open the page and wait for the model; what it says of that."""
    page.open(f"{address}/", **own)
    about = "document.getElementById('about')?.textContent"
    page.wait_for(f"location.href === '{address}/' && {about}?.includes('3 classes')")
    return str(page.run(about))


def test_a_picture_has_its_boxes_where_onnx_runtime_says_and_the_slider_filters(
    page: Page, server: Static, folder: Path
) -> None:
    assert show(page, server.address) == "3 classes, 64 × 48, WebAssembly, 1 thread"
    page.requested.clear()
    page.console.clear()
    image = picture(3)
    bring(page, image)
    for score in (0.3, 0.5, 0.8):
        slide(page, score)
        detections = load(folder / "model.onnx", score_threshold=score)(image)
        assert len(detections) > 0
        boxes = [[a, b, c - a, d - b] for a, b, c, d in detections.boxes.astype(float)]
        assert page.run(BOXES) == [pytest.approx(box, abs=1e-3) for box in boxes]
        shares = [[x / 120, y / 90, w / 120, h / 90] for x, y, w, h in boxes]
        # The line of 2 pixels is around it: no more than 3 of some 300.
        assert page.run(ON_SCREEN) == [pytest.approx(box, abs=0.02) for box in shares]
        count = page.run("document.getElementById('count').textContent")
        assert count.startswith(f"{len(boxes)} detections in ") and count.endswith(" ms")
    # The network is here; nothing is asked for, here or elsewhere, once the page stands.
    assert all(address.startswith("blob:") for address in page.requested)
    assert page.console == []


def test_a_pasted_picture_is_looked_at_and_a_class_put_out(page: Page, server: Static) -> None:
    show(page, server.address)
    bring(page, picture(3), event=PASTED)
    names = "[...document.querySelectorAll('#list .name')].map((one) => one.textContent)"
    before = page.run(names)
    assert "dog" in before and len(set(before)) > 1
    page.run("document.querySelector('#classes input[data-name=dog]').click()")
    assert page.run(names) == [name for name in before if name != "dog"]


def test_a_picture_that_comes_while_the_model_is_loaded_is_looked_at_then(
    page: Page, server: Static
) -> None:
    page.open(f"{server.address}/?early")
    page.wait_for(
        "location.search === '?early' && document.readyState !== 'loading'"
        " && document.getElementById('unstarted') === null"
    )
    bring(page, picture(3))


def test_the_webcam_is_looked_at_until_it_is_stopped(page: Page, server: Static) -> None:
    show(page, server.address)
    page.run("document.getElementById('webcam').click()")
    page.wait_for("document.getElementById('status').textContent.endsWith('ms a picture')")
    page.run("document.getElementById('webcam').click()")
    page.wait_for("!document.getElementById('picture').hidden")


def test_what_is_no_picture_is_said_and_the_next_one_looked_at(page: Page, server: Static) -> None:
    show(page, server.address)
    drop(page, {"notes.png": b"no picture"})
    text = page.wait_for("document.querySelector('#status.fault')?.textContent")
    assert text == "notes.png: is no picture that this browser reads"
    page.run("document.getElementById('status').textContent = ''")
    bring(page, picture(3))


def test_where_the_page_is_isolated_it_has_threads_and_finds_the_same(
    page: Page, server: Static, folder: Path
) -> None:
    found = []
    with static(folder, **ISOLATED) as isolated:
        for one in (server, isolated):
            about = show(page, one.address)
            bring(page, picture(3))
            found.append(page.run(BOXES))
    cores = page.run("Math.min(8, navigator.hardwareConcurrency)")
    assert about.endswith("1 thread" if cores == 1 else f"{cores} threads")
    assert found[0] == [pytest.approx(box, abs=1e-3) for box in found[1]]


def test_a_photograph_is_upright_and_transparency_white(page: Page, server: Static) -> None:
    show(page, server.address)
    exif = Image.Exif()
    exif[0x0112] = 6
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[:, :30] = (200, 40, 40)
    for image, words in (
        (Image.fromarray(colours), {"format": "JPEG", "exif": exif, "quality": 100}),
        (Image.fromarray(np.dstack([colours, colours[:, :, 0]])), {"format": "PNG"}),
    ):
        file = io.BytesIO()
        image.save(file, **words)
        expected = decode_image(file.getvalue(), "image")
        found = call(
            page,
            "page/pixels.js",
            """it.pixels(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))])).then(
              ({ height, width, data }) => [height, width, [...data]])""",
            data=base64.b64encode(file.getvalue()).decode(),
        )
        height, width, data = found
        assert (height, width) == expected.shape[:2]
        read = np.array(data, np.uint8).reshape(height, width, 4)[:, :, :3]
        assert np.abs(read.astype(int) - expected).max() <= 3


def test_the_page_fits_its_window_and_axe_finds_nothing_serious(page: Page, server: Static) -> None:
    show(page, server.address)
    bring(page, picture(3), picture(4))
    for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
        page.look_as(width, dark=dark)
        assert page.run("document.documentElement.scrollWidth") <= width
        ground = page.run("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(20, 23, 26)") == dark
        assert serious(page) == []


def test_opened_as_a_file_it_says_that_it_wants_a_server(page: Page, folder: Path) -> None:
    page.open((folder / "index.html").as_uri())
    page.wait_for("location.protocol === 'file:' && document.readyState === 'complete'")
    page.wait_for("getComputedStyle(document.getElementById('unstarted')).visibility === 'visible'")
    assert "serve the folder" in page.run("document.getElementById('unstarted').innerText")


def test_its_own_thresholds_count_until_the_slider_is_moved(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    """A copy whose description has thresholds: cat 0.9, dog 0.3, hen 0.6."""
    thresholds = {"cat": 0.9, "dog": 0.3, "hen": 0.6}
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "model.json").unlink()
    model = json.loads((folder / "model.json").read_text())
    changed = {**model, "thresholds": list(thresholds.values()), "score": 0.3}
    (tmp_path / "model.json").write_text(json.dumps(changed))
    rows = """[...document.querySelectorAll('#list button')].map((one) =>
      [one.querySelector('.name').textContent, Number(one.querySelector('.number').textContent)])"""
    with static(tmp_path) as server:
        show(page, server.address)
        bring(page, picture(3))
        own = page.run(rows)
        assert {name for name, _ in own} == set(thresholds)
        assert all(score > thresholds[name] - 5e-4 for name, score in own)
        slide(page, 0.3)
        assert len(page.run(rows)) > len(own)
        page.run("document.getElementById('own').click()")
        assert page.run(rows) == own


def verified(folder: Path) -> list[str]:
    session = open_session(folder / "model.onnx", RuntimeSettings(device="CPU"))
    manifest = session.manifest
    said: list[str] = []
    predictor = deployed_predictor(session, manifest.shown(), 1)
    verify_page(folder, manifest, predictor, [picture(1), picture(2, (50, 40))], said.append)
    return said


def test_a_page_is_verified_and_one_that_sees_otherwise_refused(
    folder: Path, tmp_path: Path
) -> None:
    program()
    (said,) = verified(folder)
    assert "WebAssembly, 1 thread" in said and "ms an image; 2 images: boxes differ" in said
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "model.json").unlink()
    model = json.loads((folder / "model.json").read_text())
    for wrong, words in (
        (
            {"mean": [0.4, 0.5, 0.5]},
            "the page does not find what the engine finds: 2 images: boxes",
        ),
        ({"image_size": 3}, "the page fails in .*chromium"),
    ):
        (tmp_path / "model.json").write_text(json.dumps({**model, **wrong}))
        with pytest.raises(MindSSDError, match=words):
            verified(tmp_path)


def test_a_page_runs_a_networks_operators_as_onnx_runtime_does(
    runtime: dict[str, bytes], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Gates, hard-swish, and maps that are enlarged and added, as in a feature pyramid."""
    program()
    from tests.deploy.test_edge_files import drawn_graph

    path = tmp_path / "model.onnx"
    boxes, num_classes = DEFAULT_BOXES.boxes_cxcywh, len(CLASS_NAMES)
    model = finish(drawn_graph(), boxes, (0.1, 0.2), num_classes, None)
    describe(model, manifest(), path)
    path.write_bytes(model.SerializeToString())
    (said,) = verified(page_of(path, runtime, tmp_path_factory))
    assert "2 images: boxes differ by at most" in said


def test_without_a_browser_or_with_one_that_does_not_start_that_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check, "find_browser", lambda: None)
    assert verified(folder) == ["not verified in a browser: there is no chromium on this machine"]
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setattr(check, "find_browser", lambda: str(broken))
    assert verified(folder) == [f"not verified in a browser: {broken} ended with status 3"]
    monkeypatch.setattr(check, "find_browser", lambda: str(tmp_path / "none"))
    assert "cannot be started: No such file" in verified(folder)[0]


def test_a_page_may_take_long_if_each_picture_comes_within_the_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    class Browser:
        """One that takes so long for a picture, of four, and gives its boxes or does not."""

        def __init__(self, seconds: float, gives: bool) -> None:
            self.seconds, self.gives, self.post = seconds, gives, browser.Post([], 0.05)
            self.post.ended.wait = lambda _: len(self.post.parts) == 4  # type: ignore[assignment]

        def poll(self) -> None:
            nonlocal now
            now += self.seconds
            if self.gives:
                self.post.parts[f"/boxes/{now}"] = b""

    monkeypatch.setattr(browser.time, "monotonic", lambda: now)
    slow, silent = Browser(200, gives=True), Browser(200, gives=False)
    browser.wait_for_end(slow.post, slow, "chromium")  # type: ignore[arg-type]
    with pytest.raises(browser.NotTriedError, match="chromium gave nothing for 300 s"):
        browser.wait_for_end(silent.post, silent, "chromium")  # type: ignore[arg-type]
