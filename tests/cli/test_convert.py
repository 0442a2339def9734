"""`mindssd convert` writes a data set in another format."""

from typer.testing import CliRunner

from mindssd.cli.main import app
from tests.data.formats.folders import load, write

LINE = "0 0.5 0.5 0.2 0.4\n"
FILES = {"train/a.png": None, "train/a.txt": LINE, "val/b.png": None, "val/b.txt": LINE}


def test_it_tells_what_it_read_and_wrote(tmp_path):
    source, out = write(tmp_path / "in", {**FILES, "classes.txt": "cat\n"}), tmp_path / "out"
    words = ["convert", str(source), "--to", "voc", "--out", str(out), "--format", "yolo", "--fix"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert f"{source} (YOLO, train): 1 images, 1 boxes" in done.output
    assert done.output.endswith(f"{out}: val: 1 images, 1 boxes\n")
    assert load(out)[0].boxes.tolist() == [[40, 15, 60, 35]]
    assert (out / "changes.csv").read_text() == "part,what,which\n"
