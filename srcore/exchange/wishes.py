"""What a user says of a model of others: by options, or in a small YAML file beside it.

name: my-x2                 # under which it is registered
licence: MIT                # of the weights
bands: 3                    # that the network sees together; any: one at a time
range: 0-255                # its black and white: 0-1, 0-255 or -1-1
normalise: percentile       # or none
architecture: {name: edsr, params: {scale: 2, width: 48, blocks: 6}}    # of bare weights
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from srcore.checkpoints import MAX_PARAM, NAME, Architecture
from srcore.documents import read_document
from srcore.errors import CatalogError, CheckpointError, shortened

MAX_LICENCE = 200


class Wishes(BaseModel):
    """What is said of a model that comes in; None: what its file says, or what is found by probing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    licence: Annotated[str, Field(max_length=MAX_LICENCE)] | None = None
    scale: Annotated[int, Field(ge=1, le=8)] | None = None
    """That it must have; it is measured in any case."""
    bands: Literal["any"] | Annotated[int, Field(ge=1, le=MAX_PARAM)] | None = None
    range: Literal["0-1", "0-255", "-1-1"] | None = None
    normalise: Literal["percentile", "none"] | None = None
    architecture: Architecture | None = None

    def called(self, path: Path, said: str | None = None) -> str:
        """The name of the model: wished, said by its file, or the file's own; CheckpointError when it is none."""
        name = self.name or said or path.stem.lower().replace(" ", "-")
        if not NAME.fullmatch(name):
            do = "give one by --name: a-z, 0-9, '.', '_' and '-'"
            raise CheckpointError("the model needs a name", shortened(repr(name), 60), do)
        return name

    def licensed(self, path: Path, said: str | None = None) -> str:
        """The licence: wished, or said by the file; CheckpointError NO_LICENCE when nobody says it."""
        licence = (self.licence or said or "").strip()
        if not licence or not licence.isprintable() or len(licence) > MAX_LICENCE:
            raise CheckpointError(
                f"{path} comes without a licence",
                shortened(repr(licence), 60) if licence else "",
                "say by --licence what its makers allow, as --licence MIT",
                code="NO_LICENCE",
            )
        return licence


def wishes_of(path: Path | None, **options: Any) -> Wishes:
    """Options before the file before nothing; CatalogError with the file's line, or for an option that cannot be."""
    document = read_document(path).parse(Wishes) if path is not None else Wishes()
    said = {name: value for name, value in options.items() if value is not None}
    bands = said.get("bands")
    if isinstance(bands, str) and bands.isdecimal():
        said["bands"] = int(bands[:9])
    try:
        return Wishes.model_validate({**document.model_dump(exclude_none=True), **said})
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0])
        raise CatalogError(
            f"--{option} cannot be that", shortened(repr(said.get(option)), 60), first["msg"], code="BAD_SETTING"
        ) from error
