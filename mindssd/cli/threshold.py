"""`mindssd threshold`: from which score on a model's detections shall count."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mindssd.cli.options import JsonFile
from mindssd.errors import ConfigError

if TYPE_CHECKING:
    from mindssd.explain.threshold import Wish


def threshold(
    model: Annotated[
        Path,
        typer.Argument(
            help="A trained or exported model, or a published name.", show_default=False
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]…", help="data_dir=PATH, and others.", show_default=False
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="So large a share of what is shown is right.", show_default=False
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="So large a share of the objects is found.", show_default=False
        ),
    ] = None,
    f1: Annotated[
        bool, typer.Option("--f1", help="The highest F1; so it is unless you say otherwise.")
    ] = False,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="FALSE,MISSED",
            help="What a wrong detection and a missed object cost: the least in all.",
            show_default=False,
        ),
    ] = None,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="A threshold for each class, not one for all.")
    ] = False,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Fit a temperature first, so that 0.8 is right in 80 of 100."
        ),
    ] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write them into the model, which then shows by them.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write them into a copy instead.", show_default=False),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Choose the score above which a model's detections are shown.

    `mindssd threshold runs/NAME/best.safetensors data_dir=PATH --precision 0.95 --save`

    By the highest F1, a precision, a recall or a cost, on the validation images under `data_dir`;
    beside it the figures on images that did not choose. Saved, `mindssd predict`, `mindssd.load`
    and exported files go by it; `--score` goes before it. `mindssd eval` does not: it ranks
    detections of every score. With `--calibrate` scores are made frequencies first, by a
    temperature that goes into the weights.
    """
    from rich.console import Console

    from mindssd.explain import calibrate as scores
    from mindssd.explain import threshold as job
    from mindssd.files import require_writable, write_file

    wish = _wish(precision, recall, f1, cost, per_class)
    if save and out is not None:
        raise ConfigError("--save writes into the model and --out into a copy: give one of them")
    if save or out is not None:
        job.require_saveable(model, out)
    if json is not None:
        require_writable(json)
    console = Console()
    detected, found = job.detect_as_shown(model, list(overrides or ()), console)
    calibration = scores.calibrate(found, job.IOU) if calibrate else None
    temperature = 1.0 if calibration is None else calibration.temperature
    if calibration is not None:
        found = job.with_divided_logits(detected, found, temperature)
    chosen = job.choose_thresholds(found, wish)
    console.print(job.table(chosen))
    said = [] if calibration is None else [calibration.line()]
    written = []
    if json is not None:
        result = chosen.as_dict()
        result["calibration"] = None if calibration is None else calibration.as_dict()
        write_file(json, dumps(result, indent=2).encode())
        written.append(json)
    if save or out is not None:
        chosen.require_reached()
        target = detected.path if out is None else out
        job.save(detected.path, target, chosen.thresholds, chosen.by, temperature)
        written.append(target)
    for line in (*said, *job.lines(chosen), *(f"written: {path}" for path in written)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _wish(
    precision: float | None, recall: float | None, f1: bool, cost: str | None, per_class: bool
) -> "Wish":
    """The one goal that is asked for; ConfigError for several."""
    from mindssd.evaluation import thresholds
    from mindssd.explain.threshold import Wish

    wishes = []
    if precision is not None:
        goal = thresholds.precision_of_at_least(precision)
        wishes.append(Wish(goal, f"precision {precision:g}", per_class))
    if recall is not None:
        goal = thresholds.recall_of_at_least(recall)
        wishes.append(Wish(goal, f"recall {recall:g}", per_class))
    if cost is not None:
        of_wrong, of_missed = _costs(cost)
        goal = thresholds.least_cost(of_wrong, of_missed)
        wishes.append(Wish(goal, f"cost {of_wrong:g} false, {of_missed:g} missed", per_class))
    if f1 or not wishes:
        wishes.append(Wish(thresholds.best_f1, "highest F1", per_class))
    if len(wishes) > 1:
        asked = " and ".join(wish.words for wish in wishes)
        raise ConfigError(f"{asked}: give one of --precision, --recall, --f1 and --cost")
    return wishes[0]


def _costs(text: str) -> tuple[float, float]:
    try:
        of_wrong, of_missed = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"--cost {text}: expected two numbers, as 1,5") from None
    if not (0 <= of_wrong < float("inf") and 0 <= of_missed < float("inf")):
        raise ConfigError(f"--cost {text}: expected two numbers of 0 or more")
    return of_wrong, of_missed
