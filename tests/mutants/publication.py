"""Faults in what is synced, in the order of a publication, in receipts, and in what is read back and judged."""

from __future__ import annotations

from tests.mutants.mutant import (
    DURING,
    EXPORT,
    FILES,
    OWNED,
    OWNERSHIP,
    POWER,
    PUBLISH,
    PUBLISHING,
    SCENE,
    STORE,
    mutant,
)

PUBLICATION = (
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
        "        store.take({top: staged.folder / top for top in tops})\n",
        "        store.take({product.receipt.name: staged.receipt})\n"
        "        store.take({top: staged.folder / top for top in tops})\n"
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
        "        store.delete(*sorted(replaced - new - tops.keys()))",
        "        pass",
        PUBLISH,
    ),
    mutant(
        "a stranger's file that came during the run is replaced",
        PUBLISHING,
        "        _refuse_new_strangers(product, new - replaced, replaced)\n",
        "",
        OWNERSHIP,
    ),
    mutant(
        "what was verified is not what is published",
        PUBLISHING,
        "if verified.get(name, output.sha256) != output.sha256:",
        "if False:",
        DURING,
    ),
    mutant(
        "slices of a longer series stay in the folder of a shorter one",
        PUBLISHING,
        """        store.delete(*sorted(name for name in replaced if "/" in name))""",
        "        pass",
        "storage/dicom/test_published.py",
    ),
    mutant(
        "a file somebody put into the folder of a series during the run goes",
        PUBLISHING,
        "    if product.is_folder:\n",
        "    if False:\n",
        "storage/dicom/test_published.py",
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
        "return product.folder.name == product.stem and product.folder.parent.name",
        "return True or product.folder.parent.name",
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
        "    verify_volume(target, image.form.header, scale, image.full)\n",
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
        "        verified |= tag(plan, report, verified)\n        same_or_refuse(plan, ingested)\n",
        "        verified |= tag(plan, report, verified)\n",
        "faults/test_archive.py",
    ),
    mutant("who lost the scene publishes", SCENE, "        lease.check()", "        pass", "faults/test_race.py"),
)
