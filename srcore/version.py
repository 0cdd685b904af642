"""The version of srcore, as receipts name it."""

__version__ = "0.2.0"
