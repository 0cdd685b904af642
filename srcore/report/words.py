"""The checks in plain words: what each one asks, for people who have not read the code."""

from __future__ import annotations

import re

WORDS = {
    "file.blocks": "Can every part of the file be read?",
    "file.layout": "Is the file laid out so that maps can stream it?",
    "file.overviews": "Do the small previews inside the file show the same picture?",
    "file.stac": "Is the catalogue entry beside the product valid?",
    "file.zarr": "Does the Zarr beside the product hold the same pixels?",
    "scene.empty": "Is there anything in the scene at all?",
    "grid.shape": "Is the product exactly as many times larger than the input as it should be?",
    "grid.crs": "Is the product in the same coordinate system as the input?",
    "grid.corners": "Does the product cover the same place, corner on corner?",
    "grid.points": "Do the control points lie on the same things as in the input?",
    "values.dtype": "Are the numbers stored the way the input stores them?",
    "mask.equal": "Is 'nothing here' exactly where it is in the input?",
    "values.finite": "Is there a real number in every valid pixel?",
    "values.mean": "Did the average of every band stay the same?",
    "values.flat": "Is any area of the product blank where the input shows something?",
    "values.block_mean": "Did the average stay the same also in every small area?",
    "values.quantiles": "Are dark and bright pixels as frequent as in the input?",
    "values.copied": "Is every class, bit, angle and guide exactly the one of the input?",
    "values.range": "Do all numbers keep to the valid range?",
    "values.beyond": "Do many numbers lie beyond the least and the greatest of the input?",
    "values.reach": "Does any number lie far beyond the least and the greatest of the input?",
    "values.sign": "Are there negative numbers, or positive ones, where the input has none?",
    "values.bounded": "Do numbers leave the range of shares, indices or percent that the input fills?",
    "values.clipped": "Were highlights or shadows cut off?",
    "values.saturated": "Does the product reach the end of its number range more often than the input?",
    "spectral.angle": "Are the colours, band against band, the input's?",
    "spectral.reflectance": "How far the product, shrunk back, lies from the input, relative to its mean.",
    "registration.shift": "Does everything lie where it lies in the input?",
    "registration.corner": "Is that so in the corners of the scene too?",
    "slices.step": "Does every slice fit those beside it?",
    "seams.step": "Do the tiles fit each other without a visible edge?",
    "detail.least": "Is any band blurred?",
    "detail.most": "Is there more fine texture than the input can explain?",
    "detail.beyond": "How much of the product leaves the range of the input around it?",
    "denoise.removed": "Was no more taken out of the input than its noise?",
    "wald.gain": "One scale lower, where the truth is known: is the model better than bicubic enlargement?",
    "opensr.improvement": "Share of the fine detail that is true.",
    "opensr.omission": "Share of the fine detail that is missing.",
    "opensr.hallucination": "Share of the fine detail that is made up.",
    "consistency.ratio": "Shrunk back to the input's size, does the product give the input again?",
    "consistency.rmse": "How far the product, shrunk back, lies from the input.",
    "tissue.air": "Shrunk back in all three directions, does air have the input's Hounsfield units?",
    "tissue.soft": "Shrunk back in all three directions, does soft tissue have the input's Hounsfield units?",
    "tissue.bone": "Shrunk back in all three directions, does bone have the input's Hounsfield units?",
    "tissue.air_mean": "Is air as dense on average as in the input?",
    "tissue.soft_mean": "Is soft tissue as dense on average as in the input?",
    "tissue.bone_mean": "Is bone as dense on average as in the input?",
    "trust.mask": "Does the trust map say something of every valid pixel, and nothing of the others?",
    "trust.width": "How far, on average, a pixel may be off.",
    "trust.coverage": "Does the true value lie within the width of the trust map as often as it should?",
    "reference.psnr": "How close the product comes to the true high-resolution image (more is better).",
    "reference.psnr_bicubic": "How close plain bicubic enlargement comes to it.",
    "reference.lpips": "How different it looks from the true image, to a network taught by people.",
    "reference.lpips_bicubic": "How different plain bicubic enlargement looks.",
    "reference.gain": "Is the product closer to the truth than bicubic enlargement?",
}
FAMILIES = {
    "grid": "Geometry",
    "file": "File",
    "values": "Values and mask",
    "mask": "Values and mask",
    "consistency": "Consistency with the input",
    "registration": "Registration",
    "seams": "Seams between tiles",
    "slices": "Slices beside each other",
    "scene": "Scene",
    "spectral": "Colours",
    "tissue": "Hounsfield units",
    "detail": "Detail",
    "denoise": "Noise",
    "wald": "Self-test one scale down",
    "trust": "Trust map",
    "drift": "Drift of the dataset",
    "reference": "Against the true high resolution",
    "opensr": "Against the true high resolution",
}
CONSISTENCY = "as far from the input, when shrunk back to its size, as plain {plain} enlargement is; below 1 is closer"
"""What the headline figure `consistency.ratio` says, `plain` being how the input was enlarged."""
VERDICTS = {
    "published": "Every check was passed. The product may be used.",
    "degraded": "All gates were passed, but not every warning: look at the marked checks before you rely on it.",
    "quarantined": "A gate was not passed: the product should not be used before the marked checks are understood.",
}
OF_VOLUMES = {
    "published": "It passed its checks; not for diagnosis.",
    "degraded": "It passed all gates, but not every warning: look at the marked checks. Not for diagnosis.",
    "quarantined": "A gate was not passed: do not use it before the marked checks are understood. Not for diagnosis.",
}
"""The same of a volume."""


FOLDERS = re.compile(r"(?<![\w./:<])/(?:[^\s/'\";:,()<>]+/)+")


def without_folders(text: str) -> str:
    """A message without the folders of the paths in it: a page goes to people who need not know a server's disks."""
    return FOLDERS.sub("", text)


def in_words(check: str, basis: str) -> str:
    """What a check asks; its basis for one that has no words here."""
    return WORDS.get(check) or (basis[:1].upper() + basis[1:] if basis else check)


def family(check: str) -> str:
    """Heading that a check stands under."""
    name = check.partition(".")[0]
    return FAMILIES.get(name, name.capitalize())
