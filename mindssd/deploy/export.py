"""Write a trained model as a file that runs elsewhere, and verify it before it gets its name."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from mindssd.build.model import described_config
from mindssd.build.published import find_model
from mindssd.config.commands import EXPORT, require_taken
from mindssd.config.load import override
from mindssd.deploy.exporter import Exporter
from mindssd.deploy.sessions.opening import is_deployed
from mindssd.deploy.settings import SUFFIXES, ExportSettings
from mindssd.deploy.targets.ckpt import write_reference_checkpoint
from mindssd.deploy.targets.web.folder import require_ours_or_none
from mindssd.errors import ConfigError
from mindssd.files import require_writable
from mindssd.weights.hub import is_hub_address, read_address
from mindssd.weights.transfer import read_description


def export_model(
    path: Path, settings: ExportSettings, overrides: Sequence[str], console: Console
) -> Path:
    """Make the file, verify it, and only then give it its name; returns that.

    `path` may be a published detector's name; the file is then by default of that name, here.
    `overrides` may set `data_dir`, whose validation images are then evaluated on both sides, and
    whose training images calibrate int8, and what the engine runs on. MindSSDError where the
    result is not the engine's, within tolerance; then no file is left.
    """
    if settings.format == "ckpt":
        require_taken(overrides, (), "`mindssd export --format ckpt`")
    require_taken(overrides, EXPORT, "`mindssd export`")
    shortened = "" if settings.precision == "float32" else f".{settings.precision}"
    suffix = shortened + SUFFIXES[settings.format]
    # A published detector's lies where the command is given, not in the cache.
    named = Path(read_address(path).name) if is_hub_address(path) else path.with_suffix("")
    out = (settings.out or named.with_name(named.name + suffix)).expanduser()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    path = find_model(path, say)
    if is_deployed(path):
        raise ConfigError(f"{path} is exported already; give the model that it was made from")
    metadata = read_description(path)
    if metadata is None:
        raise ConfigError(f"{path} does not describe itself; convert it first (docs/weights.md)")
    config = override(described_config(metadata, path), overrides)
    if settings.format == "web":
        out = out.absolute()  # the folder that "." is has a name
        require_ours_or_none(out)
    else:
        require_writable(out)
    if settings.int8 and config.data_dir is None:
        raise ConfigError("--int8 needs data_dir=PATH: training images to measure ranges on")
    with _unnamed(out) as temporary:
        if settings.format == "ckpt":
            write_reference_checkpoint(path, config, temporary, console)
        else:
            export = Exporter(path, config, metadata, settings, console)
            export.run(temporary)
    say(f"written: {out}")
    return out


@contextmanager
def _unnamed(out: Path) -> Iterator[Path]:
    """A place in a folder beside `out`; all files of that folder get their names at the end."""
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        yield Path(folder) / out.name
        # Weights before what names them, so that a reader never finds one without the other.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == out.name):
            if file.is_dir() and out.is_dir():  # which nothing replaces; it goes with this folder
                out.replace(Path(folder) / f"{out.name}.old")
            file.replace(out.parent / file.name)
