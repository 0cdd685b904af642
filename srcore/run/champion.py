"""What another champion means for products that are there: they stay, those of late are made again, or all are.

    never   what is published stays; scenes that come, change, or have no product yet are the new champion's
    new     so do products of files older than NEW_DAYS; those of younger files are made again
    all     every product is made again

Only a change of champion is meant: another model, sensor or setting in the catalog makes every scene due, as it did.
"""

from __future__ import annotations

import time
from dataclasses import replace

from srcore.catalog.dataset import Reprocess
from srcore.job import Job
from srcore.storage.archive.publish import Receipt
from srcore.trust import Trust

NEW_DAYS = 30
"""By the time of its files: what is published again stays as old as it was."""
DAY_NS = 86_400 * 10**9


def other_champion(job: Job, receipt: Receipt) -> str:
    """In words, which champion made a product and which is one now; '' unless that alone has changed."""
    parameters = receipt.parameters
    reference = job.model.registered
    if not reference or parameters.get("model_reference") != reference or receipt.model_digest == job.model.digest:
        return ""
    trust = Trust.model_validate(parameters["trust"]) if parameters.get("trust") else None
    before = replace(job, model=replace(job.model, digest=receipt.model_digest, trust=trust))
    if not before.is_configuration(receipt.configuration, receipt.format):
        return ""
    made = str(parameters.get("model_version", "built-in"))
    return f"made by {version_words(made)} of {reference}, which is {version_words(job.model.version)} now"


def version_words(version: str) -> str:
    """How a version of the registry is told; '' and 'built-in' are what ships."""
    return "the built-in model" if version in ("", "built-in") else f"version {version}"


def is_made_again(reprocess: Reprocess, receipt: Receipt) -> bool:
    """Whether a product of another champion is due."""
    if reprocess != "new":
        return reprocess == "all"
    newest = max((source.mtime_ns for source in receipt.sources), default=0)
    return time.time_ns() - newest < NEW_DAYS * DAY_NS
