"""What stands below the help of each command: how it is called, and which environment variables it heeds.

A test reads every command for its examples, and has the command line read every example.
"""

from __future__ import annotations

import typer

CATALOG = "SRCORE_CATALOG"
REGISTRY = ("SRCORE_REGISTRY", "SRCORE_CACHE")
COMPUTE = ("SRCORE_WORKERS", "SRCORE_SCHEDULER", "SRCORE_BACKEND", *REGISTRY)
PREFECT = "PREFECT_API_URL"

EXAMPLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "init": (("srcore init", "srcore init ./archive"), ()),
    "upscale": (
        (
            "srcore upscale scene.tif sr.tif",
            "srcore upscale scene.tif sr.tif --dry-run",
            "srcore upscale scene.tif part.tif --window 4000,2500,512,512",
            "srcore upscale scene.tif part.tif --bbox 8.5,47.3,8.6,47.4 --crs EPSG:4326",
            "srcore upscale 'LC08_{band}.TIF' sr.tif --bands B2,B3,B4",
            "srcore upscale ct.nii.gz sr.nii.gz --model srcore-volume-x2",
            "srcore upscale ./study/series ./sr --model srcore-volume-x2 --identity keep",
            "srcore upscale ./study/series sr.nii.gz --model cubic-z5 --resample untilt",
        ),
        COMPUTE,
    ),
    "run": (
        (
            "srcore run my-dataset",
            "srcore run my-dataset --dry-run",
            "srcore run my-dataset --scene west --force",
            "srcore run my-dataset --scene west --window 0,0,512,512 --to ./look",
        ),
        (CATALOG, *COMPUTE, PREFECT),
    ),
    "status": (("srcore status", "srcore status my-dataset --json"), (CATALOG,)),
    "report": (("srcore report my-dataset",), (CATALOG,)),
    "audit": (("srcore audit my-dataset", "srcore audit --share"), (CATALOG,)),
    "validate": (
        ("srcore validate sr.tif --lr scene.tif", "srcore validate sr.tif --lr scene.tif --hr true.tif --json"),
        (CATALOG,),
    ),
    "train": (
        ("srcore train --list", "srcore train srcore-x2", "srcore train my-recipe.yaml --folds 5"),
        ("SRCORE_DATA",),
    ),
    "retrain": (("srcore retrain my-dataset",), (CATALOG, *REGISTRY, PREFECT)),
    "evaluate": (
        (
            "srcore evaluate srcore-x2 ./hr-scenes",
            "srcore evaluate ./mine ./hr-scenes --against srcore-x2 --report found.html",
        ),
        (CATALOG, *REGISTRY),
    ),
    "serve": (
        ("srcore serve", "srcore serve --port 4300", "srcore serve --server https://prefect.example --pool alps"),
        (CATALOG, *COMPUTE, "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"),
    ),
    "demo": (("srcore demo", "srcore demo ./somewhere --workers 2", "srcore demo ./incoming --safe"), COMPUTE),
    "explain": (("srcore explain", "srcore explain DISK_FULL"), ()),
    "settings": (("srcore settings", "srcore settings --json"), ("SRCORE_*",)),
    "worker": (("srcore worker tls://scheduler.example:8786", "srcore worker tcp://127.0.0.1:8786 --count 2"), ()),
    "metrics": (("srcore metrics", "srcore metrics --port 9411"), (CATALOG,)),
    "catalog list": (("srcore catalog list", "srcore catalog list --catalog ./archive/data_catalog.yaml"), (CATALOG,)),
    "catalog add": (
        (
            "srcore catalog add hills './incoming/*.tif'",
            "srcore catalog add s2 './in/{scene}_{band}.tif' --schedule '0 2 * * *'",
        ),
        (CATALOG, *REGISTRY),
    ),
    "catalog check": (("srcore catalog check",), (CATALOG, *REGISTRY)),
    "catalog schema": (("srcore catalog schema",), ()),
    "catalog export": (
        (
            "srcore catalog export my-dataset items.parquet",
            "srcore catalog export my-dataset ./shared/items.parquet --overwrite",
        ),
        (CATALOG,),
    ),
    "models list": (("srcore models list",), REGISTRY),
    "models import": (
        (
            "srcore models import ./my-checkpoint",
            "srcore models import their-x2.onnx --name their-x2 --licence MIT",
            "srcore models import their-x4.pth --licence Apache-2.0 --range 0-255",
            "srcore models import weights.safetensors --spec weights.yaml --to ./my-checkpoint",
        ),
        REGISTRY,
    ),
    "models export": (
        ("srcore models export srcore-x2 --onnx", "srcore models export my-model@champion --onnx my-model.onnx"),
        REGISTRY,
    ),
    "models promote": (("srcore models promote my-model@2 --why 'better on forests'",), REGISTRY),
    "models rollback": (("srcore models rollback my-model --why 'too sharp'",), REGISTRY),
    "models history": (("srcore models history my-model",), (CATALOG, *REGISTRY)),
    "models show": (("srcore models show srcore-x2",), REGISTRY),
    "models verify": (("srcore models verify srcore-x2",), REGISTRY),
    "models calibrate": (("srcore models calibrate ./my-checkpoint ./hr-scenes",), ()),
    "models ui": (("srcore models ui --port 5000",), REGISTRY),
    "quarantine list": (("srcore quarantine list",), (CATALOG,)),
    "quarantine show": (("srcore quarantine show my-dataset west",), (CATALOG,)),
    "quarantine retry": (("srcore quarantine retry my-dataset west --why 'fetched again'",), (CATALOG,)),
    "quarantine ignore": (("srcore quarantine ignore my-dataset west --why 'clouds only'",), (CATALOG,)),
    "products remove": (
        ("srcore products remove my-dataset west", "srcore products remove my-dataset --older 365 --yes"),
        (CATALOG,),
    ),
    "privacy who": (("srcore privacy who s-380442f50fa3430a",), (CATALOG, "SRCORE_PRIVATE_KEY")),
    "privacy erase": (("srcore privacy erase s-380442f50fa3430a --yes",), (CATALOG, "SRCORE_PRIVATE_KEY")),
    "pairs collect": (("srcore pairs collect my-dataset",), (CATALOG, PREFECT)),
    "pairs check": (("srcore pairs check my-dataset",), (CATALOG,)),
    "pairs list": (("srcore pairs list my-dataset --json",), (CATALOG,)),
}
"""By the words of a command: examples, and environment variables."""


def add_epilogs(app: typer.Typer, before: str = "") -> None:
    """Put examples and variables below the help of every command that has some here."""
    for info in app.registered_commands:
        name = info.name or (info.callback.__name__.replace("_", "-") if info.callback else "")
        info.epilog = epilog(f"{before}{name}")
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_epilogs(group.typer_instance, f"{before}{group.name} ")


def epilog(command: str) -> str | None:
    """The text of a command; None where nothing is known of it. The first sign of a paragraph keeps its lines."""
    if command not in EXAMPLES:
        return None
    examples, variables = EXAMPLES[command]
    text = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
    return f"{text}\n\nEnvironment: {', '.join(variables)}." if variables else text
