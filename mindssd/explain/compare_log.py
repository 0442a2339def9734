"""What the logs of runs say of their training, by epoch."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Points = list[tuple[float, float]]
"""(epoch, value)."""


@dataclass(frozen=True)
class Curves:
    """A run's loss and AP by epoch; where a resume did steps again, their last values."""

    loss: Points
    ap: Points


def read_curves(run: Path) -> Curves | None:
    """Read `log.jsonl` of a run's folder; None where there is none. Lines cut short are skipped."""
    try:
        text = (run / "log.jsonl").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    loss: dict[float, float] = {}
    ap: dict[float, float] = {}
    steps_per_epoch = 0.0
    for line in _lines(text.splitlines()):
        kind, step = line.get("event"), line.get("step")
        if not isinstance(step, int | float):
            continue
        if kind == "train" and _is_number(line.get("epoch")) and line["epoch"] > 0:
            steps_per_epoch = step / line["epoch"]
            if _is_number(line.get("loss")):
                loss[line["epoch"]] = float(line["loss"])
        elif kind == "evaluation" and _is_number(line.get("AP")) and steps_per_epoch:
            ap[step / steps_per_epoch] = float(line["AP"])
    return Curves(sorted(loss.items()), sorted(ap.items()))


def _lines(texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    for text in texts:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
