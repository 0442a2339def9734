"""`mindssd weights`: what MindCV publishes, what is in the cache, and fetching it."""

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
    """List MindCV's published weights, or fetch them into the cache.

    A **backbone** knows ImageNet's pictures. With one, a training needs far fewer
    images and epochs:

    `mindssd train … backbone_ckpt_path=mobilenet_v2_100`

    A **detector** knows COCO's 80 classes. Its name stands for a model wherever one
    is asked for, and in a training for what it starts from:

    `mindssd predict ssd_mobilenetv2 photo.jpg`

    `mindssd train … initial_weights=ssd_mobilenetv2`

    Each is fetched when it is first named. `mindssd weights fetch NAME` does that
    alone, and continues a transfer that broke off. Each file is checked
    against the hash in its name. MINDSSD_CACHE chooses another folder,
    MINDSSD_WEIGHTS_URL a mirror of MindCV's server.
    """
    from mindssd.weights.published import PUBLISHED, find_published

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
    from mindssd.weights.download import cached_path
    from mindssd.weights.published import PUBLISHED

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "kind", "recipe", "size", "cached"):
        table.add_column(heading, justify="right" if heading == "size" else "left", no_wrap=True)
    for published in PUBLISHED.values():
        path = cached_path(published)
        if path.exists():
            size, cached = f"{path.stat().st_size / 1e6:.1f} MB", "yes"
        else:
            size, cached = f"about {published.megabytes} MB", "no"
        table.add_row(published.name, published.kind, published.recipe, size, cached)
    console = Console()
    console.print(table)
    console.print(f"cache: {cache_dir()}", markup=False, highlight=False, soft_wrap=True)
    console.print("fetch: mindssd weights fetch NAME…", markup=False, highlight=False)


def _fetch(name: str) -> None:
    from mindssd.build.published import fetch_published

    path = fetch_published(name, lambda line: typer.echo(line, err=True))
    typer.echo(f"{name}: {path}")
