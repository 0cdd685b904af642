"""A landscape as a satellite sees it: fields, woods, water, roads and villages in four bands. Pure.

It is drawn at twice the HR sampling, by rows of blocks, and averaged 2 x 2, so that edges are as soft as a sensor's;
then blurred by a small point spread and given the noise of a sensor. Everything comes from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.progress import Progress
from srcore.samples.districts import Districts, divide
from srcore.samples.noise import Floats, Ints, cells, fractal, mixed, spread
from srcore.samples.settlements import Settlement, settle

BANDS = ("B02", "B03", "B04", "B08")
"""Blue, green, red, near infrared, in DN of reflectance x 10,000."""

CROPS = np.array(
    [
        (360, 660, 420, 3900),
        (420, 760, 520, 3500),
        (620, 1420, 1330, 4100),
        (760, 980, 1080, 2500),
        (1000, 1330, 1750, 2350),
        (700, 890, 1180, 1650),
        (1350, 1780, 2330, 3050),
        (480, 900, 640, 4300),
        (720, 1180, 1190, 3200),
        (210, 400, 250, 3300),
    ],
    np.float32,
)
"""DN of wheat, barley, rape in flower, young maize, ploughed loam, dark soil, dry soil, meadow, ripe grain, a wood."""

WATER, GRAVEL, ASPHALT = (430, 500, 300, 140), (1650, 1980, 2250, 2800), (930, 1030, 1090, 1330)
VERGE, TREES, MOTORWAY = (500, 840, 690, 3000), (240, 430, 290, 3300), (1180, 1300, 1370, 1620)
CONIFER, BROADLEAF = (180, 310, 210, 2350), (260, 560, 300, 4100)

PSF_PX = 0.5
"""Deviation of the sensor's blur in HR pixels: with the pixel itself, a fifth of the contrast is left at Nyquist."""
COARSE = 8
"""HR pixels between samples of the smooth fields."""
BLOCK = 40
"""HR rows drawn at once."""


@dataclass(frozen=True)
class Country:
    """All that decides the pixels of one landscape."""

    shape: tuple[int, int]
    districts: Districts
    settlements: list[Settlement]
    smooth: tuple[Floats, ...]
    """Relief, moisture and two displacements, one sample every COARSE pixels."""
    rough: tuple[Floats, ...]
    """Canopy and soil texture (Y, X)."""
    crops: Ints
    table: Floats
    """4,096 random numbers in [0, 1)."""
    river: tuple[float, ...]
    woods: float
    """Relief above which there is forest."""


def design(shape: tuple[int, int], seed: int) -> Country:
    """The plan of a landscape of `shape` HR pixels."""
    rng = np.random.default_rng(seed)
    coarse = (shape[0] // COARSE + 2, shape[1] // COARSE + 2)
    levels = int(np.clip(np.round(np.log2(shape[0] * shape[1] / 62_500)), 2, 9))
    districts = divide(shape, levels, rng)
    smooth = tuple(fractal(coarse, beta, 2, rng) for beta in (1.6, 1.5, 2.2, 2.2))
    shares = rng.dirichlet((6, 4, 4, 5, 4, 2, 2, 7, 4, 1.2))
    places = settle(districts.middle[: 2 ** (levels - 2) - 1], shape, rng)
    woods = float(np.quantile(smooth[0], 0.78))
    river = (rng.uniform(0.25, 0.75), rng.uniform(-0.25, 0.25), *rng.uniform(0, 2 * np.pi, 3), rng.uniform(5, 9))
    return Country(
        shape,
        districts,
        places,
        (_cleared(smooth[0], smooth[1], places, woods), *smooth[1:]),
        (fractal(shape, 0.7, 3.2, rng), fractal(shape, 1.0, 2, rng)),
        rng.choice(len(CROPS), 4096, p=shares).astype(np.int32),
        rng.random(4096, np.float32),
        river,
        woods,
    )


def _cleared(relief: Floats, frayed: Floats, places: list[Settlement], woods: float) -> Floats:
    """The coarse `relief` with neither woods nor lakes where people live."""
    rows, cols = (COARSE * np.arange(n, dtype=np.float32) for n in relief.shape)
    for place in places:
        away = np.hypot(rows[:, None] - place.y, cols[None, :] - place.x) / place.radius * (1 + 0.3 * frayed)
        relief = np.clip(relief, -1.2 - 0.3 * away**2, woods - 0.7 + 0.35 * away**2)
    return relief.astype(np.float32)


def render(shape: tuple[int, int], seed: int, progress: Progress | None = None) -> NDArray[np.uint16]:
    """The landscape of `seed`: DN (4, Y, X), all valid, at the HR sampling."""
    country = design(shape, seed)
    image = np.empty((len(BANDS), *shape), np.float32)
    for start in range(0, shape[0], BLOCK):
        stop = min(start + BLOCK, shape[0])
        image[:, start:stop] = _block(country, start, stop)
        if progress is not None:
            progress(stop, shape[0])
    rng = np.random.default_rng([seed, 1])
    for band in image:
        blurred = ndimage.gaussian_filter(band, PSF_PX, mode="nearest", truncate=4)
        deviation = 1.5 + 0.015 * np.sqrt(np.maximum(blurred, 0))
        band[:] = blurred + deviation * rng.standard_normal(shape, np.float32)
    return np.clip(np.rint(image), 100, 8000).astype(np.uint16)


def _block(country: Country, start: int, stop: int) -> Floats:
    """Rows `start` to `stop` of the landscape, (4, rows, X)."""
    rows = np.asarray((np.arange(2 * start, 2 * stop) + 0.5) / 2, np.float32)
    cols = np.asarray((np.arange(2 * country.shape[1]) + 0.5) / 2, np.float32)
    relief, moist, push_x, push_y = (
        spread(one, rows / np.float32(COARSE), cols / np.float32(COARSE)) for one in country.smooth
    )
    canopy, soil = (one[start:stop].repeat(2, 0).repeat(2, 1) for one in country.rough)
    x, y = cols[None, :] + 14 * push_x, rows[:, None] + 14 * push_y
    district, clear = country.districts.locate(x, y)
    image = _fields(country, district, x, y, moist, soil)
    _roads(image, clear, soil)
    _forest(image, relief + 0.09 * canopy - country.woods, canopy, moist)
    for place in country.settlements:
        box = np.ix_(np.abs(rows - place.y) < place.radius + 60, np.abs(cols - place.x) < place.radius + 60)
        if box[0].size and box[1].size:
            part = image[:, box[0], box[1]]
            place.paint(part, x[box], y[box], canopy[box], country.table)
            image[:, box[0], box[1]] = part
    _water(image, country, rows, cols, relief, canopy, soil)
    image *= 1 + 0.05 * np.gradient(relief, axis=1) * 40
    lines = image[:, 0::2] + image[:, 1::2]
    return np.asarray((lines[:, :, 0::2] + lines[:, :, 1::2]) / 4, np.float32)


def _fields(country: Country, district: Ints, x: Floats, y: Floats, moist: Floats, soil: Floats) -> Floats:
    """Parcels in strips, each with its crop, rows and tramlines."""
    angle = country.districts.angle[district]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    edges = 0.6 * country.table
    broad = 16 + 34 * country.table[mixed(district)]
    strip, low, high = cells(u, broad, edges, mixed(district, 1))
    long = broad * (1.5 + 2.5 * country.table[mixed(district, 2)])
    piece, near, far = cells(v, long, edges, mixed(district, strip))
    parcel = mixed(district, strip, piece)
    image = CROPS.T[:, country.crops[parcel]]
    light = 1 + 0.16 * (country.table[parcel] - 0.5) + 0.045 * soil + 0.05 * moist
    light *= _rows(country.table, parcel, u, v)
    image *= light
    image[3] *= 1 + 0.06 * moist
    margin = np.minimum(np.minimum(low, high), np.minimum(near, far))
    hedge = (margin < 0.9) & (country.table[mixed(district, strip, 5)] < 0.22) & (soil > -0.6)
    _blend(image, VERGE, 0.75 * (margin < 0.45))
    _blend(image, TREES, hedge)
    return image


def _rows(table: Floats, parcel: Ints, u: Floats, v: Floats) -> Floats:
    """Drilling rows and tramlines as a factor on the light of every point."""
    turned = table[parcel - 1] < 0.25
    across = np.where(turned, v, u)
    period = 2.6 + 5.5 * table[parcel - 2]
    strength = 0.09 * table[parcel - 3] ** 2
    waves = 1 + strength * np.sin(across * (2 * np.pi / period))
    tram = 4.8 + 4.8 * (table[parcel - 4] > 0.5)
    track = (across % tram < 0.7) & (table[parcel - 5] < 0.55)
    return np.asarray(np.where(track, 0.9 * waves, waves), np.float32)


def _roads(image: Floats, clear: Floats, soil: Floats) -> None:
    """Asphalt on the dividing lines with a verge on both sides; the narrowest are gravel tracks."""
    _blend(image, VERGE, np.clip(1.6 - clear, 0, 1) * 0.8)
    _blend(image, TREES, (clear > 0.9) & (clear < 2.2) & (soil > 1.2))
    _blend(image, ASPHALT, clear < 0)


def _forest(image: Floats, above: NDArray[np.floating], canopy: Floats, moist: Floats) -> None:
    """Woods where `above` is positive: stands of conifers and broadleaves, crowns lit from one side."""
    wood = np.clip(above * 25, 0, 1)
    if not wood.any():
        return
    leafy = np.clip(0.5 + 4 * (moist + 0.15 * canopy), 0, 1)
    crowns = np.clip(1 + 0.17 * canopy + 0.35 * np.gradient(canopy, axis=1), 0.35, 1.9)
    for band, (dark, bright) in enumerate(zip(CONIFER, BROADLEAF, strict=True)):
        image[band] += wood * ((dark + leafy * (bright - dark)) * crowns - image[band])


def _water(
    image: Floats, country: Country, rows: Floats, cols: Floats, relief: Floats, canopy: Floats, soil: Floats
) -> None:
    """A winding river with bars and trees on its banks, lakes in the hollows, and a motorway over all of it."""
    start, lean, one, two, three, width = country.river
    size = country.shape[1]
    line = size * start + lean * rows
    line += 55 * np.sin(rows / 170 + one) + 26 * np.sin(rows / 67 + two) + 6 * np.sin(rows / 23 + three)
    steep = np.sqrt(1 + np.gradient(line, rows) ** 2)[:, None]
    side = (cols[None, :] - line[:, None]) / steep
    bend = np.sin(rows / 67 + two)[:, None]
    broad = width + 2.5 * np.sin(rows / 90 + three)[:, None]
    lake = -1.55 - relief - 0.01 * canopy
    bank = np.minimum(np.abs(side) - broad, np.where(lake > -0.3, -lake * 90, np.inf))
    _blend(image, TREES, (bank < 7 + 2 * canopy) & (canopy > -0.4))
    _blend(image, GRAVEL, (side * bend > 0) & (np.abs(side) < broad + 5 * bend**2 * (1 + soil)))
    _blend(image, WATER, bank < 0)
    wet = np.nonzero(bank < 0)
    image[:, wet[0], wet[1]] += 20 * np.tanh(soil[wet]) + 90 * np.exp(bank[wet] / 3)
    _motorway(image, country, rows, cols)


def _motorway(image: Floats, country: Country, rows: Floats, cols: Floats) -> None:
    """Two carriageways with a green strip between them."""
    start, lean, one, *_ = country.river
    line = country.shape[0] * (1 - start) - 1.4 * lean * cols + 40 * np.sin(cols / 330 + one)
    side = np.abs(rows[:, None] - line[None, :]) / np.sqrt(1 + np.gradient(line, cols) ** 2)[None, :]
    _blend(image, VERGE, np.clip(5.5 - side, 0, 1))
    _blend(image, MOTORWAY, (side > 0.5) & (side < 2.7))
    _blend(image, (2300, 2400, 2450, 2500), 0.5 * (np.abs(side - 1.6) < 0.12))


def _blend(image: Floats, colour: tuple[int, ...], share: NDArray[np.generic]) -> None:
    """Move `image` (4, Y, X) towards `colour` by `share` (Y, X), 0 to 1, in place."""
    there = np.nonzero(share)
    part = share[there].astype(np.float32)
    for band, value in zip(image, colour, strict=True):
        band[there] += part * (value - band[there])
