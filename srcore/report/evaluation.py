"""An evaluation of generators as one HTML page that needs nothing else, and the values that it tells. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from markupsafe import Markup

from srcore.report.figures import Point, dots_figure, pareto_figure, shares_figure
from srcore.report.page import policy, render


@dataclass(frozen=True)
class Figures:
    """One scene under one method; the opensr-test figures are None for volumes and for images too small for them."""

    psnr: float
    """dB."""
    ssim: float
    radiometry: float | None = None
    """Mean |averaged SR - averaged HR|, in spans of the bands: 0 is best, whatever the sensor did to the LR."""
    spectra: float | None = None
    """Mean angle between the spectra of averaged SR and averaged HR, in degrees."""
    improvement: float | None = None
    omission: float | None = None
    hallucination: float | None = None
    """Shares of the pixels with detail, of sum 1 with the two before."""
    synthesis: float | None = None
    reflectance: float | None = None
    """Against the LR, in spans of the bands."""
    spectral: float | None = None
    """Against the LR, in degrees."""
    spatial: float | None = None
    """LR pixels."""


NAMES = tuple(one.name for one in fields(Figures))
UNITS = {
    "psnr": "dB",
    "radiometry": "spans",
    "spectra": "degrees",
    "spectral": "degrees",
    "spatial": "LR px",
    "synthesis": "spans",
    "reflectance": "spans",
    "improvement": "of detail",
    "omission": "of detail",
    "hallucination": "of detail",
}
BEST_LOW = frozenset({"radiometry", "spectra", "omission", "hallucination", "reflectance", "spectral", "spatial"})


FEWEST = 3
"""Scenes that an interval is told of."""


@dataclass(frozen=True)
class Estimate:
    """A mean over scenes with the ends of its 95 % confidence interval; they are the mean where it has one scene."""

    mean: float
    low: float
    high: float
    scenes: int

    def __str__(self) -> str:
        return f"{self.mean:.4g} ({self.low:.4g} to {self.high:.4g})" if self.has_interval else f"{self.mean:.4g}"

    @property
    def has_interval(self) -> bool:
        """True where there are scenes enough that an interval says something: of two it is the two."""
        return self.scenes >= FEWEST

    def signed(self, digits: int = 2) -> str:
        """A difference, with its interval where that says something."""
        mean, low, high = (f"{value:+.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} ({low} to {high})" if self.has_interval else mean


@dataclass(frozen=True)
class Speed:
    """Of one thread by the engine."""

    lr_mpx_s: float
    """LR megapixels (of volumes megavoxels) a CPU second."""
    backend: str
    precision: str


@dataclass(frozen=True)
class Method:
    """What was evaluated: a generator, or plain interpolation (without digest)."""

    name: str
    digest: str = ""
    parameters: int = 0
    precision: str = ""
    """That its quality was computed in."""
    speed: Speed | None = None


@dataclass(frozen=True)
class SceneFigures:
    """One scene under every method."""

    scene: str
    sensor: str
    by: Mapping[str, Figures]


@dataclass(frozen=True)
class Stop:
    """A gate that the last method's product of a scene does not pass."""

    scene: str
    gate: str
    told: str
    """The finding with its figures, in a line."""
    before: bool = False
    """True where the gate stops the champion's product of the scene, too: then it is held against neither."""


@dataclass(frozen=True)
class Evaluation:
    """Methods on scenes, the plain one first."""

    data: str
    """Which scenes."""
    lr: str
    """How the LR came about."""
    form: str
    """What was made of it: what a run publishes, with its settings, or the network's numbers alone."""
    methods: tuple[Method, ...]
    scenes: tuple[SceneFigures, ...]
    means: Mapping[str, Mapping[str, Estimate]]
    """Method to figure to mean; figures that no scene has are left out."""
    gains: Mapping[str, Estimate]
    """'A over B' to the mean difference of PSNR in dB, paired by scene."""
    sensors: Mapping[str, Mapping[str, float]]
    """Sensor to 'A over B' to the mean difference."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Scene to the reason why it was not looked at."""
    stops: tuple[Stop, ...] = ()
    """What VALIDATE would stop of the products of a challenger."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


Verdict = Sequence[str]
"""What was decided, and why."""


def evaluation_page(evaluation: Evaluation, title: str, verdict: Verdict = ()) -> str:
    """The page: figures with intervals, plots, every scene; `verdict` is told first where something was decided."""
    plain, *models = (method.name for method in evaluation.methods)
    return render(
        "evaluation.html",
        facts=evaluation,
        title=title,
        verdict=verdict,
        rows=[
            (name, UNITS.get(name, ""), [evaluation.means[method.name].get(name) for method in evaluation.methods])
            for name in NAMES
            if any(name in figures for figures in evaluation.means.values())
        ],
        plots=plots(evaluation),
        plain=plain,
        models=models,
        low=BEST_LOW,
        policy=policy((), "data:"),
    )


def plots(evaluation: Evaluation) -> list[tuple[str, Markup]]:
    """Headings and figures."""
    names = [method.name for method in evaluation.methods]
    scenes = [one.scene for one in evaluation.scenes]
    psnr = {name: [one.by[name].psnr for one in evaluation.scenes] for name in names}
    gains = {name: [a - b for a, b in zip(psnr[name], psnr[names[0]], strict=True)] for name in names[1:]}
    drawn = [
        ("PSNR of every scene", dots_figure("psnr", scenes, psnr, "dB")),
        (f"Gain over {names[0]}", dots_figure("gain", scenes, gains, "dB")),
    ]
    shares = {
        name: [evaluation.means[name][share].mean for share in ("improvement", "omission", "hallucination")]
        for name in names
        if "improvement" in evaluation.means[name]
    }
    timed = [method for method in evaluation.methods if method.speed]
    if len(timed) > 1:
        drawn.insert(0, ("Quality and speed", pareto_figure("pareto", _points(evaluation), f"dB over {names[0]}")))
    if shares:
        drawn.append(("Detail: true, missing, made up (opensr-test)", shares_figure("detail", shares)))
    return drawn


def _points(evaluation: Evaluation) -> list[Point]:
    plain = evaluation.methods[0].name
    found = []
    for method in evaluation.methods:
        if method.speed:
            gain = evaluation.gains[f"{method.name} over {plain}"]
            ends = (gain.low, gain.high) if gain.has_interval else (None, None)
            found.append(Point(method.name, method.speed.lr_mpx_s, gain.mean, *ends))
    return found
