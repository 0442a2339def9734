"""A model as MindSpore's MindIR, which has no room for a description."""

from pathlib import Path

import msgspec

from mindssd.deploy.manifest import Manifest


def write_description(manifest: Manifest, target: Path) -> None:
    """Write the manifest as JSON beside the MindIR file at `target`."""
    strings = msgspec.json.encode(manifest.to_strings(target))
    target.with_suffix(".json").write_bytes(msgspec.json.format(strings, indent=1))
