"""The pictures of a report's page: the worst images and objects, and what a click opens."""

from collections.abc import Sequence

from mindssd.explain import examples
from mindssd.explain.examples import Example
from mindssd.explain.measured import Measured
from mindssd.pages import html
from mindssd.pages.pictures import CLOSE, Album

WHOLE = 900
"""The longer side of an image that a click opens, in pixels."""

THUMBNAIL = 420
"""The same of one among the worst."""


class Pictures:
    """A page's pictures: all crops first, then the whole image of each, while there is room."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._album = Album()
        self._worst = examples.worst_images(measured)
        self._wrong = examples.confident_wrong(measured)
        self._missed = examples.missed_objects(measured)
        self._pairs = examples.confused_pairs(measured)
        lists = [self._worst, self._wrong, self._missed, *(shown for *_, shown in self._pairs)]
        self._crops = {one: self._crop(one) for found in lists for one in found}
        images = dict.fromkeys(one.image for one, address in self._crops.items() if address)
        self._wholes = {image: address for image in images if (address := self._whole(image))}

    def worst(self) -> list[str]:
        if not self._worst:
            return []
        legend = (
            "Those with the lowest F1. Here and below: truths in light blue dashes; detections in "
            "solid lines, green where right and orange where wrong, above "
            f"{self._measured.counted.words}. A click opens the whole image."
        )
        return [f'<p class="soft">{html.text(legend)}</p>', self._figures(self._worst)]

    def wrong(self) -> list[str]:
        return [self._figures(self._wrong, "small")]

    def missed(self) -> list[str]:
        return [self._figures(self._missed, "small")]

    def confused(self) -> list[str]:
        parts = []
        for truth, taken, count, shown in self._pairs:
            title = f"{truth} detected as {taken}: {count:,}"
            parts += [f"<h3>{html.text(title)}</h3>", self._figures(shown, "small")]
        return parts

    def wholes(self) -> list[str]:
        """The popovers that figures open, and how many pictures there was no room for."""
        parts = [
            html.popover(_id(image), address, examples.name_of(self._measured, image))
            for image, address in self._wholes.items()
        ]
        if self._album.num_left_out:
            parts.append(
                f"<p>{self._album.num_left_out} more pictures would have made the page too large."
                "</p>"
            )
        return parts

    def _figures(self, found: Sequence[Example], kind: str = "") -> str:
        inside = [
            html.figure(
                self._crops[one],
                one.words,
                opens=_id(one.image) if one.image in self._wholes else "",
            )
            for one in found
        ]
        return html.figures(inside, kind) if any(inside) else ""

    def _crop(self, example: Example) -> str:
        side = CLOSE if example.around is not None else THUMBNAIL
        return self._drawn(example, side)

    def _whole(self, image: int) -> str:
        return self._drawn(Example(image, ""), WHOLE)

    def _drawn(self, example: Example, side: int) -> str:
        return self._album.marked(
            self._measured.detected.dataset,
            int(self._measured.places[example.image]),
            examples.marks(self._measured, example),
            example.around,
            side,
        )


def _id(image: int) -> str:
    return f"image{image}"
