"""The catalog is read strictly: what is wrong is said with file, line and key, and never crashes."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator, meta

from srcore.catalog import catalog_schema, load_catalog
from srcore.errors import CatalogError
from srcore.settings import load_settings

GOOD = """\
version: 1
store: ./archive
datasets:
  s2-alps:
    kind: raster
    source: ./incoming/s2/*.tif
    bands: [B02, B03, B04, B08]
    nodata: 0
    model: srcore-x2
    schedule: "0 2 * * *"
    timezone: Europe/Zurich
    tile: 512
    privacy: restricted
    products: [cog, stac, report]
    hr: ./incoming/hr
  ct:
    kind: volume
    source: ./incoming/ct/*.nii.gz
    model: ./models/mine
"""


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "data_catalog.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def message(folder: Path, text: str | bytes) -> str:
    path = write(folder, text)
    with pytest.raises(CatalogError) as caught:
        load_catalog(path)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(str(path), "data_catalog.yaml")


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def test_reads_every_field(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, GOOD))
    alps, ct = catalog.dataset("s2-alps"), catalog.dataset("ct")
    assert (catalog.version, catalog.base, catalog.store) == (1, tmp_path, str(tmp_path / "archive"))
    assert alps.bands == ("B02", "B03", "B04", "B08")
    assert (alps.nodata, alps.tile, alps.schedule, alps.timezone) == (0.0, 512, "0 2 * * *", "Europe/Zurich")
    assert alps.model == "srcore-x2"
    assert alps.outputs == ("cog", "stac", "report")
    assert (ct.bands, ct.nodata, ct.tile, ct.schedule, ct.timezone) == (None, None, "auto", None, "UTC")
    assert ct.model == str(tmp_path / "models" / "mine")
    assert ct.outputs == ("nifti", "report")
    assert (ct.privacy, ct.says_privacy, ct.hides_names) == ("restricted", False, True)


def test_restricted_dataset_makes_no_picture(tmp_path: Path) -> None:
    text = changed("    products: [cog, stac, report]\n", "")
    assert load_catalog(write(tmp_path, text)).dataset("s2-alps").outputs == ("cog", "stac", "report")


def test_catalog_is_frozen_and_travels(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, GOOD))
    with pytest.raises(ValueError, match="frozen"):
        catalog.store = "elsewhere"
    again = pickle.loads(pickle.dumps(catalog))
    assert again == catalog
    assert again.base == catalog.base


def test_schema_agrees_with_the_loader(tmp_path: Path) -> None:
    schema = catalog_schema()
    meta.validate(schema)
    assert not list(Draft202012Validator(schema).iter_errors(yaml.safe_load(GOOD)))
    assert list(Draft202012Validator(schema).iter_errors(yaml.safe_load(changed("schedule", "shedule"))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            changed("schedule", "shedule"),
            "data_catalog.yaml:10: unknown key 'shedule' in datasets.s2-alps; did you mean 'schedule'?",
        ),
        (changed("version: 1", "version: 1\nqqqq: 1"), "data_catalog.yaml:2: unknown key 'qqqq'; take it out"),
        (changed("    kind: raster\n", ""), "data_catalog.yaml:4: missing key 'kind' in datasets.s2-alps; add it"),
        (changed("version: 1\n", ""), "data_catalog.yaml:1: missing key 'version'; add it"),
        (
            changed("kind: raster", "kind: rooster"),
            "data_catalog.yaml:5: kind in datasets.s2-alps: Input should be 'raster' or 'volume'; found 'rooster'",
        ),
        (
            changed("    nodata: 0\n", "    nodata: 0\n    kind: volume\n"),
            "data_catalog.yaml:9: duplicate key 'kind' in datasets.s2-alps; it stands on line 5 too; keep one",
        ),
        (changed("  ct:", "  s2-alps:"), "data_catalog.yaml:16: duplicate key 's2-alps' in datasets"),
        (changed("  ct:", "  S2-Alps:"), "two datasets differ only in upper and lower case"),
        (changed("  ct:", "  ../ct:"), "dataset name '../ct'"),
        (
            changed("  ct:", "  7:"),
            "data_catalog.yaml:16: a key in datasets that is not text is not allowed; found '7'",
        ),
        (changed("  ct:", "  ? [a]\n  :"), "found 'a list or a mapping'"),
        (changed('"0 2 * * *"', "* * * * *"), "data_catalog.yaml:10"),
        (changed("[B02, B03", "&all [B02, B03"), "data_catalog.yaml:7: an anchor is not allowed; found '&all'"),
        (changed("nodata: 0", "nodata: *all"), "data_catalog.yaml:8: an alias is not allowed; found '*all'"),
        (changed("nodata: 0", "nodata: !!float 0"), "data_catalog.yaml:8: a tag is not allowed"),
        (changed("nodata: 0", "nodata: !!python/object/apply:os.system [x]"), "a tag is not allowed"),
        (changed("nodata: 0", "<<: {kind: volume}"), "unknown key '<<'"),
        (changed("nodata: 0", "nodata: none"), "data_catalog.yaml:8: nodata in datasets.s2-alps: "),
        (changed("nodata: 0", "nodata: true"), "valid number; found True"),
        (
            changed("[B02, B03, B04, B08]", "[1, 2]"),
            "bands.0 in datasets.s2-alps: Input should be a valid string; found 1",
        ),
        (changed("[B02, B03, B04, B08]", "[]"), "one or more different band names are needed"),
        (changed("[B02, B03, B04, B08]", "[B02, B02]"), "one or more different band names are needed"),
        (changed('"0 2 * * *"', '"0 2 * *"'), "five fields"),
        (changed('"0 2 * * *"', '"0 25 * * *"'), "not a cron expression that comes due: Bad hour"),
        (changed('"0 2 * * *"', '"0 0 30 2 *"'), "not a cron expression that comes due: Bad day"),
        (
            changed("Europe/Zurich", "Europe/Atlantis"),
            "data_catalog.yaml:11: timezone in datasets.s2-alps: not a time zone",
        ),
        (changed("Europe/Zurich", "../../etc/passwd"), "not a time zone"),
        (changed("tile: 512", "tile: 513"), "auto or an even number from 32 to 4096 is needed; found 513"),
        (changed("tile: 512", "tile: true"), "auto or an even number"),
        (changed("tile: 512", "tile: 8192"), "auto or an even number"),
        (changed("[cog, stac, report]", "[stac]"), "never goes without cog"),
        (changed("[cog, stac, report]", "[cog, nifti]"), "a raster has cog, stac, report, quicklook"),
        (changed("[cog, stac, report]", "[cog, quicklook]"), "a restricted dataset has no quicklook"),
        (changed("./incoming/s2/*.tif", "s3://bucket/in/"), "files of a bucket are needed"),
        (changed("./incoming/s2/*.tif", "s3://me:key@bucket/*.tif"), "no name or password in an address"),
        (changed("./incoming/s2/*.tif", "https://host/*.tif"), "the web has no lists"),
        (changed("./incoming/s2/*.tif", "https://host/a.tif?sig=1"), "what stands behind a ? is often a secret"),
        (changed("./incoming/s2/*.tif", "ftp://host/a.tif"), "6: source"),
        (changed("./incoming/s2/*.tif", "{stac: https://host, bbox: [7, 47, 8, 46]}"), "west, south, east, north"),
        (changed("./incoming/s2/*.tif", "{stac: https://host, datetime: June}"), "a time or FROM/TO is needed"),
        (changed("./incoming/s2/*.tif", "{stac: https://host, query: {a: {is: 1}}}"), "no comparison is called 'is'"),
        (changed("./incoming/s2/*.tif", "{stac: https://host, box: 1}"), "6: unknown key 'box'"),
        (changed("./incoming/s2/*.tif", "[a.tif]"), "6: source"),
        (changed("./incoming/s2/*.tif", "/vsicurl/x/*.tif"), "only local files"),
        (changed("store: ./archive", "store: https://a/b"), "data_catalog.yaml:2: store: a folder is needed"),
        (changed("store: ./archive", "store: ''"), "a path is needed"),
        (changed("./incoming/s2/*.tif", "./a/*/../*.tif"), ".. can only stand before the first wildcard"),
        (changed("./incoming/s2/*.tif", '"./a/{tile}.tif"'), "only {scene} and {band} are known"),
        (changed("./incoming/ct/*.nii.gz", '"./a/{scene}_{band}.nii"'), "a source with {band} needs the list of bands"),
        (changed("./incoming/hr", '"./a/{scene}_{band}.tif"'), "one file a scene"),
        (changed("    model: ./models/mine", "    model: ./models/mine\n    date: 2023-06-02"), "a volume has no date"),
        (changed("    model: ./models/mine", "    model: ./models/mine\n    alpha: data"), "a volume has no alpha"),
        (changed("nodata: 0", "valid_range: [1, 0]"), "valid_range in datasets.s2-alps: [least, greatest] is needed"),
        (changed("nodata: 0", "valid_range: [null, null]"), "[least, greatest] is needed"),
        (changed("nodata: 0", "valid_range: [.nan, 1]"), "[least, greatest] is needed"),
        (changed("nodata: 0", "values: {SCL: classes}"), "values"),
        (changed("nodata: 0", "alpha: near"), "data_catalog.yaml:8: alpha in datasets.s2-alps: Input should be 'auto'"),
        (changed("    model: ./models/mine", "    model: ./models/mine\n    bands: [a]"), "a volume has no bands"),
        ("", "the document is empty"),
        ("[1, 2]", "data_catalog.yaml:1: Input should be a valid dictionary"),
        ("version: 1\nstore: a\ndatasets: {}", "data_catalog.yaml:3: datasets: "),
        ("a: 1\n---\nb: 2\n", "not valid YAML: but found another document"),
        ("a: [1, 2", "not valid YAML"),
        ("a: 'x", "not valid YAML"),
        (b"\xff\xfe\x00a", "data_catalog.yaml:1: not UTF-8 text"),
        ("a: \x00", "not valid YAML"),
        ("[" * 5000, "nesting is not allowed; found 'more than 12 levels'"),
        ("a: " * 3 + "1", "not valid YAML"),
        ("a: [" + "1," * 60_000 + "1]", "a document of this many values is not allowed; found 'more than 50000'"),
        ("x" * 1_000_001, "the document is too large"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in message(tmp_path, text)


def test_text_stays_text(tmp_path: Path) -> None:
    """No Norway problem: words and dates that other YAML readers turn into booleans and dates are band names."""
    text = changed("[B02, B03, B04, B08]", "[no, on, 2024-01-01, 1_000, 0x10, 1:30]")
    bands = load_catalog(write(tmp_path, text)).dataset("s2-alps").bands
    assert bands == ("no", "on", "2024-01-01", "1_000", "0x10", "1:30")


@pytest.mark.parametrize(
    ("text", "value"), [("-9999", -9999.0), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf"))]
)
def test_numbers(tmp_path: Path, text: str, value: float) -> None:
    assert load_catalog(write(tmp_path, changed("nodata: 0", f"nodata: {text}"))).dataset("s2-alps").nodata == value


def test_alias_bomb_is_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    started = time.perf_counter()
    assert "an anchor is not allowed" in message(tmp_path, "\n".join(lines))
    assert time.perf_counter() - started < 1.0


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(CatalogError, match="cannot be read"):
            load_catalog(path)


def test_unknown_dataset(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="unknown dataset 's3'; found s2-alps, ct; use one of these"):
        load_catalog(write(tmp_path, GOOD)).dataset("s3")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
DOCUMENTS: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4), max_leaves=12
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: SCALARS | st.lists(SCALARS, max_size=3)
        for name in ("kind", "source", "bands", "model", "schedule", "timezone", "tile", "products", "privacy", "hr")
    },
)
CATALOGS = st.fixed_dictionaries(
    {"version": st.just(1), "store": st.text(max_size=9), "datasets": st.dictionaries(st.text(max_size=5), FIELDS)}
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def loads_or_refuses(path: Path) -> None:
    try:
        said = f"{path}: {load_catalog(path)!r}"
    except CatalogError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said


@QUICK
@given(document=DOCUMENTS | CATALOGS)
def test_any_document_is_loaded_or_refused(tmp_path: Path, document: Any) -> None:
    loads_or_refuses(write(tmp_path, yaml.dump(document)))


@QUICK
@given(raw=st.binary(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>%@`'\"#\n \t?,01.", max_size=80).map(str.encode))
def test_any_bytes_are_loaded_or_refused(tmp_path: Path, raw: bytes) -> None:
    loads_or_refuses(write(tmp_path, raw))


@QUICK
@given(at=st.integers(0, len(GOOD) - 1), new=st.characters(codec="utf-8"))
def test_any_typo_is_loaded_or_refused(tmp_path: Path, at: int, new: str) -> None:
    loads_or_refuses(write(tmp_path, GOOD[:at] + new + GOOD[at + 1 :]))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_WORKERS", "0")
    monkeypatch.setenv("SRCORE_SCHEDULER", "tcp://127.0.0.1:8786")
    monkeypatch.setenv("SRCORE_CATALOG", "")
    found = load_settings()
    assert (found.workers, found.scheduler, found.catalog) == (0, "tcp://127.0.0.1:8786", Path("data_catalog.yaml"))


@pytest.mark.parametrize(
    ("name", "value"), [("SRCORE_WORKERS", "many"), ("SRCORE_WORKERS", "-1"), ("SRCORE_SCHEDULER", "x")]
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(CatalogError, match=f"{name}: .*; found '{value}'; change or unset it"):
        load_settings()


RETRAINED = GOOD.replace(
    "model: srcore-x2", "model: srcore-x2@champion\n    retrain: {schedule: '0 4 * * 0', hold_out: 0.5}"
)


def test_retraining_has_defaults_and_is_read_strictly(tmp_path: Path) -> None:
    settings = load_catalog(write(tmp_path, RETRAINED)).dataset("s2-alps").retrain
    assert settings is not None
    assert (settings.schedule, settings.hold_out, settings.recipe, settings.scenes) == ("0 4 * * 0", 0.5, None, 100)
    recipe = RETRAINED.replace("hold_out: 0.5", "recipe: ./tune.yaml")
    found = load_catalog(write(tmp_path, recipe)).dataset("s2-alps").retrain
    assert found is not None
    assert found.recipe == str(tmp_path / "tune.yaml")
    for wrong, told in {
        "hold_out: 1.5": "hold_out in datasets.s2-alps.retrain",
        "hold: 0.5": "unknown key 'hold' in datasets.s2-alps.retrain",
        "scenes: 3": "scenes in datasets.s2-alps.retrain",
        "at_least_db: -1": "at_least_db in datasets.s2-alps.retrain",
    }.items():
        assert told in message(tmp_path, RETRAINED.replace("hold_out: 0.5", wrong))
    assert "five fields" in message(tmp_path, RETRAINED.replace("0 4 * * 0", "weekly"))
    assert "only a model NAME@champion" in message(tmp_path, RETRAINED.replace("@champion", ""))
    trust = RETRAINED.replace("[cog, stac, report]", "[cog, stac, report, trust]")
    assert "not calibrated for a trust map" in message(tmp_path, trust)
    assert not list(Draft202012Validator(catalog_schema()).iter_errors(yaml.safe_load(RETRAINED)))
    assert list(
        Draft202012Validator(catalog_schema()).iter_errors(yaml.safe_load(RETRAINED.replace("hold_out", "hold")))
    )
