"""The command settings: what this machine says, and where it says it."""

from __future__ import annotations

import os

from flows.cli.options import JsonOption, out, print_json


def settings(as_json: JsonOption = False) -> None:
    """The settings of this machine: environment variables, what they are, and what is used where they are not set."""
    from rich.table import Table

    from srcore.settings import PREFIX, Settings, load_settings
    from srcore.training.config import DATA_VARIABLE

    loaded = load_settings()
    used = {name: getattr(loaded, name) for name in Settings.model_fields}
    used |= {"cache": loaded.cache_folder, "registry": loaded.registry_uri}
    if loaded.notify:
        used["notify"] = f"{loaded.notify.partition('://')[0]}://..."  # whoever knows the address can write there
    rows = [(PREFIX + name.upper(), "" if value is None else str(value)) for name, value in used.items()]
    rows.append((DATA_VARIABLE, os.environ.get(DATA_VARIABLE, "")))
    if as_json:
        print_json({variable: {"value": value, "set": bool(os.environ.get(variable))} for variable, value in rows})
        return
    table = Table("variable", "value", "from")
    for variable, value in rows:
        table.add_row(variable, value, "environment" if os.environ.get(variable) else "default")
    out.print(table)
