"""A model as MindSpore's checkpoint, under the names of MindCV's SSD example."""

from pathlib import Path

from rich.console import Console

from mindssd.build.network import network_spec
from mindssd.config.schema import Config
from mindssd.engines.base import ExtrasNeck
from mindssd.errors import WeightsError
from mindssd.weights.mindspore_checkpoint import read_checkpoint, write_checkpoint
from mindssd.weights.names import canonical_to_reference
from mindssd.weights.transfer import read_weights


def write_reference_checkpoint(path: Path, config: Config, target: Path, console: Console) -> None:
    """Write MindSpore's `.ckpt` under the names of MindCV's SSD example, and read it back."""
    parameters, _, _ = read_weights(path)
    neck = network_spec(config, num_classes=1).neck
    style = {"expand_first_style": neck.expand_first_style} if isinstance(neck, ExtrasNeck) else {}
    try:
        renamed = {canonical_to_reference(n, **style): value for n, value in parameters.items()}
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}; MindCV's example has no such network") from error
    write_checkpoint(target, renamed)
    found = read_checkpoint(target)
    if list(found) != list(renamed) or any((found[n] != renamed[n]).any() for n in renamed):
        raise WeightsError(f"{target.name}: read back, it is not what was written")
    console.print(f"{len(renamed)} tensors, read back the same", highlight=False)
