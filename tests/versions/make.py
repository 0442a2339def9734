"""Write one format version's files, by the mindssd that is on the path; see README.md."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import onnx

CONFIG = """
inherits: ssd_mobilenetv2
engine: torch
device: CPU
precision: float32
image_size: 32
batch_size: 2
epochs: 10
num_workers: 0
backbone: {name: mobilenet_v2_035_96, out_indices: [1]}
neck: {kind: fpn, fpn_channels: 2, fpn_extra_levels: 0}
head: {kind: shared, tower_depth: 0, class_prior: 0.1}
default_boxes: {kind: grid, scales_per_octave: 1, grid_aspect_ratios: [1.0]}
schedule: {learning_rate: 0.005, warmup_epochs: 1}
augment: {crop_probability: 0, flip_probability: 0, colour_probability: 0}
evaluation: {every_epochs: 1}
"""


def write_data(folder: Path) -> None:
    """Four pictures of a red or a green square in COCO's layout, for training and validation."""
    images, annotations = [], []
    for index in range(4):
        name, category_id = f"{index}.png", (3, 7)[index % 2]
        picture = np.full((32, 32, 3), 90, np.uint8)
        x, y = 2 + 4 * index, 14 - 3 * index
        picture[y : y + 14, x : x + 14] = (230, 60, 50) if category_id == 3 else (60, 220, 90)
        for split in ("train2017", "val2017"):
            (folder / split).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / split / name), picture[:, :, ::-1])
        size = {"width": 32, "height": 32}
        images.append({"id": index + 1, "file_name": name, **size})
        box = {"bbox": [x, y, 14, 14], "area": 196, "iscrowd": 0}
        ids = {"id": index + 1, "image_id": index + 1, "category_id": category_id}
        annotations.append({**ids, **box})
    categories = [{"id": 3, "name": "red"}, {"id": 7, "name": "green"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


def mindssd(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "mindssd", *words], check=True)


def train(name: str, ended_after_an_evaluation: bool = False) -> Path:
    """The folder of a run on `data`; it can be ended in its second epoch."""
    folder, words = Path("runs", name), ["data_dir=data", f"name={name}"]
    command = [sys.executable, "-m", "mindssd", "train", "--config", "tiny.yaml", *words]
    with subprocess.Popen(command) as run:
        while ended_after_an_evaluation and run.poll() is None:
            log = folder / "log.jsonl"
            if log.exists() and '"evaluation"' in log.read_text():
                run.send_signal(signal.SIGTERM)
                break
            time.sleep(0.01)
    return folder


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def scramble(model: Path) -> None:
    """Give a model's layers random weights, so that it detects this and that."""
    from mindssd.weights.safetensors_file import read_model, write_model

    parameters, metadata = read_model(model)
    rng = np.random.default_rng(0)
    for name, value in parameters.items():
        if name.startswith(("neck.", "head.")) and name.endswith(".weight"):
            parameters[name] = rng.normal(0, 0.5, value.shape).astype(np.float32)
    write_model(model, parameters, metadata)


def reduce(target: Path) -> None:
    """Leave out where this machine keeps its files, in PyTorch's notes on nodes too."""
    config = target / "run" / "config.yaml"
    config.write_text(config.read_text().replace(f"{Path.cwd()}/", ""))
    model = onnx.load(target / "model.onnx")
    for part in (*model.graph.node, *model.graph.value_info, model.graph):
        del part.metadata_props[:]
    onnx.save(model, target / "model.onnx")


def main(target: Path) -> None:
    """Train, export and detect in the working folder, and copy what a version's folder keeps."""
    import mindssd as package

    write_data(Path("data"))
    Path("tiny.yaml").write_text(CONFIG)
    whole, half = train("whole"), train("half", ended_after_an_evaluation=True)
    scramble(whole / "best.safetensors")
    for kind in ("onnx", "mindir"):
        mindssd("export", str(whole / "best.safetensors"), "--format", kind)
    target.mkdir(parents=True)
    for source, kept in (
        (whole / "best.safetensors", "model.safetensors"),
        (whole / "best.onnx", "model.onnx"),
        (whole / "best.json", "model.mindir.json"),
        (half / "config.yaml", "run/config.yaml"),
        (half / "log.jsonl", "run/log.jsonl"),
        (half / "last" / "checkpoint.safetensors", "run/last/checkpoint.safetensors"),
    ):
        (target / kept).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / kept)
    reduce(target)
    picture = cv2.imread("data/val2017/0.png")[:, :, ::-1]
    found = package.load(whole / "best.safetensors", score_threshold=0.05)(picture)
    expected = {
        "boxes": found.boxes[:10].tolist(),
        "scores": found.scores[:10].tolist(),
        "class_ids": found.class_ids[:10].tolist(),
        "losses": {e["step"]: e["loss"] for e in events(whole) if e["event"] == "train"},
    }
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
