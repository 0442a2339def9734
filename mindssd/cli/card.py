"""`mindssd card`: a model's card in the format of the Hugging Face Hub, and the way there."""

from pathlib import Path
from typing import Annotated

import typer

from mindssd.cli.options import require_beside
from mindssd.errors import ConfigError


def card(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(
            help="A trained model, one that `mindssd export` made, or a published name.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the card goes.")] = Path(
        "README.md"
    ),
    licence: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="The model's, as the hub calls it, such as apache-2.0.",
            show_default=False,
        ),
    ] = None,
    evaluation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What `mindssd eval --json` wrote; by default that of the model's run.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a card that is there already.")
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="ORG/NAME",
            help="Upload the model there too, with the card.",
            show_default=False,
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push: a new repository is private.")
    ] = False,
) -> None:
    """Write a model's card: data, recipe, numbers with their protocol, limits, licence.

    `mindssd card runs/NAME/best.safetensors --out README.md`

    What the model's file does not say is said to be unknown, for you to fill in. With `--push` the
    card and the model go to the Hugging Face Hub, as `huggingface_hub` is logged in; a card that is
    at `--out` already goes as it is. Then `mindssd predict hf://ORG/NAME photo.jpg` fetches it.
    """
    require_beside(context, "push", "private")
    from mindssd.card.job import push_model, write_card
    from mindssd.weights.hub import repository

    if push is not None:
        repository(push)  # before a card names it
    if push is not None and out.is_file() and not force:
        if licence is not None or evaluation is not None:
            raise ConfigError(
                f"{out} is there already and goes as it is: leave --license and --evaluation out, "
                "or --force to replace it"
            )
    else:
        write_card(model, out, licence, evaluation, force, repo=push)
        typer.echo(f"written: {out}")
    if push is not None:
        typer.echo(f"uploaded: {push_model(model, out, push, private)}")
