"""`mindssd tune`: its words, and what it ends with."""

from pathlib import Path

import pytest


def test_a_search_goes_on_with_its_own_settings(mindssd, tmp_path):
    fault = mindssd("tune", "--resume", tmp_path, "epochs=3").fault
    assert fault == "--resume goes on with the search's own settings; leave others out"


def test_what_a_search_needs_is_named(mindssd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mindssd("tune", "epochs=0").fault.startswith("small_data: epochs=0: expected ")
    assert mindssd("tune", "--config", "small").fault.startswith("small is neither a file nor a")
    assert mindssd("tune", "--resume", "absent").fault.startswith("absent is no folder of a search")
    assert mindssd("tune").fault.startswith("data_dir is not set")
    for setting in ("runs_dir=there", "evaluation.every_epochs=5", "evaluation.patience=5"):
        key = setting.partition("=")[0]
        assert mindssd("tune", setting).fault.startswith(f"{key} changes nothing here")
    assert not (tmp_path / "tunes").exists()


@pytest.mark.slow
def test_it_ends_with_a_table_a_recipe_and_a_model(
    mindssd, quickest_engine, quick_config, shapes_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    engine = f"engine={quickest_engine}"
    settings = [f"data_dir={shapes_dir}", "epochs=1", "num_workers=0", "name=mine", engine]
    done = mindssd("tune", "--config", quick_config, "--folds", "2", *settings)
    assert done.status == 0, done.err
    assert "mAP on folds" in done.out
    assert "as a recipe:  mindssd train --config tunes/mine/tuned.yaml" in done.out
    assert "validation images, used this once: mAP 0." in done.out
    (model,) = Path("tunes/mine").glob("final-*/best.safetensors")
    assert mindssd("eval", model, f"data_dir={shapes_dir}", engine).status == 0
    assert mindssd("tune", *settings).fault.startswith("tunes/mine holds a search already")
