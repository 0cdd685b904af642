"""What the receipts of a dataset say of its last products."""

from __future__ import annotations

from srcore.errors import StoreError
from srcore.storage.archive.publish import Receipt
from srcore.storage.work.scene_plan import ScenePlan

LAST = 30


def figures_before(plan: ScenePlan, last: int = LAST) -> list[dict[str, float]]:
    """Id to value of the checks of the dataset's last products by the same model, newest first, this scene left out.

    Empty for a product outside a dataset. A receipt that cannot be read is passed over: others report it.
    """
    if not plan.dataset:
        return []
    products = plan.product.folder.parent
    receipts = [path for path in products.glob("*/*.receipt.json") if path.parent != plan.product.folder]
    found: list[dict[str, float]] = []
    for path in sorted(receipts, key=lambda one: (-one.stat().st_mtime, one.name)):
        try:
            receipt = Receipt.load(path)
        except StoreError:
            continue
        if receipt is not None and receipt.model_digest == plan.model_digest:
            found.append({c["id"]: float(c["value"]) for c in receipt.checks if isinstance(c["value"], (int, float))})
        if len(found) == last:
            break
    return found
