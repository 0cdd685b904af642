"""Faults that somebody could bring into the path of a publication, each as a change of text, and who must notice.

A change applies at exactly one place. The tests named are files, or tests of a file, below tests/.
"""

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
REMOVAL, EXPORT, QUARANTINE = "storage/archive/removal.py", "stages/export.py", "storage/archive/quarantine.py"

NO_CONFIGURATION_IN_KEY = Change("stages/plan.py", "facts = [FORMAT, job.configuration, *cut", "facts = [FORMAT, *cut")
NO_CONFIGURATION_IN_MARKERS = Change(
    MARKERS, "return marker if marker.configuration == self.configuration else None", "return marker"
)

MUTANTS = (
    # what is on the disk when the power goes
    mutant(
        "a file is renamed before its bytes are on the disk",
        FILES,
        "            file.flush()\n            os.fsync(file.fileno())\n",
        "            file.flush()\n",
        POWER,
    ),
    mutant(
        "a record's name is not synced",
        FILES,
        "        os.replace(hidden, path)\n        fsync_folder(path.parent)\n",
        "        os.replace(hidden, path)\n",
        POWER,
    ),
    mutant(
        "a new folder's name is not synced", FILES, "        fsync_folder(folder.parent)\n", "        pass\n", POWER
    ),
    mutant("outputs are published unsynced", PUBLISHING, "    fsync_file(path)\n", "", POWER),
    mutant("published names are not synced", STORE, "name)\n        fsync_folder(self.folder)\n", "name)\n", POWER),
    mutant(
        "removed names are not synced",
        STORE,
        "        with suppress(FileNotFoundError):\n            fsync_folder(self.folder)\n",
        "",
        POWER,
    ),
    mutant("no fsync anywhere", FILES, "        os.fsync(descriptor)\n", "        pass\n", POWER),
    mutant("a scratch folder loses its plan first", OWNED, "fsync_folder(folder)  #", "pass  #", POWER),
    # the order of a publication
    mutant(
        "the receipt comes first",
        PUBLISHING,
        "        store.take({output.name: staged.folder / output.name for output in complete.outputs})\n",
        "        store.take({product.receipt.name: staged.receipt})\n"
        "        store.take({output.name: staged.folder / output.name for output in complete.outputs})\n"
        "        return complete\n",
        POWER,
    ),
    mutant("the old receipt stays", PUBLISHING, "        store.delete(product.receipt.name)\n", "", POWER),
    mutant(
        "no record that publishing began",
        PUBLISHING,
        '        write_json(scratch.publishing, {"names": sorted(new | replaced | {product.receipt.name})})\n',
        "",
        POWER,
        "faults/test_crash.py",
    ),
    mutant(
        "what a product has no more stays beside it",
        PUBLISHING,
        "        store.delete(*sorted(replaced - new))",
        "        pass",
        PUBLISH,
    ),
    mutant(
        "a stranger's file that came during the run is replaced",
        PUBLISHING,
        "        _refuse_new_strangers(product, new - replaced)\n",
        "",
        OWNERSHIP,
    ),
    mutant(
        "what was verified is not what is published",
        PUBLISHING,
        "if verified.get(path.name, output.sha256) != output.sha256:",
        "if False:",
        DURING,
    ),
    # receipts
    mutant(
        "is_whole ignores the size",
        PUBLISHING,
        "sizes.get(output.name) != output.size_bytes",
        "output.name not in sizes",
        PUBLISH,
    ),
    mutant(
        "is_whole ignores missing files",
        PUBLISHING,
        "sizes.get(output.name) != output.size_bytes",
        "sizes.get(output.name, output.size_bytes) != output.size_bytes",
        PUBLISH,
    ),
    mutant("is_whole never reads", PUBLISHING, "receipt.outputs if thorough else ()", "()", PUBLISH),
    mutant("is_whole believes an empty receipt", PUBLISHING, "if not receipt.outputs or any(", "if any(", PUBLISH),
    mutant(
        "a receipt loses its flags",
        PUBLISHING,
        '"flags": tuple(value.get("flags", ())),',
        '"flags": (),',
        PUBLISH,
    ),
    mutant(
        "a folder of the user's is taken for one of an archive",
        PUBLISHING,
        "alone = product.folder.name == product.stem and product.folder.parent.name",
        "alone = True or product.folder.parent.name",
        OWNERSHIP,
    ),
    # export and validation
    mutant(
        "a raster is not read back",
        EXPORT,
        "    cog.verify_cog(target, encoded, _part(progress, 1, 2))\n",
        "",
        PUBLISH,
    ),
    mutant(
        "a volume is not read back",
        EXPORT,
        "    nifti.verify_nifti(target, image.form.header, scale, image.full)\n",
        "",
        PUBLISH,
    ),
    mutant(
        "a volume's shards are not compared with their markers",
        EXPORT,
        "        image.check(tile, store.markers.require(tile.index, name))\n",
        "        pass\n",
        PUBLISH,
    ),
    mutant(
        "masks are not compared before the export",
        EXPORT,
        "        store.check_masks(tile, ingested.sums[tile.index])\n",
        "        pass\n",
        DURING,
    ),
    mutant(
        "a gate stops nothing",
        SCENE,
        '    if plan.validate and report.verdict == "quarantined":',
        "    if False:",
        "flows/test_ends.py",
        "run/test_scene.py",
    ),
    mutant(
        "a gate stops what was not to be validated",
        SCENE,
        '    if plan.validate and report.verdict == "quarantined":',
        '    if report.verdict == "quarantined":',
        "flows/test_ends.py",
    ),
    mutant(
        "a source that changed late is published",
        SCENE,
        "        verified |= tag(plan, report)\n        same_or_refuse(plan, ingested)\n",
        "        verified |= tag(plan, report)\n",
        "faults/test_archive.py",
    ),
    mutant("who lost the scene publishes", SCENE, "        lease.check()", "        pass", "faults/test_race.py"),
    # the work store
    Mutant("the scratch key knows no configuration", (NO_CONFIGURATION_IN_KEY,), ("stages/test_plan.py", RESUME)),
    Mutant("markers know no configuration", (NO_CONFIGURATION_IN_MARKERS,), ("storage/work/test_tile_store.py",)),
    Mutant("neither knows", (NO_CONFIGURATION_IN_KEY, NO_CONFIGURATION_IN_MARKERS), (RESUME,)),
    mutant(
        "a marker is believed without its shard",
        TILES,
        "            self.check_sr(tile)\n",
        "            self.markers.require(tile.index, 'sr')\n",
        f"{SCRATCH}::test_a_marker_without_its_shard_is_no_marker",
    ),
    mutant(
        "a seal is not compared",
        "storage/disk/records.py",
        'if value.pop("seal", None) != _seal(value):',
        'if value.pop("seal", None) is None:',
        f"{SCRATCH}::test_a_sealed_record_tells_every_flipped_bit",
    ),
    mutant(
        "a checksum is not compared",
        "storage/chunks/arrays.py",
        "        if checksum(values) != crc32:\n",
        "        if crc32 is None:\n",
        f"{SCRATCH}::test_a_marker_without_its_shard_is_no_marker",
        RESUMED,
    ),
    mutant(
        "an ingested scene is believed",
        "stages/ingest.py",
        "if done is not None and store.is_intact(done):",
        "if done is not None:",
        RESUMED,
    ),
    mutant(
        "markers outlive a scene that is ingested anew",
        "stages/ingest.py",
        "    shutil.rmtree(plan.scratch.done, ignore_errors=True)",
        "    pass",
        RESUMED,
        "faults/test_machine.py",
    ),
    mutant(
        "a checkpoint that changed during the run is used",
        "stages/upscale.py",
        "if read_spec(plan.model).digest != plan.model_digest:",
        "if False:",
        f"{SCRATCH}::test_an_engine_of_another_checkpoint_is_refused",
    ),
    # leases
    mutant("every owner is dead", LEASE, "        if is_alive(path, found):\n", "        if False:\n", LEASES),
    mutant("every owner is alive", LEASE, "        if is_alive(path, found):\n", "        if True:\n", LEASES),
    mutant(
        "a lease is put over another",
        LEASE,
        "            os.link(hidden, path)\n",
        "            os.replace(hidden, path)\n",
        LEASES,
    ),
    mutant(
        "whoever ends gives back what is another's",
        LEASE,
        "        if self.is_held():  # and stays ours",
        "        if True:  # and stays ours",
        LEASES,
    ),
    mutant(
        "a beat of the future is one",
        LEASE,
        "age = abs(_now(path.parent) - path.stat().st_mtime)",
        "age = _now(path.parent) - path.stat().st_mtime",
        LEASES,
    ),
    mutant("a damaged lease blocks for ten minutes", LEASE, "else TORN_SECONDS)", "else STALE_SECONDS)", LEASES),
    mutant("nobody beats", LEASE, "            lease.beat()\n", "            pass\n", LEASES),
    mutant(
        "a pid that is used again is its owner",
        LEASE,
        "return abs(psutil.Process(owner.pid).create_time() - owner.started) < 1.0",
        "return psutil.pid_exists(owner.pid)",
        LEASES,
    ),
    # what is swept, and what is the user's
    mutant(
        "a stranger's folder is swept",
        OWNED,
        "    if not is_ours(folder):\n        return False\n    for entry in sorted",
        "    for entry in sorted",
        OWNERSHIP,
    ),
    mutant(
        "a linked folder is ours",
        OWNED,
        "    if folder.is_symlink() or not folder.is_dir():\n        return False\n    try:  # the end",
        "    try:  # the end",
        OWNERSHIP,
    ),
    mutant(
        "the plan goes first",
        OWNED,
        "key=lambda entry: entry.name == PLAN",
        "key=lambda entry: entry.name != PLAN",
        "faults/test_crash.py",
        OWNERSHIP,
        POWER,
    ),
    mutant(
        "links below the store are followed",
        OWNED,
        "            if part.is_symlink():\n",
        "            if False:\n",
        OWNERSHIP,
    ),
    mutant(
        "the output may be the input",
        OWNED,
        "        if any(_is_same(path, one) for one in inputs):\n",
        "        if False:\n",
        OWNERSHIP,
    ),
    mutant(
        "--overwrite replaces what nobody named",
        OWNED,
        "        if path.name not in ours or path.is_symlink():\n",
        "        if not replace:\n",
        OWNERSHIP,
    ),
    mutant(
        "a published product is replaced unasked",
        OWNED,
        '        if not replace:\n            raise PlanError(f"{path} exists", "", "use --overwrite',
        '        if False:\n            raise PlanError(f"{path} exists", "", "use --overwrite',
        OWNERSHIP,
    ),
    mutant(
        "another run's work is swept",
        SWEEP,
        "        with suppress(LeaseError), held(lease_path(scratch)):\n            sweep_scene",
        "        with suppress(LeaseError):\n            sweep_scene",
        "faults/test_race.py",
    ),
    mutant(
        "the work to go on with is swept",
        SCENE,
        "keep=None if job.fresh else plan.scratch.folder.name",
        "keep=None",
        "faults/test_resume.py",
        f"{SCRATCH}::test_a_resumed_run_finds_what_was_damaged_and_does_it_again",
    ),
    mutant(
        "temporaries of other products are swept",
        SWEEP,
        '        if found and found["name"] in names:\n',
        "        if found:\n",
        OWNERSHIP,
        "run/test_scene.py",
        "faults/test_archive.py",
    ),
    mutant(
        "work on a scene is swept the night its source is away",
        SWEEP,
        "        elif _age(folder) > LOST_SECONDS:\n",
        "        else:\n",
        "faults/test_archive.py",
        "flows/test_nights.py",
        "run/test_scene.py",
    ),
    # removal, quarantine and audit
    mutant(
        "a removal takes files before the receipt",
        REMOVAL,
        "    store.delete(*(name for name in names if name.endswith(RECEIPT)))\n",
        "    store.delete(*(name for name in names if not name.endswith(RECEIPT)))\n",
        AUDIT,
        POWER,
    ),
    mutant(
        "a receipt may name a stranger's file for removal",
        REMOVAL,
        "names = published_names(product) & {path.name for path in (*product.files, product.receipt)}",
        "names = published_names(product)",
        AUDIT,
    ),
    mutant("nobody keeps who removed a product", REMOVAL, "    store_at(places.retired).put(", "    str(", AUDIT),
    mutant(
        "what failed is never tried again",
        QUARANTINE,
        "        return same and same_sources(self.sources, paths)\n",
        "        return True\n",
        "faults/test_archive.py",
        "faults/test_machine.py",
    ),
    mutant(
        "a rotten product is up to date",
        "run/dataset.py",
        "    if read is not None and read.damaged:\n",
        "    if False:\n",
        AUDIT,
    ),
    mutant(
        "a product of another configuration is up to date",
        "run/dataset.py",
        "        if not job.is_configuration(receipt.configuration, receipt.format):\n",
        "        if False:\n",
        "faults/test_machine.py",
        "run/test_upgrade.py",
    ),
)
