"""The settings that a command takes beside a model; the model has decided the others."""

from collections import Counter
from collections.abc import Sequence

from mindssd.config.keys import GROUPS, KEYS, did_you_mean, flatten
from mindssd.config.load import read_overrides
from mindssd.errors import ConfigError

_DATA = ("data_dir", "format", "val_share", "group_by")
_EVALUATED = (*_DATA, "evaluation.protocol", "evaluation.batch_size")

_DETECTED = ("detection.soft_sigma", "detection.vote_iou")
EVAL_TRAINED = (*_EVALUATED, *_DETECTED, "device", "engine", "precision", "deterministic")
EVAL_EXPORTED = (*_EVALUATED, "device", "precision")

_NETWORK = (
    *("image_size", "image_fit", "backbone.name", "backbone.out_indices"),
    *(key for key, found in KEYS.items() if found.kinds and key != "head.class_prior"),
    *("matching.variances", "normalization.mean", "normalization.std"),
)

EVAL_UNDESCRIBED = (*EVAL_TRAINED, *_NETWORK)
"""Of a file that does not say what network it holds, that too."""

EXPORT = (*_DATA, "device", "engine", "deterministic")


def require_taken(overrides: Sequence[str], taken: Sequence[str], command: str) -> None:
    """Raise ConfigError, which names the keys taken, for an override of another key."""
    groups = {key.partition(".")[0] for key in taken if "." in key}
    for key, _ in flatten(read_overrides(overrides)):
        if key in taken or key in groups:  # a group that is no mapping is for others to refuse
            continue
        known = key in KEYS or key in GROUPS
        takes = f"{command} takes {_listed(taken)}{did_you_mean(key, taken)}"
        if known:
            raise ConfigError(f"{key} changes nothing here: {takes}")
        raise ConfigError(f"unknown key {key}: {takes}")


def _listed(keys: Sequence[str]) -> str:
    """The keys, and where a group has many its name for them."""
    if not keys:
        return "no settings"
    groups = Counter(key.partition(".")[0] for key in keys)
    names = (key if groups[group := key.partition(".")[0]] <= 3 else f"{group}.…" for key in keys)
    return ", ".join(dict.fromkeys(names))
