from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from flows import deploy
from flows.deploy import deployments, lanes
from flows.tagged import TAG
from srcore.catalog import load_catalog


def test_one_deployment_a_dataset_and_one_for_the_form(catalog_path: Path) -> None:
    made = deployments(catalog_path, load_catalog(catalog_path))
    assert [(one.flow_name, one.name) for one in made] == [
        ("nightly", "hills"),
        ("nightly", "on-demand"),
        ("upscale-scene", "by-hand"),
    ]
    assert all(TAG in one.tags for one in made)
    assert [one.tags for one in made] == [[TAG, "dataset:hills"], [TAG, "dataset:on-demand"], [TAG]]
    assert lanes(made) == {"nightly": made[:2], "upscale-scene": made[2:]}  # who asks by hand waits for no night


def test_a_dataset_runs_on_its_own_schedule_in_its_own_time_zone(catalog_path: Path) -> None:
    hills, on_demand, by_hand = deployments(catalog_path, load_catalog(catalog_path))
    [schedule] = hills.schedules or []
    assert isinstance(schedule.schedule, CronSchedule)
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 2 * * *", "Europe/Zurich")
    assert not on_demand.schedules
    assert not by_hand.schedules


def test_runs_get_the_absolute_path_of_the_catalog(catalog_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(catalog_path.parent)
    made = deployments(Path(catalog_path.name), load_catalog(catalog_path))
    assert {one.parameters["catalog"] for one in made} == {str(catalog_path)}
    assert made[0].parameters["dataset"] == "hills"
    assert os.path.isabs(made[-1].parameters["catalog"])


def test_the_entrypoints_can_be_imported_by_the_process_of_a_run(catalog_path: Path) -> None:
    for one in deployments(catalog_path, load_catalog(catalog_path)):
        module, _, name = str(one.entrypoint).rpartition(".")
        assert getattr(import_module(module), name).name == one.flow_name


def test_the_form_explains_its_fields(catalog_path: Path) -> None:
    form = deployments(catalog_path, load_catalog(catalog_path))[-1]._parameter_openapi_schema
    assert list(form.properties) == ["catalog", "dataset", "scene", "force", "model"]
    assert form.properties["force"]["type"] == "boolean"
    assert all(field["description"] for field in form.properties.values())


def test_the_form_has_lists_a_fixed_catalog_and_a_name_for_a_scene(catalog_path: Path) -> None:
    night, _, by_hand = deployments(catalog_path, load_catalog(catalog_path))
    form = by_hand._parameter_openapi_schema.properties
    assert by_hand.enforce_parameter_schema
    assert form["dataset"]["enum"] == ["hills", "on-demand"]
    assert {"catalog", "bicubic-x2", "srcore-x2"} <= set(form["model"]["enum"])
    assert form["catalog"]["enum"] == [str(catalog_path)]
    assert form["catalog"]["readOnly"] is True
    assert re.search(form["scene"]["pattern"], "T32_2026.a-b")
    assert not re.search(form["scene"]["pattern"], "../T32")
    assert night._parameter_openapi_schema.properties["dataset"]["enum"] == ["hills"]


def test_a_deployment_leads_to_its_reports_unless_they_are_restricted(catalog_path: Path) -> None:
    catalog_path.write_text(
        catalog_path.read_text().replace("    source: ./none", "    privacy: restricted\n    source: ./none")
    )
    hills, ward, _ = deployments(catalog_path, load_catalog(catalog_path), "http://here:4200")
    assert "(http://here:4200/store/hills/index.html)" in str(hills.description)
    assert "http" not in str(ward.description)


@pytest.mark.parametrize(("paused", "active"), [(True, True), (False, False), (False, True)])
def test_what_somebody_paused_stays_paused(
    catalog_path: Path, monkeypatch: pytest.MonkeyPatch, paused: bool, active: bool
) -> None:
    class Client:
        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read_deployment_by_name(self, name: str) -> SimpleNamespace:
            if name != "nightly/hills":
                raise ObjectNotFound(KeyError(name))
            return SimpleNamespace(paused=paused, schedules=[SimpleNamespace(active=active)])

    monkeypatch.setattr(deploy, "get_client", lambda sync_client: Client())
    wanted = deployments(catalog_path, load_catalog(catalog_path))
    assert deploy.keep_pauses(wanted) == ([] if active and not paused else ["hills"])
    assert [planned.active for planned in wanted[0].schedules or []] == [active]
    assert bool(wanted[0].paused) is paused
