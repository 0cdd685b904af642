"""Changes of a champion as the registry keeps them: a tag a change, which nothing replaces. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

TAG = "srcore.changed."
"""Begins the tags of a name; the time follows."""
CHANGING = "srcore.changing"
"""The tag of a change on its way: key and text of the tag that will keep it."""
UNTOLD = "nobody recorded it: the process that did it ended, or it was no program of srcore"
"""Why of a change that has no record."""


@dataclass(frozen=True)
class Change:
    """One change of a champion."""

    what: str
    """promote or rollback."""
    before: str
    """The version that was champion; '' where none was."""
    after: str
    who: str = ""
    """A user of the machine, or 'retrain'."""
    why: str = ""
    when: str = ""
    """UTC."""


def as_tag(change: Change) -> tuple[str, str]:
    """Key and text of a change that is made now."""
    now = datetime.now(UTC)
    told = {**asdict(change), "when": now.isoformat(timespec="seconds"), "why": change.why[:1000]}
    return f"{TAG}{now:%Y%m%dT%H%M%S%f}", json.dumps(told)


def read_change(text: str) -> Change:
    """The change that a tag's text tells."""
    return Change(**json.loads(text))


def told_changes(tags: Mapping[str, str], champion: str, replaced: str) -> list[Change]:
    """Those of a name's tags, the oldest first; at the end one that nobody recorded, where the champion shows it.

    `champion` is the version that is one ('': none), `replaced` the one that it came after. A change on its way counts
    when its champion is there.
    """
    told = {key: text for key, text in tags.items() if key.startswith(TAG)}
    if CHANGING in tags:
        key, text = json.loads(tags[CHANGING])
        told |= {key: text} if read_change(text).after == champion else {}
    changes = [read_change(text) for _, text in sorted(told.items())]
    last = changes[-1].after if changes else replaced or champion
    return changes if not champion or champion == last else [*changes, Change("promote", last, champion, why=UNTOLD)]
