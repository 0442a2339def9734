"""An evaluation for people, as tables, and for programs, as JSON."""

import json
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mindssd.errors import printable
from mindssd.evaluation.protocol import Protocol
from mindssd.evaluation.scores import Evaluation
from mindssd.files import write_file

_NO_TRUTHS = "no truths"


def print_report(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print the tables and what they depend on."""
    (console or Console()).print(report(evaluation))


def report(evaluation: Evaluation) -> RenderableType:
    """Lay out the twelve numbers, each class's, and the protocol, for a rich console."""
    parts: list[RenderableType] = [_twelve_numbers(evaluation), _per_class(evaluation)]
    parts += [Text(line) for line in protocol_lines(evaluation)]
    return Group(*parts)


def protocol_lines(evaluation: Evaluation) -> list[str]:
    """Say on what, and how, the figures were measured."""
    rate = evaluation.images_per_second
    counts = [
        f"{evaluation.num_images} images",
        f"{evaluation.num_truths} truths",
        f"{evaluation.num_crowds} crowds ignored",
        f"{evaluation.num_detections} detections",
    ]
    if rate is not None:
        counts.append(f"{rate:.1f} images/s")
    lines = [", ".join(counts), protocol_line(evaluation.protocol)]
    if evaluation.unreadable:
        count = len(evaluation.unreadable)
        lines.append(
            f"{count} image{'s' if count > 1 else ''} could not be read, truths there count as "
            f"missed: {evaluation.unreadable[0]}{' and others' if count > 1 else ''}"
        )
    return lines


def protocol_line(protocol: Protocol) -> str:
    """Put a protocol into one line."""
    selection = protocol.selection
    limits = []
    if selection.across_classes_iou is not None:
        limits.append(f"across classes {selection.across_classes_iou:g}")
    if selection.max_detections is not None:
        limits.append(f"at most {selection.max_detections} detections an image")
    if selection.max_per_class is not None:
        limits.append(f"at most {selection.max_per_class} detections of a class and image")
    convention = f" (+{selection.pixel_offset:g} pixel)" if selection.pixel_offset else ""
    images = "images with boxes and no crowd" if protocol.only_clean_images else "all images"
    return ", ".join(
        [
            f"protocol {protocol.name}: {images}",
            f"score > {selection.score_threshold:g}",
            f"NMS IoU {selection.iou_threshold:g}{convention}",
            *limits,
        ]
    )


def write_json(evaluation: Evaluation, path: str | Path) -> None:
    """Write everything as JSON, `null` where a number is undefined; MindSSDError on failure.

    `require_writable(path)`, before the evaluation, finds most failures sooner.
    """
    text = json.dumps(evaluation.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode("utf-8", "replace"))


def _twelve_numbers(evaluation: Evaluation) -> Table:
    table = Table(title="COCO metrics", title_justify="left", title_style="bold")
    for heading in ("", "all", "small", "medium", "large", "IoU 0.50", "IoU 0.75"):
        table.add_column(heading, justify="left" if not heading else "right")
    e = evaluation
    average_precision = (e.ap, e.ap_small, e.ap_medium, e.ap_large, e.ap50, e.ap75)
    table.add_row("[bold]AP[/bold]", *(_number(value) for value in average_precision))
    recall = (e.ar100, e.ar_small, e.ar_medium, e.ar_large)
    table.add_row("[bold]AR[/bold], 100 detections", *(_number(value) for value in recall))
    table.add_row("AR, 10 detections", _number(e.ar10))
    table.add_row("AR, 1 detection", _number(e.ar1))
    return table


def _per_class(evaluation: Evaluation) -> Table:
    """One row a class, best AP first, those without truths last."""
    table = Table(title="Classes", title_justify="left", title_style="bold")
    table.add_column("class")
    for heading in ("AP", "AP50", "AR100", "truths"):
        table.add_column(heading, justify="right")
    ordered = sorted(
        evaluation.per_class, key=lambda result: -1.0 if result.ap is None else result.ap
    )
    for result in reversed(ordered):
        table.add_row(
            Text(printable(result.name)),  # a name may hold rich's square brackets
            _number(result.ap),
            _number(result.ap50),
            _number(result.ar100),
            str(result.num_truths),
        )
    return table


def _number(value: float | None) -> str:
    return _NO_TRUTHS if value is None else f"{value:.3f}"
