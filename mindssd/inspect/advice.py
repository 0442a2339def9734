"""What to do about what an inspection found, as lines with the words to type."""

from collections.abc import Iterator

from mindssd.build.reach import FEW
from mindssd.inspect.anchors import Anchors
from mindssd.inspect.job import Inspection
from mindssd.inspect.mending import Option

SAID_OF_OPTIONS = "{share:.0%} of the truths would be reached"


def advice(inspection: Inspection) -> list[str]:
    """The most pressing first; a line that says so where nothing is to be done."""
    lines = [*inspection.problems, *_of_default_boxes(inspection), *inspection.class_remarks]
    lines += _of_boxes(inspection)
    return lines or ["nothing stands in the way of training"]


def _of_default_boxes(inspection: Inspection) -> Iterator[str]:
    anchors = inspection.anchors
    if anchors is None or (anchors.share >= FEW and anchors.advised is None):
        return
    reached = "no truth" if not anchors.num_reached else f"{anchors.share:.0%} of the truths"
    line = f"the default boxes of {anchors.recipe} reach {reached}"
    if anchors.advised is None:
        yield f"{line}, and none of the changes tried helps: look at the truths that none reaches"
    else:
        yield f"{line}: {option_words(anchors.advised)}"


def option_words(option: Option) -> str:
    """An option as a line: what to type, and what it does."""
    line = (
        f"{option.command} … {' '.join(option.settings)} ({option.kind}; "
        f"{SAID_OF_OPTIONS.format(share=option.share)}, at about {option.cost:.3g} times the time)"
    )
    return f"{line}; {option.note}" if option.note else line


def _of_boxes(inspection: Inspection) -> Iterator[str]:
    count = sum(sum(kinds.values()) for kinds in inspection.num_suspects.values())
    if count:
        yield (
            f"{count} boxes look like mistakes: look at them with --html, and correct those that "
            "are"
        )


def reach_words(anchors: Anchors) -> list[str]:
    """What the figures of default boxes mean, in sentences."""
    height, width = anchors.image_size
    lines = [
        f"{anchors.num_reached} of {anchors.num_truths} truths ({anchors.share:.1%}) have a "
        f"default box with IoU over {anchors.threshold:g}, on images of {width}x{height}"
    ]
    if anchors.assignment == "atss":
        lines.append(
            "each truth chooses its own default boxes (matching.assignment=atss), so that none "
            f"goes without; an IoU below {anchors.threshold:g} says that they are of another size"
        )
    else:
        lines.append(
            "a truth without such a box has its best one all the same, and learns slowly from it"
        )
    if anchors.default_boxes_of_truths:
        low, _, median, _, high = anchors.default_boxes_of_truths
        lines.append(
            f"a truth teaches {median:g} default boxes in the median ({low:g} to {high:g} for nine "
            f"of ten); {anchors.learned_by_one:.1%} teach one alone"
        )
    return [*lines, *anchors.fitted]
