"""`mindssd export`: options and settings that mean nothing are named before any work."""

import pytest


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nms-score", 0.2], "--nms-score is for --nms: give both, or neither"),
        (["--nms-iou", 0.2], "--nms-iou is for --nms"),
        (["--nms-detections", 9], "--nms-detections is for --nms"),
        (["--max-loss", 0.2], "--max-loss is for --int8"),
        (["--force"], "--force is for --int8"),
        (["image_size=512"], "image_size changes nothing here: `mindssd export` takes data_dir, "),
        (["matching.variances=[0.2, 0.2]"], "matching.variances changes nothing here: "),
        (["datadir=x"], "; did you mean data_dir?"),
        (
            ["--format", "ckpt", "data_dir=x"],
            "data_dir changes nothing here: `mindssd export --format ckpt` takes no settings",
        ),
    ],
)
def test_what_means_nothing_to_an_export_is_refused(mindssd, tmp_path, words, expected):
    """Before even the model is looked for."""
    assert expected in mindssd("export", tmp_path / "absent.safetensors", *words).fault
