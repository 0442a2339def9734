"""A card's text: what the model is, what it was made of, what it does, and what nobody has said."""

from collections.abc import Iterator

from mindssd.card.facts import Facts
from mindssd.card.front_matter import front_matter
from mindssd.config.keys import flatten
from mindssd.config.load import to_tree
from mindssd.deploy.manifest import threshold_line
from mindssd.errors import printable
from mindssd.evaluation.report import protocol_line

OF_A_MACHINE = (
    *("name", "runs_dir", "data_dir", "backbone_ckpt_path", "initial_weights", "num_workers"),
    *("device", "engine", "trackers", "format", "group_by", "class_map"),
)
"""Settings that say where things lay, not what the model is; a path may tell of a person."""

NUM_CLASSES = 100
"""So many classes at most are named."""

UNKNOWN = "not stated in the model's file; fill in"


def model_card(facts: Facts, licence: str | None = None, repo: str | None = None) -> str:
    """The whole card in Markdown; `repo`, ORG/NAME, is where it will stand, if that is known."""
    parts = [
        front_matter(facts, licence),
        f"# {_plain(facts.name)}",
        _what(facts),
        _use(facts, repo),
        _data(facts),
        _training(facts),
        _numbers(facts),
        _limits(facts),
        _licence(facts, licence),
    ]
    return "\n\n".join(parts) + "\n"


def _what(facts: Facts) -> str:
    names = facts.metadata.class_names
    height, width = facts.metadata.image_size
    shown = ", ".join(map(_plain, names[:NUM_CLASSES]))
    more = f" and {len(names) - NUM_CLASSES} more" if len(names) > NUM_CLASSES else ""
    classes = "1 class" if len(names) == 1 else f"{len(names)} classes"
    return (
        f"An SSD object detector with the backbone {facts.config.backbone.name}, for images of "
        f"{width}×{height} pixels, to which others are resized. It finds {classes}: {shown}{more}."
        "\n\n"
        f"Written by mindssd {facts.metadata.mindssd_version}; this card was made from the model's "
        "file."
    )


def _use(facts: Facts, repo: str | None) -> str:
    model = facts.path.name if repo is None else f"hf://{repo}"
    thresholds = threshold_line(facts.metadata)
    shown = thresholds or "above a score of 0.3, unless `score_threshold` says otherwise"
    return (
        "## How to use it\n\n```python\nimport mindssd\n\n"
        f'detector = mindssd.load("{model}")\n'
        'for name, score, (x1, y1, x2, y2) in detector("photo.jpg"):\n'
        "    print(name, score, x1, y1, x2, y2)\n```\n\n"
        f"Detections are shown: {shown}."
    )


def _data(facts: Facts) -> str:
    figures = facts.figures
    count = UNKNOWN if figures.num_images is None else f"{figures.num_images}"
    lines = [
        f"| data set | {_cell(facts.dataset or UNKNOWN)} |",
        f"| where it comes from, who labelled it, and how | {UNKNOWN} |",
        f"| training images | {UNKNOWN} |",
        f"| validation images | {count} |",
    ]
    if figures.num_truths is not None:
        lines.append(f"| objects in them | {figures.num_truths} |")
    if facts.config.initial_weights or facts.config.backbone_ckpt_path:
        lines.append(f"| it began from | {_cell(_start(facts))} |")
    if facts.metadata.origin:
        lines += [f"| {_cell(k)} | {_cell(v)} |" for k, v in facts.metadata.origin.items()]
    return "\n".join(["## Data", "", "| | |", "|---|---|", *lines])


def _start(facts: Facts) -> str:
    """What the training started from, by its name alone."""
    start = facts.config.initial_weights or facts.config.backbone_ckpt_path or ""
    return start.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _training(facts: Facts) -> str:
    recipe = "no recipe of mindssd's" if facts.recipe is None else f"the recipe `{facts.recipe}`"
    engine = facts.metadata.engine
    by = f", trained with {engine}" if engine and not facts.metadata.origin else ""
    rows = [
        f"| `{key}` | {_cell(str(value))} |"
        for key, value in flatten(to_tree(facts.config))
        if key not in OF_A_MACHINE
    ]
    return "\n".join(
        [
            "## Training",
            "",
            f"Its network is that of {recipe}{by}. Hardware and time: {UNKNOWN}.",
            "",
            "<details><summary>Every setting</summary>",
            "",
            *("| key | value |", "|---|---|", *rows),
            *("", "</details>"),
        ]
    )


def _numbers(facts: Facts) -> str:
    figures = facts.figures
    if not figures.values:
        return f"## Numbers\n\nNone: {UNKNOWN}, by `mindssd eval MODEL data_dir=PATH --json FILE`."
    rows = [f"| {name} | {_value(facts, name)} |" for name in figures.values]
    lines = ["## Numbers", "", "| | on the validation images |", "|---|---|", *rows, ""]
    if figures.covered is not None and figures.intervals:
        lines += [f"Intervals hold {figures.covered:.0%} of resamples of the images.", ""]
    elif not figures.intervals:
        lines += ["Intervals over the images are not known.", ""]
    if figures.protocol is not None:
        lines.append(f"By the {protocol_line(figures.protocol)}.")
    if figures.source is not None:
        lines.append(f"The figures are {figures.source}; they were not measured by mindssd.")
    elif figures.num_images is not None:
        lines.append(f"Measured on {figures.num_images} images, {figures.num_truths} objects.")
    if figures.per_class:
        lines += ["", "| class | AP | objects |", "|---|---|---|"]
        lines += [
            f"| {_cell(name)} | {'no objects' if ap is None else f'{ap:.3f}'} | {count} |"
            for name, ap, count in figures.per_class[:NUM_CLASSES]
        ]
    return "\n".join(lines)


def _value(facts: Facts, name: str) -> str:
    value = f"{facts.figures.values[name]:.3f}"
    if name not in facts.figures.intervals:
        return value
    low, high = facts.figures.intervals[name]
    return f"{value} ({low:.3f} to {high:.3f})"


def _limits(facts: Facts) -> str:
    return "\n".join(["## Limits", "", *(f"- {line}" for line in _limit_lines(facts))])


def _limit_lines(facts: Facts) -> Iterator[str]:
    height, width = facts.metadata.image_size
    yield "It knows its classes alone, and takes other things for one of them, or for nothing."
    yield (
        f"An image is made {width}×{height} pixels: objects that are a few pixels large then are "
        "missed; `tile` looks at parts of large images."
    )
    values = facts.figures.values
    if "APs" in values and "AP" in values and values["APs"] < values["AP"] / 2:
        yield f"Small objects (below 32×32 pixels) are found worse: AP {values['APs']:.3f}."
    if facts.metadata.temperature == 1.0:
        yield "Its scores rank detections; they have not been calibrated to be frequencies."
    if values and not facts.metadata.origin:
        yield (
            "A run keeps the model that scores best on its validation images: figures of these "
            "images flatter it."
        )
    yield f"What it must not be used for: {UNKNOWN}."


def _licence(facts: Facts, licence: str | None) -> str:
    known = facts.metadata.origin.get("licence")
    lines = [
        "## Licence",
        "",
        "| | |",
        "|---|---|",
        f"| of the model | {_cell(licence or known or UNKNOWN)} |",
        f"| of the images and labels | {UNKNOWN} |",
        f"| of what it began from | {UNKNOWN} |",
        "| of mindssd, which reads it | Apache-2.0 |",
        f"| who made it, and how to reach them | {UNKNOWN} |",
    ]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A name in Markdown as it is: one line, with nothing that is a mark there."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in printable(text))


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|").replace("<", "&lt;")
