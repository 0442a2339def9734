"""Claim: TensorFlow Lite's and ncnn's files give what the ONNX file gives, and how fast.

Runs files of `mindssd export`, all of one model, on the same drawn picture: the largest differences
of boxes and scores from the first file's, and how long the network takes against it, medians of
runs in turn, each file with one thread.

    python benchmarks/edge_files.py model.onnx model.tflite model.int8.tflite model.ncnn.param
"""

import argparse
import time
from pathlib import Path

import numpy as np

from mindssd.build.model import deployed_predictor
from mindssd.deploy.bench import drawn_photo
from mindssd.deploy.sessions.opening import open_session
from mindssd.deploy.sessions.session import RuntimeSettings
from mindssd.images import decode_image

ROUNDS, RUNS = 10, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path, help="what the others are compared with")
    parser.add_argument("others", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    paths = [arguments.first, *arguments.others]
    sessions = [open_session(path, RuntimeSettings(threads=arguments.threads)) for path in paths]
    predictor = deployed_predictor(sessions[0], sessions[0].manifest.shown(), batch_size=1)
    image = predictor.prepare(decode_image(drawn_photo(), "photo"))[None]
    height, width = sessions[0].manifest.metadata.image_size
    outputs = [session.forward(image) for session in sessions]
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(ROUNDS):
        for session, own in zip(sessions, times, strict=True):
            for run in range(RUNS):
                start = time.perf_counter()
                session.forward(image)
                if run > 0:  # the first finds the other's data in the caches
                    own.append(time.perf_counter() - start)
    first = float(np.median(times[0]))
    for path, session, (boxes, scores), own in zip(paths, sessions, outputs, times, strict=True):
        pixels = np.abs(boxes - outputs[0][0]) * np.array([width, height] * 2)
        median = float(np.median(own))
        print(
            f"{path.name}, {session.description}: boxes differ by at most {pixels.max():.2g} "
            f"pixels, scores by {np.abs(scores - outputs[0][1]).max():.2g}; network "
            f"{1000 * median:.1f} ms, {median / first:.2f} times the first's"
        )


if __name__ == "__main__":
    main()
