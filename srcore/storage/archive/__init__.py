"""The archive: sources, products with their receipts, quarantine, and what ended runs left behind."""
