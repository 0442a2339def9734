"""The service's page in Chromium: pictures come in, boxes stand where the service says."""

import pytest

from mindssd.build.model import load
from tests.chromium import Page, chromium
from tests.deploy.conftest import random_outputs
from tests.serve.conftest import picture, png, running
from tests.serve.test_access import described
from tests.viewing import BOXES, ON_SCREEN, bring, drop, serious, slide


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as one:
        yield one


def show(page: Page, port: int, **own) -> None:
    page.open(f"http://127.0.0.1:{port}/", **own)
    page.wait_for("document.getElementById('about')?.textContent.includes('3 classes')")


def expected(model, image, score):
    detections = load(model, score_threshold=score)(image)
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in detections.boxes.astype(float)]


@pytest.mark.parametrize("event", [("DragEvent", "drop"), ("ClipboardEvent", "paste")])
def test_a_picture_has_its_boxes_where_the_service_says_and_the_slider_filters(
    page, one, model, event
):
    image = picture(3)
    show(page, one.port)
    page.requested.clear()
    bring(page, image, event=event)
    for score in (0.3, 0.5, 0.8):
        slide(page, score)
        boxes = expected(model, image, score)
        assert len(boxes) > 0
        assert page.run(BOXES) == [pytest.approx(box, abs=1e-3) for box in boxes]
        shares = [[x / 120, y / 90, w / 120, h / 90] for x, y, w, h in boxes]
        # The line of 2 pixels is around it: no more than 3 of some 300.
        assert page.run(ON_SCREEN) == [pytest.approx(box, abs=0.02) for box in shares]
        assert page.run("document.getElementById('count').textContent").startswith(f"{len(boxes)} ")
    asked = [address for address in page.requested if "/v1/detect" in address]
    assert len(asked) == 1  # the slider asks nothing
    own = (f"http://127.0.0.1:{one.port}/", "blob:")
    assert all(address.startswith(own) for address in page.requested)
    assert not [line for line in page.console if '"level": "error"' in line], page.console


def test_a_class_is_put_out_by_its_box_and_hover_lights_one_alone(page, one, model):
    show(page, one.port)
    bring(page, picture(3))
    slide(page, 0.3)
    names = "[...document.querySelectorAll('#list .name')].map((one) => one.textContent)"
    before = page.run(names)
    assert "dog" in before and len(set(before)) > 1
    page.run("document.querySelector('#classes input[data-name=dog]').click()")
    assert page.run(names) == [name for name in before if name != "dog"]
    page.run("document.querySelector('#list button').focus()")
    assert page.run("document.querySelectorAll('#boxes rect.lit').length") == 1
    assert page.run("document.querySelectorAll('#boxes g.dim').length") == len(page.run(names)) - 1


def test_a_picture_that_cannot_be_read_is_said_and_the_next_one_is_looked_at(page, one):
    show(page, one.port)
    drop(page, {"cut.png": png(picture(1))[:150]})
    text = page.wait_for("document.querySelector('#status.fault')?.textContent")
    assert text.startswith("cut.png: ") and "truncated" in text
    page.run("document.getElementById('status').textContent = ''")
    bring(page, picture(3), picture(4))
    assert page.run("document.querySelectorAll('#pictures button').length") == 2


@pytest.mark.parametrize("token", ["sesame", "sésame", "芝麻"])
def test_the_token_is_asked_for_and_borne(page, model, token):
    with running(model, token=token) as service:
        page.open(f"http://127.0.0.1:{service.port}/")
        page.wait_for("document.getElementById('token-form')?.hidden === false")
        page.run(f"""(() => {{
          document.getElementById("token").value = "{token}";
          document.getElementById("token-form").requestSubmit();
        }})()""")
        page.wait_for("document.getElementById('about').textContent.includes('3 classes')")
        bring(page, picture(3))


def test_a_model_with_thresholds_of_its_own_is_shown_by_them_until_the_slider_moves(page, tmp_path):
    own = {"cat": 0.45, "dog": 0.603, "hen": 0.75}
    path = described(tmp_path, thresholds=own)
    with running(path) as service:
        show(page, service.port)
        bring(page, picture(3))
        assert page.run("document.getElementById('own').checked")
        assert page.run(BOXES) == [
            pytest.approx(box, abs=1e-3) for box in expected(path, picture(3), None)
        ]
        slide(page, 0.5)
        assert page.run(BOXES) == [
            pytest.approx(box, abs=1e-3) for box in expected(path, picture(3), 0.5)
        ]


def test_the_webcam_is_looked_at_until_it_is_stopped(page, one):
    """Chromium's own picture of a camera that is none."""
    show(page, one.port)
    page.run("document.getElementById('webcam').click()")
    page.wait_for("document.getElementById('status').textContent.endsWith('ms a picture')")
    page.run("document.getElementById('webcam').click()")
    assert page.run("document.getElementById('webcam').getAttribute('aria-pressed')") == "false"
    page.wait_for("!document.getElementById('picture').hidden")


def test_a_file_that_is_no_picture_is_said_to_be_none(page, one):
    show(page, one.port)
    page.run("""(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(["words"], "notes.txt", {type: "text/plain"}));
      document.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, cancelable: true}));
    })()""")
    text = page.wait_for("document.querySelector('#status.fault')?.textContent")
    assert text == "notes.txt: is no picture"


def test_another_model_looks_again_and_leaves_no_boxes_of_the_first(page, model, deploy):
    other = deploy(random_outputs(seed=5), name="other.onnx")
    with running(model, other) as service:
        show(page, service.port)
        bring(page, picture(3))

        def choose(name: str) -> None:
            page.run(f"""(() => {{
              const list = document.getElementById("model");
              list.value = "{name}";
              list.dispatchEvent(new Event("change"));
            }})()""")

        choose("other")
        boxes = [pytest.approx(box, abs=1e-3) for box in expected(other, picture(3), 0.3)]
        page.wait_for(f"{BOXES}.length === {len(boxes)}")
        page.wait_for("document.getElementById('status').textContent === ''")
        assert page.run(BOXES) == boxes
        page.run("window.fetch = () => Promise.reject(new Error('gone')); true")
        choose("model")
        page.wait_for("document.querySelector('#status.fault')?.textContent")
        assert page.run(BOXES) == []


def test_a_webcam_that_is_asked_for_twice_is_had_once(page, one):
    show(page, one.port)
    page.run("""(() => {
      const devices = navigator.mediaDevices, had = devices.getUserMedia.bind(devices);
      window.asked = 0;
      devices.getUserMedia = (wanted) => { window.asked += 1; return had(wanted); };
      for (let i = 0; i < 2; i += 1) document.getElementById("webcam").click();
    })()""")
    page.wait_for("document.getElementById('status').textContent.endsWith('ms a picture')")
    assert page.run("window.asked") == 1
    page.run("document.getElementById('webcam').click()")
    page.wait_for("!document.getElementById('video').srcObject.active")


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)]
)
def test_the_page_fits_its_window_and_axe_finds_nothing_serious(page, one, width, dark):
    show(page, one.port, width=width, dark=dark)
    bring(page, picture(3), picture(4))
    assert page.run("document.documentElement.scrollWidth") <= width
    ground = page.run("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 23, 26)") == dark
    assert serious(page) == []
