"""A fault that somebody could bring into the path of a publication, as a change of text, and who must notice."""

from __future__ import annotations

from dataclasses import dataclass

POWER = "faults/test_power.py"
RESUME = "faults/test_resume.py::test_a_run_never_goes_on_with_another_checkpoints_tiles"
PUBLISH = "storage/archive/test_publish.py"
OWNERSHIP = "storage/archive/test_ownership.py"
SCRATCH = "faults/test_scratch.py"
DURING = f"{SCRATCH}::test_damage_during_the_run_is_found_before_anything_is_published"
RESUMED = f"{SCRATCH}::test_a_resumed_run_finds_what_was_damaged_and_does_it_again"
LEASES = "storage/disk/test_leases.py"
UNPROVEN = f"{LEASES}::test_what_proves_nothing_is_left_to_its_beats"
AUDIT = "run/test_audit.py"


@dataclass(frozen=True)
class Change:
    """Text of a file of srcore, and what a mutant has there."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A fault, and the tests that must fail with it."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


def mutant(name: str, file: str, old: str, new: str, *tests: str) -> Mutant:
    """A mutant of one change."""
    return Mutant(name, (Change(file, old, new),), tests)


FILES, STORE = "storage/disk/files.py", "storage/disk/store.py"
PUBLISHING, OWNED = "storage/archive/publish.py", "storage/archive/ownership.py"
SCENE, SWEEP = "run/scene.py", "storage/archive/sweep.py"
MARKERS, TILES, LEASE = "storage/work/markers.py", "storage/work/tile_store.py", "storage/disk/leases.py"
PULSE = "storage/disk/pulse.py"
RUNS, OBJECTS = "storage/archive/runs.py", "storage/objects/store.py"
ON_OBJECTS, OF_OBJECTS = "storage/objects/leases.py", "storage/objects/test_store.py"
TOGETHER = "faults/test_publishing.py::test_who_begins_behind_the_receipt_of_another_loses_nothing_to_its_sweep"
SLEPT = "faults/test_publishing.py::test_who_slept_through_a_takeover_leaves_no_wrong_product"
REMOVAL, EXPORT, QUARANTINE = "storage/archive/removal.py", "stages/export.py", "storage/archive/quarantine.py"
