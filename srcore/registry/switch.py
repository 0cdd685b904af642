"""Another champion in one step, whatever ends the process in between.

    srcore.changing = what is meant -> @champion moves -> @challenger goes, a tag keeps the change, srcore.changing goes

Before the alias moves nothing has changed; from then on all is changed, and what is left of the step is done by whoever
changes the champion of that name next: he runs the same again, and it is finished, not done twice.
"""

from __future__ import annotations

import json
from typing import Any

from srcore.checkpoints import CHALLENGER, CHAMPION
from srcore.registry.changes import CHANGING, Change, as_tag, read_change

REPLACED = "srcore.replaced"
"""Tag of a version: the champion that it took the place of."""


def switch(client: Any, name: str, change: Change, *, challenger: bool) -> None:
    """Let @champion mean the version that the change leads to, and record it; `challenger`: it was that one."""
    key, text = as_tag(change)
    client.set_registered_model_tag(name, CHANGING, json.dumps([key, text]))
    if change.what == "promote" and change.before:
        client.set_model_version_tag(name, change.after, REPLACED, change.before)
    client.set_registered_model_alias(name, CHAMPION, change.after)
    _finish(client, name, key, text, challenger=challenger)


def settle(client: Any, model: Any) -> Change | None:
    """Finish a change of the model's champion that was killed, and give it; None where none was made."""
    told = model.tags.get(CHANGING)
    if told is None:
        return None
    key, text = json.loads(told)
    change = read_change(text)
    aliases = {alias: str(version) for alias, version in model.aliases.items()}
    if aliases.get(CHAMPION) != change.after:
        client.delete_registered_model_tag(model.name, CHANGING)
        return None
    _finish(client, model.name, key, text, challenger=aliases.get(CHALLENGER) == change.after)
    return change


def _finish(client: Any, name: str, key: str, text: str, *, challenger: bool) -> None:
    if challenger:
        client.delete_registered_model_alias(name, CHALLENGER)
    client.set_registered_model_tag(name, key, text)
    client.delete_registered_model_tag(name, CHANGING)


def meant(model: Any) -> dict[str, str]:
    """Alias to version: a challenger that is champion by now is none, also where the alias still says so."""
    aliases = {alias: str(version) for alias, version in model.aliases.items()}
    return {a: version for a, version in aliases.items() if a != CHALLENGER or version != aliases.get(CHAMPION)}
