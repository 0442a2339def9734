"""`mindssd models`: what can be named where a model is asked for."""

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mindssd.errors import printable

if TYPE_CHECKING:
    from mindssd.build.models import NamedModel

_NUM_NAMES = 2


def models(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]…",
            help="Where runs are kept; by default runs/ and tunes/.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead.")] = False,
) -> None:
    """List the models that can be named: MindCV's published ones, and those of runs here.

    Each name may stand wherever a model is asked for, and in `initial_weights`:

    `mindssd predict ssd_mobilenetv2 photo.jpg`

    A published one is fetched when it is first named. AP is of a run's own validation images, and
    of the published ones MindCV's figure for COCO, each by the protocol beside it. Backbones, and
    fetching alone: `mindssd weights`.
    """
    from mindssd.build.models import named_models

    found = named_models(folders or None)
    if json:
        _print_json(found)
    else:
        _print_table(found)


def _print_json(found: Sequence["NamedModel"]) -> None:
    typer.echo(dumps([model.as_dict() for model in found], indent=2))


def _print_table(found: Sequence["NamedModel"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    has_own = any(model.thresholds for model in found)
    for heading in ("name", "classes", "image", "AP", *(["shown"] if has_own else [])):
        table.add_column(heading, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for model in found:
        own = [model.thresholds or ""] if has_own else []
        cells = (model.name, _classes(model), _image(model), _score(model), *own, _size(model))
        table.add_row(*map(Text, cells))
    console = Console()
    console.print(table)
    for model in found:
        if model.fault is not None:
            console.print(model.fault, markup=False, highlight=False, soft_wrap=True)
    if all(model.kind == "published" for model in found):
        console.print("no trained models here: mindssd train data_dir=PATH", highlight=False)


def _classes(model: "NamedModel") -> str:
    if model.fault is not None:
        return "cannot be read"
    more = ", …" if len(model.class_names) > _NUM_NAMES else ""
    names = ", ".join(map(printable, model.class_names[:_NUM_NAMES]))
    return f"{len(model.class_names)}: {names}{more}"


def _image(model: "NamedModel") -> str:
    if model.image_size is None:
        return ""
    height, width = model.image_size
    return f"{width}×{height}"


def _score(model: "NamedModel") -> str:
    ap = model.metrics.get("AP")
    if ap is None:
        return "–"
    return f"{ap:.3f}" + (f" {model.protocol}" if model.protocol else "")


def _size(model: "NamedModel") -> str:
    size = f"{model.num_bytes / 1e6:.1f} MB"
    return size if model.path is not None else f"{model.num_bytes / 1e6:.0f} MB to fetch"
