"""Country divided by roads: lines that halve a rectangle again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srcore.samples.noise import Floats, Ints


@dataclass(frozen=True)
class Districts:
    """A binary tree of dividing lines: `levels` of them, node k has the children 2k + 1 and 2k + 2."""

    levels: int
    normal: Floats
    """(nodes, 2): unit normal (x, y) of each dividing line."""
    offset: Floats
    """(nodes,): distance of the line from the origin."""
    width: Floats
    """(nodes,): width of the road on the line, in pixels; 0 for none."""
    middle: Floats
    """(nodes, 2): a point (x, y) of each line, near the middle of what it divides."""
    angle: Floats
    """(districts,): direction of the fields, in radians."""

    def locate(self, x: Floats, y: Floats) -> tuple[Ints, Floats]:
        """For each point: its district, and how far it is outside the nearest road (negative on the road)."""
        east, south = np.ascontiguousarray(self.normal.T)
        node = np.zeros(x.shape, np.int32)
        half = np.where(self.width > 0, self.width / 2, -np.inf).astype(np.float32)
        clear = np.full(x.shape, np.inf, np.float32)
        for _ in range(self.levels):
            side = x * east[node] + y * south[node] - self.offset[node]
            np.minimum(clear, np.abs(side) - half[node], out=clear)
            node = 2 * node + 1 + (side > 0)
        return node - np.int32(2**self.levels - 1), clear


def divide(shape: tuple[int, int], levels: int, rng: np.random.Generator) -> Districts:
    """A rectangle of `shape` divided `levels` times, each part across its longer side, near its middle."""
    nodes = 2**levels - 1
    normal, middle = np.zeros((nodes, 2)), np.zeros((nodes, 2))
    polygons = {0: np.array([(0, 0), (shape[1], 0), (shape[1], shape[0]), (0, shape[0])], float)}
    for node in range(nodes):
        polygon = polygons.pop(node)
        middle[node] = polygon.mean(axis=0) + rng.normal(0, 0.06, 2) * np.ptp(polygon, axis=0)
        sides = np.roll(polygon, -1, axis=0) - polygon
        along = sides[np.argmax(np.hypot(*sides.T))]
        turn = np.arctan2(along[1], along[0]) + rng.normal(0, 0.12)
        normal[node] = np.cos(turn), np.sin(turn)
        for child, sign in ((2 * node + 1, -1), (2 * node + 2, 1)):
            polygons[child] = _cut(polygon, normal[node] * sign, float(normal[node] @ middle[node]) * sign)
    level = np.floor(np.log2(np.arange(nodes) + 1))
    width = np.select([level < levels - 4, level < levels - 2, level < levels - 1], [2.2, 1.6, 1.0], 0.0)
    last = normal[2 ** (levels - 1) - 1 :]
    angle = np.repeat(np.arctan2(last[:, 1], last[:, 0]), 2) + rng.normal(0, 0.1, 2**levels)
    offset = np.einsum("ij,ij->i", normal, middle)
    return Districts(levels, *(part.astype(np.float32) for part in (normal, offset, width, middle, angle)))


def _cut(polygon: NDArray[np.float64], normal: NDArray[np.float64], offset: float) -> NDArray[np.float64]:
    """The part of a convex polygon on the positive side of a line."""
    side = polygon @ normal - offset
    corners = []
    for i, j in zip(range(len(polygon)), np.roll(range(len(polygon)), -1), strict=True):
        if side[i] >= 0:
            corners.append(polygon[i])
        if side[i] * side[j] < 0:
            corners.append(polygon[i] + (polygon[j] - polygon[i]) * side[i] / (side[i] - side[j]))
    return np.array(corners)
