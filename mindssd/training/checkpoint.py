"""What a resume needs, in one file: parameters, the optimizer's state, and where the run stood."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mindssd.config.versions import (
    FORMAT_VERSION,
    KEY,
    Content,
    Steps,
    read_version,
    upgrade,
)
from mindssd.engines.base import Parameters, StepperState
from mindssd.errors import WeightsError
from mindssd.types import Array
from mindssd.weights.atomic import atomic_writer, read_bytes

FORMAT = "mindssd-checkpoint"


@dataclass(frozen=True)
class Origin:
    """What decides, beside the weights, what a run's steps are; a checkpoint has its own."""

    settings: Mapping[str, Any]
    """The configuration's keys that training depends on (`schedule.learning_rate`) and values."""
    class_names: Sequence[str]
    num_images: int
    dataset: str
    """The training data's fingerprint."""
    num_devices: int

    @property
    def images_per_step(self) -> int:
        """Of all devices together."""
        return int(self.settings["batch_size"]) * self.num_devices

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.num_images / self.images_per_step)


@dataclass(frozen=True)
class Checkpoint:
    """A run between two steps."""

    parameters: Parameters
    stepper: StepperState
    step: int
    """The number of steps done."""
    origin: Origin
    best: float | None
    """The best score so far; None before the first evaluation."""
    skipped_steps: int
    elapsed_s: float
    evaluation_due: bool = False
    """Written between an epoch's last step and its evaluation."""
    unlogged: Sequence[Sequence[Any]] = ()
    """The figures (`StepResult`) of the steps that the next line of the log will be the mean of."""
    losses: Mapping[str, Any] = field(default_factory=dict)
    """What `Losses` knows; nothing of a run of version 1."""
    aps: Sequence[float] = ()
    """Of all evaluations in turn; none of a run of before they were kept."""
    since_best: int = 0
    """Evaluations without a better score."""
    format_version: int = FORMAT_VERSION
    """Of the file that it was read from; the origin's settings are as that version has them."""


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically and flushed, and keep the one before, if that is whole, as the previous one.

    At each moment `read_newest` finds a whole one, once there has been any: a damaged file never
    takes the previous one's place.
    """
    keeps = _is_whole(path)
    arrays = _prefixed("parameters/", checkpoint.parameters)
    arrays |= _prefixed("stepper/", checkpoint.stepper.arrays)
    position = {
        KEY: FORMAT_VERSION,
        "scalars": checkpoint.stepper.scalars,
        "step": checkpoint.step,
        "origin": asdict(checkpoint.origin),
        "best": checkpoint.best,
        "skipped_steps": checkpoint.skipped_steps,
        "elapsed_s": checkpoint.elapsed_s,
        "evaluation_due": checkpoint.evaluation_due,
        "unlogged": checkpoint.unlogged,
        "losses": checkpoint.losses,
        "aps": checkpoint.aps,
        "since_best": checkpoint.since_best,
    }
    metadata = {"format": FORMAT, "position": json.dumps(position)}
    metadata["checksum"] = _checksum(arrays, metadata["position"])
    content = save(arrays, metadata=metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path, keep_old_as=previous_file(path) if keeps else None) as file:
        file.write(content)


def previous_file(path: Path) -> Path:
    """Where the checkpoint before the one at `path` is kept."""
    return path.with_name(f"previous-{path.name}")


def has_checkpoint(path: Path) -> bool:
    """Whether there is anything that `read_newest` could read."""
    return path.is_file() or previous_file(path).is_file()


def read_newest(path: Path) -> tuple[Checkpoint, str | None]:
    """The checkpoint at `path`, or where that is damaged or missing the one before, and then why.

    It is missing where the process was killed between the two renames of a write.
    """
    try:
        return read_checkpoint(path), None
    except WeightsError as error:
        if not previous_file(path).exists():
            raise
        reason = str(error) if path.exists() else f"{path} is missing"
        return read_checkpoint(previous_file(path)), reason


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote, in this version or an earlier one.

    WeightsError where it is missing, broken or not ours; VersionError where a newer mindssd wrote
    it.
    """
    content = read_bytes(path)
    try:
        arrays = load(content)
        header_length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + header_length])["__metadata__"]
        if metadata["format"] != FORMAT:
            raise KeyError("format")
        if metadata["checksum"] != _checksum(arrays, metadata["position"]):
            raise ValueError("its checksum differs: it was damaged after it was written")
        position = json.loads(metadata["position"])
        found = read_version(position.get(KEY), str(path))
        position = upgrade(position, found, _STEPS)
        return Checkpoint(
            parameters=_without_prefix("parameters/", arrays),
            stepper=StepperState(_without_prefix("stepper/", arrays), position["scalars"]),
            step=position["step"],
            origin=Origin(**position["origin"]),
            best=position["best"],
            skipped_steps=position["skipped_steps"],
            elapsed_s=position["elapsed_s"],
            evaluation_due=position["evaluation_due"],
            unlogged=position["unlogged"],
            losses=position["losses"],
            # Not in files that were written before scores were smoothed, of either version.
            aps=position.get("aps", ()),
            since_best=position.get("since_best", 0),
            format_version=found,
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a checkpoint that a run can resume from ({error!r})"
        ) from error


def _from_version_1(position: Content) -> Content:
    return {"losses": {}, **position}


_STEPS: Steps = {1: _from_version_1}


def _is_whole(path: Path) -> bool:
    """Whether a checkpoint is at `path`, every bit of it as it was written."""
    try:
        read_checkpoint(path)
    except WeightsError:
        return False
    return True


def _checksum(arrays: Mapping[str, Array], position: str) -> str:
    """A digest of names, types, shapes and values, so that no damaged bit goes unseen."""
    digest = hashlib.blake2b(position.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {prefix + name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _without_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
