"""The model card that a training run writes beside its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srcore.checkpoints import Spec
from srcore.training.config import Degradation, TrainConfig


def model_card(config: TrainConfig, spec: Spec, steps: int) -> str:
    """README.md of the checkpoint `spec`, after `steps` steps of the recipe `config`."""
    scale = str(spec.scale[0]) if len({*spec.scale}) == 1 else " x ".join(map(str, spec.scale))
    shares = "\n".join(f"| `{source.files}` | {source.share:g} |" for source in config.sources)
    cores = config.core_px if isinstance(config.core_px, tuple) else (config.core_px,) * len(spec.scale)
    side = " x ".join(map(str, cores))
    unit = "pixels of the guides" if spec.zoom > 1 else "LR pixels"
    return f"""# {spec.name}

{_purpose(spec, scale)}, architecture `{spec.architecture.name}` ({_listed(spec.architecture.params)}), halo
{spec.halo[0]} {unit}, no padding inside.
Input: each band mapped so that its 2nd and 98th percentile become 0 and 1.
Licence of the weights: {spec.licence}.

## Training

{steps} of {config.steps} steps of {config.batch} patches with {side} {unit} in the loss
({_losses(config)}), {config.optimiser.upper() if config.optimiser == "sgd" else config.optimiser.capitalize()} from \
{config.learning_rate:g} down a cosine, averaged weights (decay {config.ema_decay:g}), seed
{config.seed}. {_degradation(config)}

| files | share of patches |
|---|---|
{shares}

{config.attribution.strip()}

## Figures

{_table(spec)}

## Limits

{config.limits.strip()}
"""


def _purpose(spec: Spec, scale: str) -> str:
    if spec.zoom > 1:
        return f"""Bands that are {spec.zoom} times coarser brought to the grid of finer ones of the same scene, its
guides: any number of them, any band, any sensor, 8 to 32 bits. SR = cubic(LR) + D + F, D the
detail of the guides weighted by local regression, F a network"""
    return f"""Single-image super-resolution by {scale}, {_seen(spec)}, any sensor, 8 to 32 bits.
SR = cubic(LR) + F(LR)"""


def _seen(spec: Spec) -> str:
    if spec.kind == "volume":
        return "whole volumes (slices help each other)"
    if spec.bands == "any":
        return "one band or slice at a time: any band count"
    return f"{spec.bands} bands seen together"


def _losses(config: TrainConfig) -> str:
    names = [name.upper() if len(name) <= 4 else name for name in config.losses]
    if list(config.losses.values()) != [1.0]:
        names = [f"{weight:g} x {name}" for name, weight in zip(names, config.losses.values(), strict=True)]
    critic = config.adversarial
    if critic is not None:
        names.append(f"{critic.weight:g} x {critic.kind} adversarial with R1 {critic.r1:g}, from step {critic.start}")
    if config.back_projection:
        names.append(f"behind {config.back_projection} steps of back-projection, as it is published")
    if config.start_from:
        names.append(f"started from {config.start_from}")
    return ", ".join(names)


def _degradation(config: TrainConfig) -> str:
    if all(source.lr for source in config.sources):
        return "LR as measured."
    if config.architecture.name == "guided":
        return (
            f"By Wald's protocol: the band itself is the truth, its LR is made of it, {_mixed(config.degradation)};"
            " finer bands are reduced to its grid as guides, or bands of one grid guide each other."
        )
    text = f"LR = HR {_mixed(config.degradation)}, rounded to the dtype of the source."
    own = {source.files: source.degradation for source in config.sources if source.degradation}
    text += "".join(f" Of {files}: {_mixed(ways)}." for files, ways in own.items())
    if measured := [source.files for source in config.sources if source.lr]:
        text += f" LR as measured: {', '.join(measured)}."
    return text


def _mixed(ways: Sequence[Degradation]) -> str:
    """In words, with the share of each where there are several."""
    if len(ways) == 1:
        return _way(ways[0])
    total = sum(way.share for way in ways)
    return ", or ".join(f"{_way(way)} ({way.share / total:.0%})" for way in ways)


def _way(made: Degradation) -> str:
    text = {
        "bicubic": "shrunk by antialiased bicubic",
        "box": "averaged over LR pixels",
        "sensor": f"through Gaussian optics with an MTF of {made.mtf[0]:g} to {made.mtf[1]:g} at LR Nyquist",
        "cos2": "weighed across slices by cos^2 over twice their thickness",
    }[made.kind]
    if made.kind == "cos2" and tuple(made.width) != (1.0, 1.0):
        text += f", {made.width[0]:g} to {made.width[1]:g} times as thick as their distance"
    text += f", off by up to {made.shift:g} LR pixels" if made.shift else ""
    return text + (f", with noise of {made.noise[0]:g} to {made.noise[1]:g} spans" if made.noise[1] else "")


def _listed(params: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _table(spec: Spec) -> str:
    plain = "trilinear" if spec.kind == "volume" else "bicubic"
    if spec.zoom > 1:
        return "`python -m benchmarks.guided` prints them, GS and MTF-GLP beside; docs/quality.md has them."
    if not spec.metrics:
        return "Not scored yet."
    rows = "\n".join(
        f"| {group} | {m['psnr']:.2f} | {m['psnr_bicubic']:.2f} | {m['psnr'] - m['psnr_bicubic']:+.2f} "
        f"| {m['ssim']:.4f} | {m['ssim_bicubic']:.4f} |"
        for group, m in spec.metrics.items()
    )
    return f"""Validation scenes of places that were not trained on, mean of the scenes of each sensor. PSNR in dB with
range 255 for uint8, else the span of the 2nd to 98th percentile of the band; border of `scale` pixels cut.
SR {spec.training["judged"]}.

| sensor | PSNR | {plain} | gain | SSIM | {plain} |
|---|---|---|---|---|---|
{rows}"""
