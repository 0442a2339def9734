"""Claim: an exported page of MobileNetV2 for 80 classes has at most 25 MB, runtime included.

And what a picture costs in it, of which nothing is claimed: the page's worker in headless Chromium,
with one thread of WebAssembly as any static server gives it, and then the same file by ONNX Runtime
with one thread, resizing and suppression included, in one run. The least of several tells most on
a machine that has other work. On WebGPU, or with more threads, it is another.

    python benchmarks/web_page.py [model.onnx] [--pictures 30]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from deployed import made_apart

from mindssd.build.model import deployed_predictor
from mindssd.deploy.samples import drawn_images
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.deploy.targets.web.browser import find_browser, look_in_browser
from mindssd.deploy.targets.web.check import LOWEST_SCORE
from mindssd.deploy.targets.web.folder import MODEL, sizes, write_page
from mindssd.deploy.targets.web.runtime import runtime_files

CLAIMED_MB = 25.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", help="an export; by default MobileNetV2's")
    parser.add_argument("--pictures", type=int, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(asked.model or made_apart(Path(name)), Path(name) / "page", asked.pictures)


def measure(model: Path, page: Path, num_pictures: int) -> None:
    session = open_session(model, RuntimeSettings(device="CPU", threads=1))
    page.mkdir()
    shutil.copy(model, page / MODEL)
    write_page(page, session.manifest, model.stem, runtime_files())
    print(f"{sizes(page)} (claim: at most {CLAIMED_MB:g} MB)")
    program = find_browser()
    if program is None:
        raise SystemExit("there is no chromium on this machine")
    pictures = drawn_images(num_pictures)
    runtime, seen = look_in_browser(program, page, pictures, LOWEST_SCORE)
    in_browser = [one.found["milliseconds"] for one in seen]
    predictor = deployed_predictor(session, session.manifest.shown(), 1)
    predictor.warm_up()
    native = []
    for picture in pictures:
        start = time.perf_counter()
        predictor.detect([picture])
        native.append(1000 * (time.perf_counter() - start))
    for name, found in ((f"page, {runtime}", in_browser), ("ONNX Runtime, 1 thread", native)):
        print(f"{name}: {min(found):.1f} ms at least, median {statistics.median(found):.1f} ms")
    print(f"the page takes {min(in_browser) / min(native):.1f} times as long")


if __name__ == "__main__":
    main()
