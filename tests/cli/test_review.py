"""`mindssd review` and `mindssd suggest`: their words, and what they end with."""

import pytest


def test_what_a_review_needs_is_named(mindssd, tmp_path, monkeypatch, shapes_dir):
    monkeypatch.chdir(tmp_path)
    assert mindssd("review").fault.startswith("--out FOLDER says where the review is kept")
    assert mindssd("review", "--out", "r").fault.startswith("data_dir is not set")
    assert mindssd("review", "--resume", "absent").fault.startswith("absent is no folder of a rev")
    fault = mindssd("review", "--resume", "r", "epochs=3").fault
    assert fault == "--resume goes on with the review's own settings; leave others out"
    fault = mindssd("review", "--out", "r", "--apply", "d.csv").fault
    assert fault.startswith("--apply FILE needs --out REVIEW and --to FOLDER")
    fault = mindssd("review", "--out", "r", "--apply", "d.csv", "--to", "c", "epochs=3").fault
    assert fault.startswith("--apply takes the review's own settings")
    fault = mindssd("review", "--out", "r", f"data_dir={shapes_dir}", "val_share=0.3").fault
    assert fault.startswith("val_share changes nothing here")
    assert not (tmp_path / "r").exists()


def test_a_suggestion_names_what_is_wrong(mindssd, tmp_path, untrained_model):
    fault = mindssd("suggest", untrained_model, tmp_path / "no", "--out", tmp_path / "o").fault
    assert fault.startswith(f"{tmp_path / 'no'}: no such folder")
    (tmp_path / "a").mkdir()
    done = mindssd("suggest", tmp_path / "no.safetensors", tmp_path / "a", "--out", tmp_path / "o")
    assert done.status == 1


@pytest.mark.slow
def test_a_review_ends_with_a_page_and_a_corrected_copy(
    mindssd, quick_config, quickest_engine, shapes_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings = [f"data_dir={shapes_dir}", "epochs=1", "num_workers=0", f"engine={quickest_engine}"]
    words = ["review", "--config", quick_config, "--folds", "2", "--out", "r", *settings]
    done = mindssd(*words)
    assert done.status == 0, done.err
    assert "cross-validated mAP" in done.out
    assert (tmp_path / "r" / "index.html").is_file()
    assert mindssd(*words).status == 0  # the same command goes on, and has nothing left to do
