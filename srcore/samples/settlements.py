"""Villages, works and farms: streets, houses with two roof sides, their shadows, gardens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srcore.samples.noise import Floats, mixed

SHADOW = (-0.75, -0.66)
"""Where shadows fall, as (x, y) with y downwards: north-west, as in the morning."""

ROOFS = np.array(
    [
        (720, 900, 1850, 2500),
        (640, 780, 1500, 2150),
        (900, 1150, 2250, 2900),
        (560, 620, 690, 880),
        (1150, 1230, 1300, 1500),
        (2300, 2450, 2550, 2750),
        (3300, 3450, 3500, 3650),
        (1500, 1700, 1750, 1900),
    ],
    np.float32,
)
"""DN of roofs in blue, green, red and near infrared: tiles, slate, concrete, metal."""

LAWN, PAVED, TREE = (450, 800, 580, 3400), (880, 1020, 1120, 1900), (260, 480, 310, 3300)


@dataclass(frozen=True)
class Settlement:
    """Houses around a point."""

    x: float
    y: float
    radius: float
    angle: float
    size: float
    """1 for houses of about 12 m; more for halls."""
    roofs: tuple[int, ...]
    """Rows of ROOFS."""
    salt: int

    def paint(self, image: Floats, x: Floats, y: Floats, rough: Floats, table: Floats) -> None:
        """Draw on `image` (4, Y, X) at the points `x`, `y` (Y, X); `rough` frays the edge; `table` is random."""
        turn = np.arctan2(y - self.y, x - self.x)
        wide = 1 + 0.2 * np.sin(3 * turn + self.salt % 7) + 0.12 * np.sin(5 * turn + self.salt % 5)
        outward = np.hypot(x - self.x, y - self.y) / (self.radius * wide)
        inside = np.nonzero(outward < 1)
        if not len(inside[0]):
            return
        east, south, outward = x[inside] - self.x, y[inside] - self.y, outward[inside]
        values = image[:, inside[0], inside[1]]
        street, roof, lit, tone = self._plan(east, south, outward, table)
        shade = self._plan(east - 0.8 * self.size * SHADOW[0], south - 0.8 * self.size * SHADOW[1], outward, table)[1]
        values += (1 - outward**4) * (_garden(rough[inside]) - values)
        values = np.where(street, np.array([[930], [1020], [1080], [1300]], np.float32) * (0.95 + 0.1 * tone), values)
        values = np.where(shade & ~roof, values * 0.42, values)
        colour = ROOFS[np.array(self.roofs)[(tone * 997).astype(int) % len(self.roofs)]].T
        values = np.where(roof, colour * lit, values)
        image[:, inside[0], inside[1]] = values

    def _plan(
        self, east: Floats, south: Floats, outward: Floats, table: Floats
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats, Floats]:
        """For each point: on a street? under a roof? light on the roof; a number of the house in [0, 1)."""
        u = (east * np.cos(self.angle) + south * np.sin(self.angle)) / self.size
        v = (south * np.cos(self.angle) - east * np.sin(self.angle)) / self.size
        u = u + 2.2 * np.sin(v / 11 + self.salt % 13)
        row, col = np.floor(u / 7).astype(np.int32), np.floor(v / 5).astype(np.int32)
        street = ((row % 2 == 0) & (u - 7 * row < 1.3 / self.size)) | ((col % 9 == 0) & (v - 5 * col < 1.1 / self.size))
        house = mixed(row, col, self.salt)
        jitter = table[house]
        across, along = u - 7 * row - 3.9 - 1.2 * (jitter - 0.5), v - 5 * col - 2.5 - 1.4 * (table[house - 1] - 0.5)
        half = 1.0 + 0.5 * table[house - 2]
        roof = (
            (np.abs(across) < half)
            & (np.abs(along) < 0.8 + 0.9 * table[house - 3])
            & (table[house - 4] < 0.95 - 0.5 * outward**2)
        )
        away = np.cos(self.angle) * SHADOW[0] + np.sin(self.angle) * SHADOW[1]
        lit = np.where(across * away > 0, 0.82, 1.12).astype(np.float32)
        return street, roof & ~street, lit, jitter


def _garden(rough: Floats) -> Floats:
    """Lawns, paving and trees (4, points)."""
    lawn, paved, tree = (np.array(dn, np.float32)[:, None] for dn in (LAWN, PAVED, TREE))
    ground = paved + np.clip(0.75 + 0.4 * rough, 0, 1) * (lawn - paved)
    return np.asarray(np.where(rough > 0.75, tree, ground), np.float32)


def settle(middles: Floats, shape: tuple[int, int], rng: np.random.Generator) -> list[Settlement]:
    """Villages and works on the roads' middles, the greatest on the oldest roads, and farms anywhere."""
    houses, halls = (0, 0, 0, 1, 1, 2, 3, 4, 7), (4, 5, 5, 6, 6, 7)
    found = []
    for node, (x, y) in enumerate(middles):
        if node and rng.random() > 0.42:
            continue
        radius, turn = float(rng.uniform(26, 62) + 34 * (node < 3)), float(rng.uniform(0, np.pi))
        found.append(Settlement(float(x), float(y), radius, turn, 1.0, houses, int(rng.integers(1 << 30))))
        if rng.random() < 0.5:
            away = rng.uniform(0, 2 * np.pi)
            x, y = x + 1.1 * radius * np.cos(away), y + 1.1 * radius * np.sin(away)
            found.append(Settlement(float(x), float(y), 0.5 * radius, turn, 3.2, halls, int(rng.integers(1 << 30))))
    for _ in range(shape[0] * shape[1] // 70_000):
        x, y, turn = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(0, np.pi)
        found.append(Settlement(float(x), float(y), 8.0, float(turn), 1.6, (0, 1, 3, 4), int(rng.integers(1 << 30))))
    return found
