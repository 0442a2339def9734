"""Drawn pictures: their sizes, what they show, and that no odd input breaks them."""

import numpy as np
import pytest

from mindssd.drawing.canvas import SMALLEST_SIDE
from mindssd.drawing.colours import INK, class_colour, text_colour
from mindssd.drawing.contact_sheet import contact_sheet
from mindssd.drawing.visualize import Mark, compare, draw, draw_marks
from mindssd.types import Array, Detections

NAMES = ("cat", "dog")


def detections(boxes: list[list[float]], scores: list[float], names: object = NAMES) -> Detections:
    assert isinstance(names, tuple)
    class_ids = np.arange(len(boxes), dtype=np.int32) % len(names)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), class_ids, names
    )


def black(height: int = 400, width: int = 600) -> Array:
    return np.zeros((height, width, 3), np.uint8)


def colours(image: Array) -> set[tuple[int, ...]]:
    return {tuple(int(value) for value in pixel) for pixel in image.reshape(-1, 3)}


def test_a_box_is_drawn_in_the_colour_of_its_class_inside_its_border() -> None:
    picture = draw(black(), detections([[100, 200, 300, 350]], [0.9]))
    assert tuple(picture[349, 200]) == class_colour(0)
    assert tuple(picture[300, 100]) == tuple(picture[300, 299]) == class_colour(0)
    assert not picture[300, 200].any()


def test_the_image_given_is_left_alone() -> None:
    image = black()
    draw(image, detections([[100, 200, 300, 350]], [0.9]))
    assert not image.any()


def test_nothing_above_the_threshold_gives_the_image_alone() -> None:
    found = detections([[100, 200, 300, 350]], [0.2])
    assert not draw(black(), found, score_threshold=0.3).any()
    assert not draw(black(), Detections.empty(NAMES)).any()


def test_the_better_of_two_equal_boxes_lies_on_top() -> None:
    box = [100.0, 200.0, 300.0, 350.0]
    picture = draw(black(), detections([box, box], [0.5, 0.9]))
    assert tuple(picture[300, 100]) == class_colour(1)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (20, 2000), (2000, 20), (3000, 4000)])
def test_boxes_and_long_names_fit_into_an_image_of_any_size(size: tuple[int, int]) -> None:
    height, width = size
    corner = [width - 1.0, height - 1.0, width, height]
    boxes = [[0.0, 0.0, width, height], corner, [0.2, 0.2, 0.4, 0.4]]
    found = detections(boxes, [0.9, 0.8, 0.7], ("a very long name of a class " * 3, "é"))
    picture = draw(black(height, width), found)
    scale = picture.shape[0] // height
    assert picture.shape == (height * scale, width * scale, 3)
    assert max(picture.shape) >= SMALLEST_SIDE
    assert picture.any()


def test_boxes_outside_the_image_or_not_finite_break_nothing() -> None:
    far, nan, inf = 900.0, float("nan"), float("inf")
    boxes = [[-far, -far, far, far], [far, far, far + 9, far + 9], [nan, 0.0, inf, 5.0]]
    assert draw(black(), detections(boxes, [0.9, 0.8, 0.7])).shape == (400, 600, 3)


def test_labels_of_equal_boxes_do_not_hide_each_other() -> None:
    box = [200.0, 200.0, 400.0, 350.0]
    one = draw(black(), detections([box], [0.9], ("cat",)))
    two = draw(black(), detections([box, box], [0.9, 0.8], ("cat",)))
    plates = [(image == class_colour(0)).all(axis=2).sum() for image in (one, two)]
    frame = 2 * (200 + 150) * 2
    assert plates[1] - plates[0] > 0.8 * (plates[0] - frame)


def test_names_of_ascii_look_as_they_do_whatever_fonts_there_are() -> None:
    found = detections([[100, 200, 300, 350]], [0.9])
    with_fonts = draw(black(), found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mindssd.drawing.lettering.font_files", lambda: ())
        np.testing.assert_array_equal(draw(black(), found), with_fonts)


def test_names_in_another_script_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a font of the machine or without: a number alone tells nobody what was found."""

    def are_told_apart() -> bool:
        names = ("猫", "кошка", "بطة", "class 0")
        box = [[100.0, 200.0, 300.0, 350.0]]
        pictures = [draw(black(), detections(box, [0.9], (name,))) for name in names]
        return len({picture.tobytes() for picture in pictures}) == len(names)

    assert are_told_apart()
    monkeypatch.setattr("mindssd.drawing.lettering.font_files", lambda: ())
    assert are_told_apart()


def test_truths_are_dashed_over_the_detections() -> None:
    truths = np.array([[50, 50, 250, 350]], np.float32)
    picture = compare(black() + np.uint8(200), truths, np.array([1]), Detections.empty(NAMES))
    edge = colours(picture[100:300, 50])
    assert len(edge) == 2 and class_colour(1) in edge


def test_truths_of_an_image_without_any_change_nothing() -> None:
    found = detections([[100, 200, 300, 350]], [0.9])
    none = np.zeros((0, 4), np.float32)
    picture = compare(black(), none, np.zeros(0, np.int32), found)
    np.testing.assert_array_equal(picture, draw(black(), found))


def test_the_first_classes_have_colours_far_apart_and_letters_that_contrast() -> None:
    first = np.array([class_colour(index) for index in range(8)], float)
    distances = np.linalg.norm(first[:, None] - first[None], axis=2)
    assert distances[~np.eye(8, dtype=bool)].min() > 60
    assert text_colour((255, 255, 0)) != (255, 255, 255)
    assert text_colour((0, 0, 120)) == (255, 255, 255)


def test_two_hundred_classes_have_two_hundred_colours() -> None:
    assert len({class_colour(index) for index in range(200)}) > 190


def test_a_contact_sheet_keeps_the_aspect_of_its_images() -> None:
    sheet = contact_sheet([np.full((50, 200, 3), (250, 0, 0), np.uint8)])
    red = (sheet == (250, 0, 0)).all(axis=2)
    assert (red.any(axis=1).sum(), red.any(axis=0).sum()) == (90, 360)


def test_a_contact_sheet_has_as_many_rows_as_its_images_need() -> None:
    """Cells of 360 × 270 with 13 pixels about them: three rows of two, two of three."""
    assert contact_sheet([black(30, 40)] * 5).shape == (13 + 3 * 283, 13 + 2 * 373, 3)
    assert contact_sheet([black(30, 40)] * 6).shape == (13 + 2 * 283, 13 + 3 * 373, 3)


def test_no_images_give_an_empty_sheet() -> None:
    assert len(colours(contact_sheet([]))) == 1


def test_marks_are_drawn_in_their_own_colours_and_lines() -> None:
    """A solid box has its colour all along, a dashed one ink between; equal ones show both."""
    image = np.full((200, 300, 3), 128, np.uint8)
    solid = Mark(np.array([20.0, 80, 120, 180]), "", (255, 0, 0))
    dashed = Mark(np.array([150.0, 80, 250, 180]), "", (0, 0, 255), is_dashed=True)
    drawn = draw_marks(image, [solid, dashed])
    assert drawn.shape == image.shape and (image == 128).all()
    assert (drawn[120:170, 20] == (255, 0, 0)).all()
    line = {tuple(pixel) for pixel in drawn[120:170, 150].tolist()}
    assert line == {(0, 0, 255), INK}
    both = draw_marks(image, [dashed, Mark(dashed.box, "", (255, 0, 0))])
    colours = {tuple(pixel) for pixel in both[120:170, 150:153].reshape(-1, 3).tolist()}
    assert {(0, 0, 255), INK, (255, 0, 0)} <= colours
    assert (draw_marks(image, []) == image).all()
