"""The flow `collect-pairs`: its deployment, its words, and how it ends."""

from __future__ import annotations

from pathlib import Path

from prefect.client.schemas.objects import StateType

from flows.deploy import deployments, lanes, schedules
from flows.pairs import collect_pairs
from srcore.catalog import load_catalog
from tests.training.pairs.test_store import of_folders


def test_a_dataset_with_the_key_has_a_deployment_that_no_night_waits_for(tmp_path: Path) -> None:
    path = of_folders(tmp_path, pairs={"schedule": "0 3 * * *"})
    made = deployments(path, load_catalog(path))
    assert [(one.flow_name, one.name) for one in made] == [
        ("nightly", "s2"),
        ("collect-pairs", "s2"),
        ("upscale-scene", "by-hand"),
    ]
    assert schedules(made) == ["s2: pairs of HR and LR at 0 3 * * * UTC"]
    assert lanes(made) == [[made[0], made[2]], [made[1]]]


def test_what_cannot_be_collected_is_a_failed_run_of_one_line(tmp_path: Path) -> None:
    state = collect_pairs.fn(str(of_folders(tmp_path)), "nowhere")
    assert state.type == StateType.FAILED
    assert "unknown dataset" in str(state.message)
    state = collect_pairs.fn(str(of_folders(tmp_path, privacy="restricted")), "s2")
    assert str(state.message).startswith("RESTRICTED: nothing is learned from s2")
