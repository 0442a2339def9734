"""What to do about what an inspection found, as lines with the words to type."""

from collections.abc import Collection, Iterator, Sequence

from mindssd.build.reach import FEW
from mindssd.inspect.alike import Alike
from mindssd.inspect.anchors import Anchors
from mindssd.inspect.job import Inspection
from mindssd.inspect.mending import Option
from mindssd.platform import as_typed

EXAMPLES = 5
"""So many pairs of images are named in words."""

OF_DATA = ("format", "val_share", "group_by", "engine")
"""Settings that stay where another recipe is advised."""


def advice(inspection: Inspection) -> list[str]:
    """The most pressing first; the command to train with at the end, where one can."""
    lines = [*inspection.problems, *_of_images(inspection), *_of_default_boxes(inspection)]
    lines += inspection.class_remarks
    lines += _of_boxes(inspection)
    if not inspection.problems:
        then = "then" if lines else "nothing stands in the way"
        lines.append(f"{then}:  mindssd train {as_typed(*_words(inspection))}")
    return lines


def _words(inspection: Inspection) -> list[str]:
    """What to train with: what was asked for, and what is advised where it reaches too few."""
    recipe, asked, data = inspection.recipe, inspection.settings, f"data_dir={inspection.data_dir}"
    anchors = inspection.anchors
    option = None if anchors is None or anchors.share >= FEW else anchors.advised
    if option is None or option.command != "mindssd train":
        return ["--config", recipe, data, *asked]
    if option.settings[0] == "--config":  # tried as that recipe is
        return [*option.settings[:2], data, *_of(asked, OF_DATA), *option.settings[2:]]
    changed = {_key(word) for word in option.settings}
    kept = (word for word in asked if _key(word) not in changed)
    return ["--config", recipe, data, *kept, *option.settings]


def _key(word: str) -> str:
    return word.partition("=")[0]


def _of(words: Sequence[str], keys: Collection[str]) -> list[str]:
    return [word for word in words if _key(word) in keys]


def _about(times: float) -> str:
    return f"{times:.0f}" if times >= 10 else f"{times:.2g}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _of_images(inspection: Inspection) -> Iterator[str]:
    alike = inspection.alike
    if alike.num_shared:
        yield (
            f"of {inspection.parts['val'].num_images} validation images {alike.num_shared} "
            f"{'is' if alike.num_shared == 1 else 'are'} nearly the same as training images: AP "
            "says little of new ones; move each group into one part"
        )
    within = alike.num_alike - alike.num_groups
    if within and alike.num_alike * 10 > alike.num_images:
        yield (
            f"{_many(within, 'image')} could go without loss, being nearly the same as "
            "another: of a series keep the few that differ"
        )
    if alike.unreadable:
        yield (
            f"{_many(len(alike.unreadable), 'image file')} cannot be read, such as "
            f"{alike.unreadable[0].image.file_name}: fetch or save them again"
        )


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
    line = f"{typed_words(option)} ({option.kind}: {effect_words(option)})"
    return f"{line}; {option.note}" if option.note else line


def typed_words(option: Option) -> str:
    """What of a command is to be typed for an option."""
    return f"{option.command} … {as_typed(*option.settings)}"


def alike_words(alike: Alike) -> list[str]:
    """What was found of images that are nearly the same, in sentences."""
    if not alike.num_alike:
        lines = [f"no two of {alike.num_images} images are nearly the same"]
    else:
        lines = [
            f"{alike.num_alike} of {alike.num_images} images are nearly the same as another, in "
            f"{_many(alike.num_groups, 'group')}; "
            f"files that are there twice: {alike.num_equal_files}"
        ]
        lines += [
            f"{pair.first.part} {pair.first.file_name} and {pair.second.part} "
            f"{pair.second.file_name}"
            for pair in alike.pairs[:EXAMPLES]
        ]
    if alike.num_flat:
        lines.append(f"{_many(alike.num_flat, 'image')} of one colour: compared byte by byte alone")
    if alike.num_left_out:
        lines.append(f"{alike.num_left_out} pairs came near and were too many to look at")
    return lines


def effect_words(option: Option) -> str:
    """What an option does, and what it costs."""
    cost = "" if option.cost <= 1.2 else f", at about {_about(option.cost)} times the time"
    return f"{option.share:.0%} of the truths would be reached{cost}"


def _of_boxes(inspection: Inspection) -> Iterator[str]:
    count = sum(sum(kinds.values()) for kinds in inspection.num_suspects.values())
    if count:
        yield (
            f"boxes that look like mistakes: {count}; look at each (on the page that "
            "--html writes), and correct what is a mistake"
        )


def reach_words(anchors: Anchors) -> list[str]:
    """What the figures of default boxes mean, in sentences."""
    if not anchors.num_truths:
        return ["no truths to reach"]
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
