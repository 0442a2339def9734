"""`mindssd predict --track` and its like: which options need which."""

import pytest
from typer.testing import CliRunner

from mindssd.cli.main import app
from mindssd.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--count-line", "0,0,1,1"], "--count-line is for --track"),
        (["--count-zone", "zone.json"], "--count-zone is for --track"),
        (["--count-anchor", "bottom"], "--count-anchor is for --track"),
        (["--reconnect-limit", "5"], "--reconnect-limit is for --reconnect"),
        (["--track", "--count-line", "0,0,1"], "has 3 numbers"),
        (["--track", "--count-zone", "/nowhere.json"], "cannot be read"),
        (["--reconnect", "--reconnect-limit", "0"], "expected seconds above 0"),
    ],
)
def test_options_that_do_not_fit_are_one_line(words: list[str], fault: str) -> None:
    done = CliRunner().invoke(app, ["predict", "model.onnx", "clip.mp4", *words])
    assert isinstance(done.exception, ConfigError) and fault in str(done.exception)
    assert "\n" not in str(done.exception)
