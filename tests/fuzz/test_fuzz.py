"""Some cases of each fuzzer, always the same: `make fuzz` goes on from there."""

from tests.fuzz import images


def test_damaged_image_files_are_refused_or_read_as_pillow_reads_them() -> None:
    assert images.run(seed=0, seconds=-400, say=print) == []
