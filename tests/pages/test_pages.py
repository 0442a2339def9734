"""The parts of a page: what is text is escaped, and nothing to show gives nothing."""

import re

import numpy as np
import pytest

from mindssd.pages import html
from mindssd.pages.charts import HEIGHT, LEFT, RIGHT, WIDTH, Line, Spot, bar_chart, key, line_chart
from tests.chromium import chromium

ODD = "<b>&\n"


def test_what_is_plain_text_is_escaped_everywhere():
    drawn = line_chart(ODD, "x", "y", [Line(ODD, [(0, 0)])], [Spot(0.5, 0.5, ODD)])
    parts = [
        *(html.text(ODD), html.bullets([ODD]), html.prose([ODD]), html.details(ODD, "")),
        *(html.figure("data:,", ODD), html.popover("p", "data:,", ODD), drawn),
        *(key([Line(ODD, [])]), bar_chart(ODD, "x", "y", [[1]], [0])),
    ]
    for part in parts:
        assert "<b>" not in part and "&lt;b&gt;&amp;\\n" in part, part


def test_words_to_type_are_set_apart():
    assert html.prose(["type `a <b>` now"]) == (
        "<ul><li>type <code>a &lt;b&gt;</code> now</li></ul>"
    )


def test_nothing_to_show_gives_nothing():
    assert html.section("t", []) == [] and html.figures([]) == html.charts([]) == ""
    assert html.figure("", "words", opens="p") == ""


def test_a_picture_that_opens_one_is_a_button_for_it():
    assert 'popovertarget="p"' in html.figure("data:,", "words", opens="p")
    assert "<button" not in html.figure("data:,", "words")


def test_a_line_goes_through_its_points_and_many_are_thinned():
    """From the lower left corner of the frame to the upper right one."""
    (path,) = re.findall(
        r'class="line s0" d="M([^"]+)"', line_chart("", "", "", [Line("", [(0, 0), (1, 1)])])
    )
    first, last = (tuple(map(float, point.split())) for point in path.split("L"))
    assert first == (LEFT, HEIGHT - 36) and last == (WIDTH - RIGHT, 10)
    many = [(float(x), 0.0) for x in np.linspace(0, 1, 5000)]
    (path,) = re.findall(r'class="line s0" d="M([^"]+)"', line_chart("", "", "", [Line("", many)]))
    assert path.count("L") <= 250 and path.endswith(f"{WIDTH - RIGHT:.1f} {HEIGHT - 36:.1f}")
    assert 'class="line' not in line_chart("", "", "", [Line("", [])])


def test_bars_stand_upon_each_other():
    drawn = bar_chart("", "", "", [[1, 0], [3, 2]], [2, 1])
    bars = re.findall(r'class="fill s(\d)" x="([\d.]+)" y="([\d.]+)" .*?height="([\d.]+)"', drawn)
    assert [bar[0] for bar in bars] == ["2", "1", "1"]
    heights = [float(bar[3]) for bar in bars]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.2)
    assert float(bars[1][2]) == pytest.approx(10) and sum(heights[:2]) == pytest.approx(254)
    assert 'class="fill' not in bar_chart("", "", "", [[0, 0]], [0])


@pytest.mark.slow
def test_a_very_long_name_makes_no_page_wider_than_its_window(tmp_path):
    name = "y" * 400
    line = Line(name, [(0, 0), (1, 1)])
    parts = [
        f"<h3>{name}</h3><p>{name}</p>",
        html.details(name, name),
        html.bullets([name]),
        html.figures([html.figure("data:,", name)]),
        html.charts([html.chart(line_chart("words", "x", "y", [line]), key([line]))]),
        html.table([name, name], [[name, name]]),
    ]
    path = tmp_path / "page.html"
    path.write_text(html.page(name, html.section(name, parts)), encoding="utf-8")
    with chromium(tmp_path) as page:
        page.open(path.as_uri(), width=390)
        page.wait_for("document.querySelectorAll('details, table').length == 2")
        page.run("document.querySelector('details').open = true")
        assert page.run("document.documentElement.scrollWidth") == 390
