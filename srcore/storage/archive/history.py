"""What the receipts of a dataset say of its last products."""

from __future__ import annotations

from srcore.errors import StoreError
from srcore.storage.archive.publish import Receipt, find_receipts
from srcore.storage.work.scene_plan import ScenePlan

LAST = 30


def figures_before(plan: ScenePlan, last: int = LAST) -> list[dict[str, float]]:
    """Id to value of the checks of the dataset's last products by the same model, newest first, this scene left out.

    Empty for a product outside a dataset. A receipt that cannot be read is passed over: others report it.
    """
    if not plan.dataset:
        return []
    receipts = [one for one in find_receipts(plan.product.folder.parent) if one[0].parent != plan.product.folder]
    found: list[dict[str, float]] = []
    for path, _ in sorted(receipts, key=lambda one: (-one[1], one[0].name)):
        try:
            receipt = Receipt.load(path)
        except StoreError:
            continue
        if receipt is not None and receipt.model_digest == plan.model_digest:
            found.append({c["id"]: float(c["value"]) for c in receipt.checks if isinstance(c["value"], (int, float))})
        if len(found) == last:
            break
    return found
