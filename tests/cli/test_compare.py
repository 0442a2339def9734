"""`mindssd compare`: the tables, the files, and runs that know their images."""

import json
import shutil

from mindssd.config.load import load_config, to_yaml


def test_runs_know_their_images_and_a_page_and_json_are_written(
    mindssd, untrained_model, shapes_dir, quick_config, quickest_engine, tmp_path
):
    runs = [tmp_path / "a", tmp_path / "b"]
    data_dir = shutil.copytree(shapes_dir, tmp_path / "a set: #1")
    config = load_config(str(quick_config), [f"data_dir={data_dir}"])
    for run in runs:
        run.mkdir()
        shutil.copy(untrained_model, run / "best.safetensors")
        (run / "config.yaml").write_text(to_yaml(config))
    files = ("--html", tmp_path / "page.html", "--json", tmp_path / "compare.json")
    done = mindssd("compare", *runs, f"engine={quickest_engine}", *files)
    assert (done.status, done.err) == (0, "")
    assert "12 validation images" in done.out and "both find" in done.out
    assert "b against a: AP +0.000" in done.out
    assert json.loads((tmp_path / "compare.json").read_text())["num_images"] == 12
    assert "<h2>In numbers</h2>" in (tmp_path / "page.html").read_text()


def test_a_model_that_is_no_run_needs_a_data_set(mindssd, untrained_model, tmp_path):
    copy = shutil.copy(untrained_model, tmp_path / "copy.safetensors")
    fault = mindssd("compare", untrained_model, copy).fault
    assert fault.endswith("is no run, which would know its images: give data_dir=PATH")
