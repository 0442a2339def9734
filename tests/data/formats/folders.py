"""Folders of small pictures and annotations, laid out for a test as a tool writes them."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from mindssd.build.data import build_dataset, build_datasets, find_layout
from mindssd.config.load import load_config
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.formats.parsed import assemble


def picture(path: Path, width: int = 100, height: int = 50, seed: int | None = None) -> None:
    """Write a picture; each path has another content, unless `seed` says which."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = sum(os.fsencode(path)) if seed is None else seed
    pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write(folder: Path, files: dict[str, str | bytes | None]) -> Path:
    """Write files by their paths: texts as they are, a picture of 100 by 50 for None."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            picture(path)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
    return folder


def config_of(folder: Path, *overrides: str) -> Config:
    return load_config("ssd_mobilenetv2", [f"data_dir={folder}", *overrides])


def load(folder: Path, split: str = "train", *overrides: str) -> DetectionDataset:
    return build_dataset(config_of(folder, *overrides), split)


def load_all(folder: Path, *overrides: str) -> tuple[DetectionDataset, DetectionDataset]:
    """Training and validation images, split if need be."""
    train, val, _ = build_datasets(config_of(folder, *overrides))
    return train, val


def boxes(dataset: DetectionDataset) -> dict[str, list[tuple[object, ...]]]:
    """Each image's (class, x1, y1, x2, y2), rounded to a millionth."""
    found = {}
    for name, record in zip(dataset.file_names, dataset, strict=True):
        x, y, w, h = record.boxes_xywh.T
        corners = np.stack([x, y, x + w, y + h], axis=1).round(6) + 0.0
        classes = [dataset.class_names[label - 1] for label in record.labels.tolist()]
        found[name] = [(c, *box) for c, box in zip(classes, corners.tolist(), strict=True)]
    return found


def whats(dataset: DetectionDataset) -> list[str]:
    """Each finding without its example."""
    return [f"{finding.count} {finding.what}" for finding in dataset.report.findings]


def whole(folder: Path) -> DetectionDataset:
    """A data set in one part."""
    layout = find_layout(config_of(folder))
    assert layout.is_unsplit
    return assemble(layout.parts[layout.training or ""]())
