"""The model card that a training run writes beside its weights."""

from __future__ import annotations

from collections.abc import Mapping

from srcore.checkpoints import Spec
from srcore.training.config import TrainConfig


def model_card(config: TrainConfig, spec: Spec, steps: int) -> str:
    """README.md of the checkpoint `spec`, after `steps` steps of the recipe `config`."""
    scale, halo = spec.scale[0], spec.halo[0]
    shares = "\n".join(f"| `{source.files}` | {source.share:g} |" for source in config.sources)
    return f"""# {spec.name}

Single-image super-resolution by {scale}, one band or slice at a time: any band count, any sensor, 8 to 32 bits.
SR = cubic(LR) + F(LR), architecture `{spec.architecture.name}` ({_listed(spec.architecture.params)}), halo {halo} LR
pixels, no padding inside. Input: each band mapped so that its 2nd and 98th percentile become 0 and 1.
Licence of the weights: {spec.licence}.

## Training

{steps} of {config.steps} steps of {config.batch} patches with {config.core_px} x {config.core_px} LR pixels in the loss
(L1), Adam from {config.learning_rate:g} down a cosine, averaged weights (decay {config.ema_decay:g}), seed
{config.seed}. LR = HR shrunk by antialiased bicubic and rounded to the dtype of the source.

| files | share of patches |
|---|---|
{shares}

{config.attribution.strip()}

## Figures

{_table(spec.metrics)}

## Limits

{config.limits.strip()}
"""


def _listed(params: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    if not metrics:
        return "Not scored yet."
    rows = "\n".join(
        f"| {group} | {m['psnr']:.2f} | {m['psnr_bicubic']:.2f} | {m['psnr'] - m['psnr_bicubic']:+.2f} "
        f"| {m['ssim']:.4f} | {m['ssim_bicubic']:.4f} |"
        for group, m in metrics.items()
    )
    return f"""Validation scenes of places that were not trained on, mean of the scenes of each sensor. PSNR in dB with
range 255 for uint8, else the span of the 2nd to 98th percentile of the band; border of `scale` pixels cut.

| sensor | PSNR | bicubic | gain | SSIM | bicubic |
|---|---|---|---|---|---|
{rows}"""
