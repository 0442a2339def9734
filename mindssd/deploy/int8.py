"""Int8 within an allowed loss of mAP: which layers stay in float32."""

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import Progress

from mindssd.deploy.quantize import RANKING_IMAGES, Quantizer
from mindssd.deploy.verify import average_precision
from mindssd.evaluation.scores import Evaluation
from mindssd.types import Array

FALLBACK_SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""How much of the layers goes back to float32, in turn, until int8 loses little enough."""


def quantize_within(
    max_loss: float,
    quantizer: Quantizer,
    images: Sequence[Array],
    before: Evaluation,
    attempt: Callable[[Sequence[str]], Evaluation],
    console: Console,
) -> Evaluation:
    """Give layers back to float32 while more than `max_loss` is lost, the costliest first.

    `attempt` writes the file with these layers in float32 and evaluates it. Returns the evaluation
    of the last attempt, which loses too much where none is good enough.
    """
    layers = quantizer.layers()
    ranked: list[str] = []
    for share in (0.0, *FALLBACK_SHARES):
        if share and not ranked:
            costs = _tracked(quantizer.costs(images[:RANKING_IMAGES]), len(layers), console)
            ranked = sorted(costs, key=lambda layer: -costs[layer])
        in_float = ranked[: round(share * len(ranked))]
        after = attempt(in_float)
        loss = average_precision(before) - average_precision(after)
        console.print(
            f"int8 with {len(in_float)} of {len(layers)} layers in float32: "
            f"mAP {average_precision(after):.4f}, {-loss:+.4f}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        if loss <= max_loss:
            break
    return after


def _tracked(layers: Iterator[tuple[str, float]], total: int, console: Console) -> dict[str, float]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("looking for the layers that cost most", total=total)
        costs = {}
        for layer, cost in layers:
            costs[layer] = cost
            progress.advance(task)
        return costs
