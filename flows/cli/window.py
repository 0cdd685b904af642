"""Options for a part of a scene: --window in its pixels, --bbox in the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from srcore.storage.window import WindowWish

WindowOption = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H", help="Only this part, in pixels of the input: first column and row, columns, rows."
    ),
]
BboxOption = Annotated[
    str | None, typer.Option(metavar="W,S,E,N", help="Only this part, in the input's CRS or that of --crs.")
]
CrsOption = Annotated[str | None, typer.Option(metavar="EPSG:N", help="CRS of --bbox; EPSG:4326 for degrees.")]


def window_wish(window: str | None, bbox: str | None, crs: str | None) -> WindowWish | None:
    """The part that is asked for; None: the whole scene. Bad usage for numbers that are no window."""
    from srcore.storage.window import WindowWish

    if window is not None and bbox is not None:
        raise typer.BadParameter("give --window or --bbox, not both")
    if crs is not None and bbox is None:
        raise typer.BadParameter("it says what the numbers of --bbox are: give one", param_hint="--crs")
    if window is not None:
        numbers = _numbers(window, "--window", "X,Y,W,H")
        x, y, width, height = map(int, numbers)
        if [x, y, width, height] != numbers or width < 1 or height < 1:
            raise typer.BadParameter(f"{window!r} needs whole numbers, and 1 px at least", param_hint="--window")
        return WindowWish(pixels=(x, y, width, height))
    if bbox is None:
        return None
    west, south, east, north = _numbers(bbox, "--bbox", "W,S,E,N")
    if west >= east or south >= north:
        do = "W < E and S < N are needed; over the antimeridian give --window"
        raise typer.BadParameter(f"{bbox!r}: {do}", param_hint="--bbox")
    return WindowWish(box=(west, south, east, north), crs=crs)


def _numbers(text: str, option: str, form: str) -> list[float]:
    """Four finite numbers."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(abs(number) < 1e15 for number in numbers):
        raise typer.BadParameter(f"{text!r} is no {form}", param_hint=option)
    return numbers
