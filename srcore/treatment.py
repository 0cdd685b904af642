"""What is done to a scene's numbers beside the generator: one value, from the catalog to the worker.

    LR --nodata filled, denoise--> generator --sharpen--> --back-projection--> SR, and how far it may be off (trust)

A new knob is a field here, with a default that leaves every product as it is: a field at its default stands in no
digest, so that no archive becomes due again because of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from srcore.choices import (
    ALPHA_RULES,
    BACK_PROJECTION,
    MAX_BACK_PROJECTION,
    MAX_DENOISE,
    MAX_SHARPEN,
    PROFILE_STEPS,
    VALUES_RULES,
    AlphaRule,
    Identity,
    Modality,
    MosaicOrder,
    QualityWish,
    Range,
    Resample,
    SliceProfile,
    Told,
    ValuesRule,
)
from srcore.errors import PlanError
from srcore.filters import SHARPEN_PX
from srcore.layout import check_date
from srcore.trust import Trust

BACK_PROJECTION_PX = 1
"""LR pixels on each side that one step of back-projection needs; with a profile of slices, which sees the next ones,
one more."""


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What is done to the numbers of a scene, before the generator and after it."""

    nodata: float | None = None
    """DN for 'nothing here' that the user names; None: what the files say."""
    alpha: AlphaRule = "auto"
    """What a band means that is called alpha; auto: its values tell."""
    values: ValuesRule | dict[str, ValuesRule] = "auto"
    """What the numbers are, of all bands or by their names; auto: what the files say and what they look like. All but
    continuous ones are repeated and never go through the generator."""
    valid_range: Range | None = None
    """Least and greatest stored number that the SR may have, in all bands that are continuous; None: no end."""
    date: str | None = None
    """When its scenes were taken, or where their names say it (`srcore.layout.dates_by`); None: what the files say."""
    quality: QualityWish | None = None
    """Which layer of clouds to heed, and how; None: none."""
    series: str | None = None
    """Which DICOM series of a folder, by its UID or the name that it is listed by; None: the only one."""
    volume: str | None = None
    """Which volume of a DICOM series of several (times, echoes, b-values), as EchoTime=30; None: the only one."""
    resample: Resample | None = None
    """What is made of a DICOM series that is not even or straight; None: it is refused."""
    modality: Modality | None = None
    """What a volume is of; None: what its file says, or its numbers."""
    identity: Identity = "remove"
    """Of a derived DICOM series: whether what tells of the patient stays in it."""
    mosaic: MosaicOrder | None = None
    """Which file comes first where several of a mosaic have a pixel; None: its scenes are none."""
    back_projection: int | None = None
    """Steps that make the SR, averaged down, give the LR back; 0: the generator's own numbers; None: see `steps`."""
    slice_profile: SliceProfile | None = None
    """Of volumes whose slices are made finer: what back-projection and checks take a slice of the LR for; None: what
    the checkpoint says, which `for_model` puts in its place."""
    denoise: float = 0.0
    """Times the noise that is found in the LR: what is taken out of it; 0: nothing."""
    sharpen: float = 0.0
    """Amount of sharpening of the SR; 0: none."""
    trust: Trust | None = None
    """The generator's calibration, where a map of how far each pixel may be off is made."""

    @property
    def of_files(self) -> Told:
        """What it says of the files themselves, for the readers of headers."""
        return {
            "nodata": self.nodata,
            "alpha": self.alpha,
            "values": self.values,
            "valid_range": self.valid_range,
            "quality": self.quality,
            "series": self.series,
            "volume": self.volume,
            "resample": self.resample,
            "modality": self.modality,
            "mosaic": self.mosaic,
            "date": self.date,
        }

    @property
    def margin_px(self) -> int:
        """LR pixels around a core, beyond the generator's halo, that what follows the generator needs."""
        return self.steps * self.step_px + (SHARPEN_PX if self.sharpen else 0)

    @property
    def steps(self) -> int:
        """Steps of back-projection: as many as are said, or usual of the checkpoint, else one; PROFILE_STEPS by a
        profile."""
        usual = PROFILE_STEPS if self.is_by_profile else BACK_PROJECTION
        return usual if self.back_projection is None else self.back_projection

    @property
    def step_px(self) -> int:
        """LR pixels on each side that a step of its back-projection needs."""
        return BACK_PROJECTION_PX + self.is_by_profile

    @property
    def is_by_profile(self) -> bool:
        """Whether a slice of the LR is taken for something else than the plain mean of thinner ones."""
        return self.slice_profile not in (None, "box")

    def for_model(self, own: SliceProfile, steps: int | None = None) -> Treatment:
        """This treatment with a checkpoint's `own` profile of slices, and its usual `steps`, where none are said."""
        profile = own if self.slice_profile is None else self.slice_profile
        return replace(
            self,
            slice_profile=profile,
            back_projection=steps if self.back_projection is None else self.back_projection,
        )

    def changed(self) -> dict[str, Any]:
        """The fields that are not at their default, as plain values for digests, receipts and STAC items."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {name: found[name] for name, value in vars(Treatment()).items() if found[name] != value}
        own = {"slice_profile": (self.slice_profile, "box"), "back_projection": (self.steps, BACK_PROJECTION)}
        for name, (value, usual) in own.items():  # said or not, the usual is what products had before None was known
            plain.pop(name, None)
            plain |= {name: value} if value not in (usual, None) else {}
        return {**plain, **({"trust": self.trust.model_dump()} if self.trust else {})}

    def filters(self) -> dict[str, float]:
        """The filters that are on, by name, with their amounts."""
        return {name: amount for name in ("denoise", "sharpen") if (amount := getattr(self, name))}

    def check(self) -> None:
        """PlanError where an amount or a number of steps is out of range, or alpha means nothing that is known."""
        if self.alpha not in ALPHA_RULES:
            known = f"give one of {', '.join(ALPHA_RULES)}"
            raise PlanError("what alpha means is not known", repr(self.alpha), known, code="BAD_SETTING")
        for rule in self.values.values() if isinstance(self.values, dict) else (self.values,):
            if rule not in VALUES_RULES:
                known = f"give one of {', '.join(VALUES_RULES)}"
                raise PlanError("what the numbers are is not known", repr(rule), known, code="BAD_SETTING")
        low, high = self.valid_range or (None, None)
        if low is not None and high is not None and not low < high:
            what, do = f"from {low:g} to {high:g}", "give the least number, then the greatest"
            raise PlanError("the valid range holds no numbers", what, do, code="BAD_SETTING")
        if self.date is not None:
            _check_date(self.date)
        for name, amount, most in (
            ("denoise", self.denoise, MAX_DENOISE),
            ("sharpen", self.sharpen, MAX_SHARPEN),
            ("back_projection", self.steps, MAX_BACK_PROJECTION),
        ):
            if not 0 <= amount <= most:
                raise PlanError(
                    f"{name} is out of range", f"{amount:g}", f"give a number from 0 to {most:g}", code="BAD_SETTING"
                )

    def refuse_other_than_trained(self, steps: int, model: str) -> None:
        """PlanError BAD_SETTING where a model that was trained behind `steps` of back-projection would get others."""
        if steps and self.steps != steps:
            raise PlanError(
                f"model {model} was trained behind back-projection, and is right with it alone",
                f"{self.steps} steps asked for, trained behind {steps}",
                "leave back_projection out, or take another model",
                code="BAD_SETTING",
            )

    def refuse_without_slices(self, scale: tuple[int, ...], model: str) -> None:
        """PlanError BAD_SETTING for a profile of slices where none are made."""
        if self.is_by_profile and (len(scale) < 3 or scale[0] == 1):
            do = "leave slice_profile out, or take a model that does, as srcore-volume-x2"
            found = f"scale {'x'.join(map(str, scale))}"
            raise PlanError(f"model {model} makes no slices between those of the LR", found, do, code="BAD_SETTING")

    def with_guides(self, model: str) -> Treatment:
        """This treatment behind a model with guides: what the LR's optics blurred it makes sharp, and a step that makes
        plain means of it give the LR back would undo that. PlanError where more than the usual step is asked for."""
        if self.steps not in (0, BACK_PROJECTION):
            raise PlanError(
                f"model {model} knows of the sensor's optics, and is right without back-projection",
                f"{self.steps} steps asked for",
                "leave back_projection out, or take another model",
                code="BAD_SETTING",
            )
        return replace(self, back_projection=0)

    def with_trust(self, trust: Trust | None, model: str) -> Treatment:
        """This treatment with the calibration of a model; PlanError NOT_CALIBRATED where it does not hold for it."""
        if trust is None:
            raise PlanError(
                f"model {model} has no calibration for a trust map",
                "no 'trust' in its spec",
                "run `srcore models calibrate`, or leave the trust map out",
                code="NOT_CALIBRATED",
            )
        if self.denoise or self.sharpen:
            raise PlanError(
                f"the trust map of {model} holds without filters",
                f"denoise {self.denoise:g}, sharpen {self.sharpen:g}",
                "leave the filters out, or the trust map",
                code="NOT_CALIBRATED",
            )
        if trust.back_projection != self.steps or self.is_by_profile:
            raise PlanError(
                f"the trust map of {model} holds for another back-projection",
                f"{self.steps} steps, calibrated with {trust.back_projection}",
                "use the same, or leave the trust map out",
                code="NOT_CALIBRATED",
            )
        return replace(self, trust=trust)


def _check_date(text: str) -> None:
    try:
        check_date(text)
    except ValueError as error:
        raise PlanError(
            f"the date cannot be used: {error}", repr(text[:60]), "see docs/sources.md", code="BAD_SETTING"
        ) from error
