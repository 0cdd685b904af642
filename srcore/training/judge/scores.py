"""From an evaluation to what the promotion rule looks at: scenes with their places, strata and differences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite

from srcore.checkpoints import CHALLENGER, CHAMPION, Spec
from srcore.report.evaluation import Evaluation, SceneFigures
from srcore.training.judge.rule import Compared, Margins
from srcore.training.pairs.find import Pair

_SUFFIX = re.compile(r"(\.nii\.gz|\.[A-Za-z0-9]{1,5})$")


def compared(evaluation: Evaluation, pairs: Mapping[str, Pair]) -> list[Compared]:
    """The held-out scenes, champion against challenger; `pairs` by scene say where each lies and when it was taken.

    Names that tell every scene apart tell no sensor: such a stratum is one place.
    """
    plain = evaluation.methods[0].name
    own = {one.scene: pairs[_SUFFIX.sub("", one.scene)] for one in evaluation.scenes}
    places = {pair.place for pair in own.values()}
    by_sensor = 2 * len({one.sensor for one in evaluation.scenes}) <= len(places)
    found = []
    for one in evaluation.scenes:
        challenger, pair = one.by[CHALLENGER], own[one.scene]
        strata = [f"sensor {one.sensor}"] * by_sensor + [f"season {pair.season}"] * bool(pair.season)
        gain, over = (challenger.psnr - one.by[other].psnr for other in (CHAMPION, plain))
        found.append(Compared(one.scene, pair.place, gain, over, dict(_worse(one)), tuple(strata)))
    return found


def _worse(one: SceneFigures) -> Iterator[tuple[str, float]]:
    """Figures of which less is better; what the champion has no number for has no basis in this scene.

    Whoever adds detail adds some that is wrong: of two pixels won for the true detail one may be lost to the made-up.
    Without that nothing could follow a champion that adds none.
    """
    won = max(0.0, _more(one, "improvement") or 0.0) / 2
    for name in Margins().worse:
        more = _more(one, name)
        if more is not None:
            yield name, more - won if name == "hallucination" else more


def _more(one: SceneFigures, name: str) -> float | None:
    before, now = (getattr(one.by[method], name) for method in (CHAMPION, CHALLENGER))
    return None if before is None or now is None or not isfinite(before) else now - before


def speed_ratio(evaluation: Evaluation, champion: Spec, challenger: Spec) -> float:
    """The challenger's speed over the champion's; 1 where that is known, whatever a busy machine measured.

    It is known of one architecture in one precision, or in bfloat16, which a run takes only where it is the faster.
    """
    if champion.architecture == challenger.architecture and challenger.precision in (champion.precision, "bfloat16"):
        return 1.0
    speeds = {method.name: method.speed.lr_mpx_s for method in evaluation.methods if method.speed}
    before, now = speeds.get(CHAMPION, 0.0), speeds.get(CHALLENGER, 0.0)
    return now / before if before > 0 else float("nan")
