"""Some damaged data sets of each format; `python -m tests.fuzz` has no part in it."""

import random
from pathlib import Path

import pytest

from tests.fuzz.formats import examples, try_one


@pytest.mark.parametrize("format", examples())
def test_a_damaged_data_set_is_read_or_ends_in_one_line(format: str, tmp_path: Path) -> None:
    files = examples()[format]
    for seed in range(25):
        try_one(tmp_path / str(seed), files, random.Random(f"{format} {seed}"))
