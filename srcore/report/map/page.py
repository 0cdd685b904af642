"""The page of a map; pure: the same facts give the same text."""

from __future__ import annotations

from dataclasses import dataclass

from srcore.report.map.scenes import Listed
from srcore.report.page import policy, render
from srcore.storage.view.frame import Frame


@dataclass(frozen=True)
class Chosen:
    """The product whose tiles are shown."""

    scene: str
    frame: Frame
    version: str
    """Of the product: another one has other addresses of tiles."""
    key: str
    """With it its tiles are given to who sends no password."""
    lr_from: int | None
    """The first level that has tiles of its LR; None: there are none."""
    why: str = ""
    """There are none."""


def map_page(dataset: str, listed: Listed, chosen: Chosen | None, note: str = "") -> str:
    """The page; `note`: why the product that was asked for is not shown."""
    scenes = [[one.scene, one.rings, one.verdict == "published"] for one in listed.scenes]
    facts = {"scenes": scenes, "chosen": None if chosen is None else _plain(chosen)}
    return render(
        "map.html",
        dataset=dataset,
        listed=listed,
        chosen=chosen,
        placed=sum(bool(one.rings) for one in listed.scenes),
        note=note,
        facts=facts,
        policy=policy(("map.js",), "'self'"),
    )


def page_of_volumes(dataset: str, scene: str = "", planes: str = "") -> str:
    """The page of a dataset of volumes, which have no map; `planes`: where the page of the scene lies."""
    facts: dict[str, object] = {"scenes": [], "chosen": None}
    told = {"listed": None, "chosen": None, "placed": 0, "note": "", "facts": facts}
    return render("map.html", dataset=dataset, scene=scene, planes=planes, **told, policy=policy(("map.js",), "'self'"))


def _plain(chosen: Chosen) -> dict[str, object]:
    frame = chosen.frame
    return {
        "scene": chosen.scene,
        "version": chosen.version,
        "key": chosen.key,
        "globe": frame.on_globe,
        "box": frame.box,
        "level": frame.level,
        "lr": chosen.lr_from,
    }
