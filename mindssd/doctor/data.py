"""Checks of a data set."""

from pathlib import Path

from mindssd.build.data import build_dataset
from mindssd.config.schema import Config
from mindssd.data.dataset import DetectionDataset
from mindssd.data.splits import paired, require_boxes
from mindssd.doctor.finding import Finding
from mindssd.errors import MindSSDError, printable
from mindssd.platform import as_typed


def check_data(data_dir: Path) -> list[Finding]:
    """Both splits of a data set: layout, annotations, image files, their sizes and classes."""

    findings: list[Finding] = []
    together: list[Finding] = []
    datasets: dict[str, DetectionDataset] = {}
    config = Config(data_dir=str(data_dir))
    for split in ("train", "val"):
        try:
            datasets[split] = build_dataset(config, split, all_sizes=True)
        except MindSSDError as error:
            findings.append(Finding("problem", f"data {split}", str(error)))
    try:
        if "train" in datasets:
            require_boxes(datasets["train"])
        if len(datasets) > 1:
            datasets["val"] = paired(datasets["train"], datasets["val"])
    except MindSSDError as error:
        together.append(Finding("problem", "data", str(error)))
    for split, dataset in datasets.items():
        report = dataset.report
        shown = printable(", ".join(dataset.class_names[:5])) + (
            ", …" if len(dataset.class_names) > 5 else ""
        )
        text = (
            f"{report.num_images} images, {report.num_boxes} boxes, "
            f"{len(dataset.class_names)} classes ({shown})"
        )
        findings.append(Finding("ok" if report.num_boxes else "warning", f"data {split}", text))
        findings += [Finding("warning", f"data {split}", str(fault)) for fault in report.findings]
    if datasets:
        closer = Finding("ok", "data", f"more about it:  mindssd inspect {as_typed(data_dir)}")
        together.append(closer)
    return findings + together
