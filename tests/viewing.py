"""What a person does on the page on which detections are looked at, and sees there."""

import base64
import json
from typing import Any

import cv2

from mindssd.types import Array
from tests.browser import axe_core
from tests.chromium import Page

DROP = """(() => {
  const transfer = new DataTransfer();
  for (const [name, content] of %s) {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    transfer.items.add(new File([bytes], name, {type: "image/png"}));
  }
  const [kind, event] = %s;
  const type = {DragEvent, ClipboardEvent}[kind];
  document.dispatchEvent(new type(event, {
    dataTransfer: transfer, clipboardData: transfer, bubbles: true, cancelable: true}));
})()"""

BOXES = """[...document.querySelectorAll("#boxes rect.box")].map((rect) =>
  ["x", "y", "width", "height"].map((name) => Number(rect.getAttribute(name)))).reverse()"""

ON_SCREEN = """(() => {
  const image = document.getElementById("picture").getBoundingClientRect();
  return [...document.querySelectorAll("#boxes rect.box")].reverse().map((rect) => {
    const box = rect.getBoundingClientRect();
    return [(box.left - image.left) / image.width, (box.top - image.top) / image.height,
            box.width / image.width, box.height / image.height];
  });
})()"""


DROPPED = ("DragEvent", "drop")
PASTED = ("ClipboardEvent", "paste")


def drop(page: Page, files: dict[str, bytes], event: tuple[str, str] = DROPPED) -> None:
    """Drop or paste files, by their names."""
    packed = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
    page.run(DROP % (json.dumps(packed), json.dumps(event)))


def bring(page: Page, *images: Array, event: tuple[str, str] = DROPPED) -> None:
    """Drop or paste pictures as PNG, and wait until the last one's detections are there."""
    content = (cv2.imencode(".png", image[:, :, ::-1])[1].tobytes() for image in images)
    drop(page, {f"{index}.png": data for index, data in enumerate(content)}, event)
    page.wait_for("document.querySelectorAll('#boxes rect.box').length > 0")
    page.wait_for("document.getElementById('picture').complete")
    page.wait_for("document.getElementById('status').textContent === ''")


def slide(page: Page, score: float) -> None:
    page.run(f"""(() => {{
      const slider = document.getElementById("score");
      slider.value = {score};
      slider.dispatchEvent(new Event("input"));
    }})()""")


def serious(page: Page) -> list[Any]:
    """What axe-core finds serious or critical on a page as it is."""
    page.run(axe_core() + ";true")
    found = page.run("axe.run(document, {resultTypes: ['violations']}).then((x) => x.violations)")
    return [
        (one["id"], one["nodes"][0]["html"][:200])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
