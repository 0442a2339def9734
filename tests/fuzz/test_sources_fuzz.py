"""Some seconds of the fuzzing of prediction sources; `python -m tests.fuzz sources` goes on."""

from tests.fuzz import sources


def test_random_folders_give_each_source_its_results() -> None:
    assert sources.run(seed=0, seconds=4, say=lambda line: None) == []
