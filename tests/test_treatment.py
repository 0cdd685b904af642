from __future__ import annotations

import pytest

from srcore.errors import PlanError
from srcore.models.backprojection import MARGIN_PX
from srcore.treatment import BACK_PROJECTION_PX, Treatment
from srcore.trust import Trust

TRUST = Trust(coverage=0.9, factor=2.0, floor=0.01, back_projection=1, scenes=10, found=(0.8, 0.9, 0.95))


def test_the_margin_is_what_back_projection_takes() -> None:
    assert BACK_PROJECTION_PX == MARGIN_PX  # said twice, since the plan starts without torch
    assert Treatment(back_projection=3).margin_px == 3 * MARGIN_PX
    assert Treatment(back_projection=0).margin_px == 0


@pytest.mark.parametrize("amount", [-0.1, 1e9, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["denoise", "sharpen"])
def test_an_amount_out_of_range_is_refused(name: str, amount: float) -> None:
    with pytest.raises(PlanError, match=f"{name} is out of range"):
        Treatment(**{name: amount}).check()


def test_a_calibration_holds_only_for_what_it_was_made_with() -> None:
    assert Treatment().with_trust(TRUST, "m").trust == TRUST
    for treatment, trust in (
        (Treatment(), None),
        (Treatment(sharpen=0.1), TRUST),
        (Treatment(back_projection=2), TRUST),
    ):
        with pytest.raises(PlanError) as caught:
            treatment.with_trust(trust, "m")
        assert caught.value.code == "NOT_CALIBRATED"


def test_what_numbers_are_and_their_ends_stand_in_a_digest_only_where_they_are_said() -> None:
    assert Treatment(values="auto", valid_range=None).changed() == {}
    told = Treatment(values={"QA": "bits"}, valid_range=(0, None))
    told.check()
    assert told.changed() == {"values": {"QA": "bits"}, "valid_range": (0, None)}
    unsaid = dict.fromkeys(("nodata", "quality", "series", "volume", "resample", "modality", "mosaic", "date"))
    assert told.of_files == {"alpha": "auto", **unsaid, **told.changed()}


def test_what_alpha_means_is_one_of_three() -> None:
    for alpha in ("auto", "mask", "data"):
        Treatment(alpha=alpha).check()
    assert "alpha" not in Treatment(alpha="auto").changed()
    assert Treatment(alpha="data").changed() == {"alpha": "data"}
    with pytest.raises(PlanError, match="give one of auto, mask, data"):
        Treatment(alpha="near infrared").check()  # type: ignore[arg-type]
