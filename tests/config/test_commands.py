"""Each command takes the settings that mean something there, and names them where it is not one."""

import pytest

from mindssd.config.commands import (
    EVAL_EXPORTED,
    EVAL_TRAINED,
    EVAL_UNDESCRIBED,
    EXPORT,
    require_taken,
)
from mindssd.config.keys import KEYS
from mindssd.errors import ConfigError


@pytest.mark.parametrize("taken", [EVAL_TRAINED, EVAL_EXPORTED, EVAL_UNDESCRIBED, EXPORT])
def test_what_a_command_takes_are_keys(taken):
    assert set(taken) <= set(KEYS) and "data_dir" in taken
    require_taken([f"{key}=x" for key in taken], taken, "`mindssd x`")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["image_size=512"], "image_size changes nothing here: `mindssd x` takes data_dir, "),
        (["data_dir=a", "seed=3"], "seed changes nothing here: "),
        (["schedule={learning_rate: 1}"], "schedule.learning_rate changes nothing here: "),
        (["schedule=1"], "schedule changes nothing here: "),
        (["batch_size=4"], "precision, deterministic; did you mean evaluation.batch_size?"),
        (["datadir=a"], "unknown key datadir: `mindssd x` takes data_dir, "),
        (["data=a"], "; did you mean data_dir?"),
        (["qqq=1"], "engine, precision, deterministic"),
        (["data_dir"], "'data_dir' is not key=value"),
    ],
)
def test_what_it_does_not_take_is_named_with_what_it_does(overrides, message):
    with pytest.raises(ConfigError) as caught:
        require_taken(overrides, EVAL_TRAINED, "`mindssd x`")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_group_of_taken_keys_may_be_given_whole():
    require_taken(["evaluation={batch_size: 4}"], EVAL_TRAINED, "`mindssd x`")
    with pytest.raises(ConfigError, match=r"evaluation\.every_epochs changes nothing here"):
        require_taken(["evaluation={every_epochs: 4}"], EVAL_TRAINED, "`mindssd x`")


def test_what_the_network_is_may_be_said_of_a_file_that_does_not_alone():
    network = ["image_size=64", "neck={kind: fpn}", "matching.variances=[0.1, 0.2]"]
    require_taken(network, EVAL_UNDESCRIBED, "`mindssd x`")
    with pytest.raises(ConfigError, match=r"head\.class_prior changes .* neck\.…, head\.kind, "):
        require_taken(["head.class_prior=0.1"], EVAL_UNDESCRIBED, "`mindssd x`")


def test_a_command_may_take_none():
    with pytest.raises(ConfigError, match="data_dir changes nothing here: it takes no settings"):
        require_taken(["data_dir=x"], (), "it")
