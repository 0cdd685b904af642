"""Bare weights as a checkpoint: a .safetensors, or a .pth of which nothing is run and only the numbers are taken.

They say nothing of their network. Either it is one of `srcore.models`, which the user names; or spandrel knows the
layout, and the network that it builds goes the way of an ONNX graph (`incoming`): nothing of spandrel runs later.
"""

from __future__ import annotations

import errno
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from srcore.checkpoints import MAX_PARAM, Architecture, Spec
from srcore.engine import prove
from srcore.errors import CheckpointError, shortened
from srcore.exchange.place import refuse_moved
from srcore.exchange.wishes import Wishes
from srcore.regular import read_regular
from srcore.weights import build, check_fit, describe, refuse_unsafe_torch, save_checkpoint

MAX_BYTES = 2**31 - 1
WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "generator", "model", "net")
"""Keys under which training programs put a network's weights, the first that is there counts."""
DEPTH = 4
"""Dictionaries within each other that are looked into."""
SAFETENSORS = ".safetensors"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a .safetensors or .pth by their names; no code of the file is run.

    CheckpointError NOT_READABLE, MODEL_TOO_LARGE, PICKLE_WITH_CODE, WEIGHTS_NONFINITE, BAD_CHECKPOINT.
    """
    raw = _read(path)
    tensors = _safe(raw, path) if path.suffix.lower() == SAFETENSORS else dict(_flat(_unpickled(raw, path)))
    if not tensors:
        raise CheckpointError(f"{path} holds no weights", "", "give the state_dict of a network")
    _refuse_odd(tensors, path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise CheckpointError(
                f"{path} has weights that are no numbers",
                shortened(name),
                "use a model that was trained to its end",
                code="WEIGHTS_NONFINITE",
            )
    return tensors


def _refuse_odd(tensors: Mapping[str, Tensor], path: Path) -> None:
    """A few bytes can call themselves a tensor of any shape, and a name can count to any number of layers."""
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > MAX_BYTES:
        raise CheckpointError(f"{path} unpacks to 2 GB or more", "", "use a smaller model", code="MODEL_TOO_LARGE")
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not plain or tensor.is_complex():
            found = f"{shortened(name)}: {tensor.layout}, {tensor.dtype}, {tensor.device}"
            raise CheckpointError(f"{path} has weights of a kind that no network takes", found, "save plain tensors")
        if any(part.isdecimal() and (len(part) > 4 or int(part) > MAX_PARAM) for part in name.split(".")):
            found, do = shortened(name), f"{MAX_PARAM} layers at most"
            raise CheckpointError(f"{path} names more layers than a network has", found, do)


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        large = error.errno == errno.EFBIG
        code = "MODEL_TOO_LARGE" if large else "NOT_READABLE"
        raise CheckpointError(
            f"{path} cannot be read", error.strerror or "", "give a file below 2 GB", code=code
        ) from error


def _safe(raw: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return dict(load(raw))
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is not a safetensors file", shortened(str(error)), "save it again") from error


def _unpickled(raw: bytes, path: Path) -> Any:
    """What torch's own narrow unpickler makes of it: numbers and containers, or nothing."""
    refuse_unsafe_torch()
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            if sum(one.file_size for one in packed.infolist()) > MAX_BYTES:
                raise CheckpointError(
                    f"{path} unpacks to 2 GB or more", "", "use a smaller model", code="MODEL_TOO_LARGE"
                )
    try:
        return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than numbers",
            shortened(_named_global(error)),
            "save its state_dict alone, or as safetensors",
            code="PICKLE_WITH_CODE",
        ) from error
    except Exception as error:  # a broken file ends in whatever the reader stumbles over
        found = str(error).partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{path} is not a file of weights", shortened(found), "save it again") from error


def _named_global(error: Exception) -> str:
    """What the pickle would call, of torch's long advice."""
    text = str(error)
    start = text.find("GLOBAL ")
    return text[start:].partition(" was not")[0] if start >= 0 else "what torch does not load without running it"


def _flat(found: Any, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a state_dict, which training programs wrap."""
    if not isinstance(found, Mapping) or depth > DEPTH:
        return
    inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
    if inner is not None:
        yield from _flat(inner, depth + 1)
        return
    for name, value in found.items():
        if isinstance(value, Tensor):
            yield str(name).removeprefix("module."), value


def import_bare(path: Path, wishes: Wishes, folder: Path) -> Spec:
    """Write the checkpoint of bare weights into `folder`; gives its spec. CheckpointError for what cannot be used."""
    tensors = read_tensors(path)
    name, licence = wishes.called(path), wishes.licensed(path)
    if wishes.architecture is not None:
        return _ours(path, tensors, wishes.architecture, wishes, folder)
    from srcore.exchange.community import network_of  # an extra, and only for such files

    network, scale, bands = network_of(tensors, path)
    from srcore.exchange.incoming import Origin, import_network

    return import_network(network, scale, bands, Origin(path, name, licence), wishes, folder)


def _ours(path: Path, tensors: dict[str, Tensor], architecture: Architecture, wishes: Wishes, folder: Path) -> Spec:
    """Of a generator that is here."""
    facts: dict[str, Any] = {
        "licence": wishes.licensed(path),
        "training": {"imported": path.suffix.lstrip(".").lower()},
    }
    if wishes.normalise is not None:
        facts["normalise"] = wishes.normalise
    spec = describe(wishes.called(path), architecture, **facts)
    generator = build(spec)
    check_fit(path, tensors, generator)
    generator.load_state_dict(tensors)
    generator.eval()
    _refuse_other(spec, wishes)
    prove(spec, generator)
    refuse_moved(generator)
    return save_checkpoint(folder, spec, generator, _card(spec, tensors))


def _refuse_other(spec: Spec, wishes: Wishes) -> None:
    if wishes.scale is not None and {*spec.scale} != {wishes.scale}:
        found = f"{'x'.join(map(str, spec.scale))} of its layers, {wishes.scale} wished"
        raise CheckpointError(f"{spec.name} has another scale", found, "correct or leave out `scale`")


def _card(spec: Spec, tensors: Mapping[str, Tensor]) -> str:
    return f"""# {spec.name}

Bare weights that came in, {len(tensors)} tensors, of the architecture `{spec.architecture.name}`.
Licence of the weights: {spec.licence}, as it was said when they came in.

How they were trained, and on what, is not known here: compare them with `srcore evaluate` before products rest on them.
"""
