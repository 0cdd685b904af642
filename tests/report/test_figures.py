"""The Pareto front: whom nobody beats, group by group."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from srcore.report.choosing import short_keys
from srcore.report.figures import Point, curves_figure, front, pareto_figure

POINTS = st.lists(
    st.builds(Point, st.text("ab", max_size=3), st.integers(1, 9), st.integers(1, 9), group=st.sampled_from("xy")),
    min_size=1,
    max_size=12,
)


def beats(a: Point, b: Point) -> bool:
    return (
        a.group == b.group
        and a.speed >= b.speed
        and a.quality >= b.quality
        and (a.speed, a.quality) != (b.speed, b.quality)
    )


@given(POINTS)
def test_the_front_is_unbeaten_and_beats_all_others(points: list[Point]) -> None:
    found = front(points)
    assert not any(beats(a, b) for a in points for b in found)
    for one in points:
        assert any((one.group, one.speed, one.quality) == (b.group, b.speed, b.quality) or beats(b, one) for b in found)
    assert [one.speed for one in found] == sorted(one.speed for one in found)


def test_labels_are_text_and_not_markup() -> None:
    points = [Point("<b>", 0.1, 1.0, 0.5, 1.5), Point("$x$", 2.0, 0.5), Point("slow", 0.1, 0.2)]
    drawn = pareto_figure("p", points, "dB")
    assert "&lt;b&gt;" in drawn
    assert "<b>" not in drawn
    assert "$x$" in drawn
    assert drawn == pareto_figure("p", points, "dB")
    assert ">7<" in curves_figure("c", {"7": [(1, 0.5), (2, 0.6)], "8": [(1, 0.4)]}, "7", "dB")


def test_keys_are_as_short_as_is_clear() -> None:
    assert short_keys(["a.width", "b.width", "a.blocks"]) == {
        "a.width": "a.width",
        "b.width": "b.width",
        "a.blocks": "blocks",
    }
