"""`mindssd weights`: the published backbones, what is in the cache, and fetching them."""

from typing import Annotated

import typer

from mindssd.errors import WeightsError

_USAGE = "use `mindssd weights`, `mindssd weights fetch NAME…` or `mindssd weights fetch all`"


def weights(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="fetch NAME",
            help="Nothing, to list; `fetch NAME…` or `fetch all`, to download.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List MindCV's published ImageNet backbones, or fetch them into the cache.

    A pretrained backbone needs far fewer images and epochs. Fetch one, and
    name it in training:

    `mindssd weights fetch mobilenet_v2_100`

    `mindssd train … backbone_ckpt_path=mobilenet_v2_100`

    The same command continues a transfer that broke off. Each file is checked
    against the hash in its name. MINDSSD_CACHE chooses another folder,
    MINDSSD_WEIGHTS_URL a mirror of MindCV's server.
    """
    from mindssd.weights.download import PUBLISHED, find_published

    if not words:
        _print_table()
        return
    action, names = words[0], words[1:]
    if action != "fetch":
        raise WeightsError(f"`mindssd weights {action}`: {action!r} is unknown; {_USAGE}")
    if not names:
        raise WeightsError(f"`mindssd weights fetch` needs a name: {', '.join(PUBLISHED)}, or all")
    if names == ["all"]:
        names = list(PUBLISHED)
    for name in names:
        find_published(name)  # a typing mistake fails before the first download
    for name in names:
        _fetch(name)


def _print_table() -> None:
    from rich.console import Console
    from rich.table import Table

    from mindssd.files import cache_dir
    from mindssd.weights.download import PUBLISHED, cached_path

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "recipe", "size", "cached"):
        table.add_column(heading, justify="right" if heading == "size" else "left", no_wrap=True)
    for backbone in PUBLISHED.values():
        path = cached_path(backbone)
        if path.exists():
            size, cached = f"{path.stat().st_size / 1e6:.1f} MB", "yes"
        else:
            size, cached = f"about {backbone.megabytes} MB", "no"
        table.add_row(backbone.name, backbone.recipe, size, cached)
    console = Console()
    console.print(table)
    console.print(f"cache: {cache_dir()}", markup=False, highlight=False, soft_wrap=True)
    console.print("fetch: mindssd weights fetch NAME…", markup=False, highlight=False)


def _fetch(name: str) -> None:
    from mindssd.weights.download import fetch
    from mindssd.weights.progress import show_progress

    with show_progress(name) as progress:
        path = fetch(name, progress)
    typer.echo(f"{name}: {path}")
