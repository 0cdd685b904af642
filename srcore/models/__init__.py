"""Networks: torch only, no I/O."""

from srcore.models.generators import Bicubic, Edsr, Generator, Nearest

GENERATORS: dict[str, type[Generator]] = {"edsr": Edsr, "bicubic": Bicubic, "nearest": Nearest}

__all__ = ["GENERATORS", "Bicubic", "Edsr", "Generator", "Nearest"]
