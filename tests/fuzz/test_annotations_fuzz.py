"""Some annotation files of the fuzzer, always the same."""

from tests.fuzz import annotations


def test_odd_annotation_files_are_a_line_of_error_or_a_data_set_that_holds_together() -> None:
    assert annotations.run(seed=0, seconds=-200, say=print) == []
