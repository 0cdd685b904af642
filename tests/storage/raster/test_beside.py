"""What lies beside a raster: read as GDAL reads it, or refused; flagged, watched, and never followed elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

from srcore.errors import GridError, SourceError
from srcore.storage.header import Header
from srcore.storage.raster.beside import neighbours
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene

AS_GDAL = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE", "GDAL_PAM_ENABLED": "YES"}
OTHER_WKT = rasterio.CRS.from_epsg(32633).to_wkt()
WORLD_FILE = "1\n0.5\n0.25\n-1\n100\n200\n"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:typens="http://www.esri.com/schemas/ArcGIS/10.0"'


def numbers(bands: int = 2, dtype: str = "uint16") -> np.ndarray:
    return (np.arange(bands * 77) % 120 + 1).reshape(bands, 7, 11).astype(dtype)


def say(raster: Path, body: str) -> Path:
    path = raster.with_name(f"{raster.name}.aux.xml")
    path.write_text(f"<PAMDataset>{body}</PAMDataset>")
    return path


def band(index: int, **words: object) -> str:
    return f'<PAMRasterBand band="{index}">{"".join(f"<{k}>{v}</{k}>" for k, v in words.items())}</PAMRasterBand>'


def mask_beside(
    raster: Path, bands: int = 1, flags: tuple[int, ...] = (2, 2), shape: tuple[int, int] = (7, 11)
) -> Path:
    """A .msk that hides the first two rows, and in its last band a third."""
    path = raster.with_name(f"{raster.name}.msk")
    values = np.full((bands, *shape), 255, np.uint8)
    values[:, :2], values[-1, 4] = 0, 0
    with rasterio.open(path, "w", driver="GTiff", count=bands, height=shape[0], width=shape[1], dtype="uint8") as out:
        out.write(values)
        out.update_tags(**{f"INTERNAL_MASK_FLAGS_{i}": str(flag) for i, flag in enumerate(flags, 1)})
    return path


def whole(header: Header) -> tuple[np.ndarray, np.ndarray]:
    with open_raster_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))


def same_as_gdal(path: Path) -> Header:
    """The header, whose every word and whose valid pixels are those that GDAL finds when it may look around."""
    header = read_raster_header([path])
    values, valid = whole(header)
    with rasterio.Env(**AS_GDAL), rasterio.open(path) as plain:
        np.testing.assert_array_equal(values, plain.read())
        np.testing.assert_array_equal(valid, plain.read_masks() > 0)
        t = plain.transform
        np.testing.assert_allclose(header.grid.affine, ((t.b, t.a, t.c), (t.e, t.d, t.f)), rtol=1e-15)
        crs = None if header.grid.crs is None else rasterio.CRS.from_wkt(header.grid.crs)
        assert crs == plain.crs
        assert [one.scale for one in header.bands] == list(plain.scales)
        assert [one.offset for one in header.bands] == list(plain.offsets)
        assert [one.unit for one in header.bands] == list(plain.units)
        assert [one.name for one in header.bands] == [n or f"band {i}" for i, n in enumerate(plain.descriptions, 1)]
        assert header.area_or_point == plain.tags().get("AREA_OR_POINT", "Area")
    return header


# ---- masks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"nodata": 5}, {"dtype": "float32", "nodata": 5}], ids=str)
@pytest.mark.parametrize(("bands", "flags"), [(1, (2, 2)), (2, (0, 0))], ids=["one for all", "one a band"])
def test_a_mask_beside_the_file(write_raster, options: dict[str, Any], bands: int, flags: tuple[int, ...]) -> None:
    path = write_raster(numbers(dtype=options.pop("dtype", "uint16")), **options)
    mask = mask_beside(path, bands, flags)
    header = same_as_gdal(path)
    assert header.beside == (str(mask),)
    assert header.paths == (path, mask)
    assert header.flags[0] == "read beside the file: scene.tif.msk (mask)"
    assert Header.from_json(header.to_json()) == header
    assert (header.nodata == "mask") == (bands == 1 and header.dtype == "uint16")


def test_a_mask_of_a_photograph_and_of_a_jpeg2000(write_raster) -> None:
    for name, options in (("a.png", {"driver": "PNG"}), ("a.jp2", {"driver": "JP2OpenJPEG", "REVERSIBLE": "YES"})):
        path = write_raster(numbers(1, "uint8"), name, QUALITY=100, **options)
        path.with_name(f"{name}.aux.xml").unlink(missing_ok=True)
        mask_beside(path)
        assert same_as_gdal(path).nodata == "mask"


def test_the_files_own_mask_wins(write_raster) -> None:
    own = np.full((7, 11), 255, np.uint8)
    own[6] = 0
    path = write_raster(numbers(), mask=own)
    mask_beside(path)
    header = same_as_gdal(path)
    assert "scene.tif.msk is not used: the file has a mask of its own" in header.flags
    assert header.beside == ()


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda path: mask_beside(path, shape=(6, 11)), "a mask of 6 x 11 pixels for 7 x 11"),
        (lambda path: mask_beside(path, flags=()), "no INTERNAL_MASK_FLAGS"),
        (lambda path: mask_beside(path, flags=(0, 0)), "1 bands, and one for band 2 is named"),
        (lambda path: path.with_name("scene.tif.msk").write_text("<VRTDataset/>"), "a VRT"),
        (lambda path: path.with_name("scene.tif.msk").symlink_to("absent"), "no such file"),
        (lambda path: path.with_name("scene.tif.msk").mkdir(), "a folder"),
    ],
    ids=["size", "silent", "too few", "VRT", "broken link", "folder"],
)
def test_a_mask_that_cannot_be_used_refuses_the_scene(write_raster, make: Any, found: str) -> None:
    path = write_raster(numbers())
    make(path)
    with pytest.raises(SourceError, match=found) as caught:
        read_raster_header([path])
    assert caught.value.code == ("NOT_READABLE" if found == "no such file" else "SIDECAR")
    assert "scene.tif.msk: a file beside the raster that cannot be used" in str(caught.value)


# ---- words ------------------------------------------------------------------------------------------------------


def test_every_word_of_an_aux_xml_wins_over_the_file(write_raster) -> None:
    path = write_raster(numbers(), nodata=5)
    with rasterio.open(path, "r+") as own:
        own.descriptions, own.scales, own.offsets, own.units = ("a", "b"), (9, 9), (8, 8), ("k", "k")
    words = {"Description": "NIR", "NoDataValue": 7, "Scale": 1e-4, "Offset": -0.1, "UnitType": "1"}
    transform = "<GeoTransform>1,2,3,4,5,6</GeoTransform>"
    tags = "<Metadata><MDI key='AREA_OR_POINT'>Point</MDI><MDI key='PLATFORM'>x</MDI></Metadata>"
    say(path, f"<SRS>{escape(OTHER_WKT)}</SRS>{transform}{tags}{band(1, **words)}")
    header = same_as_gdal(path)
    assert [one.hidden for one in header.bands] == [7, 5]
    assert header.tags["PLATFORM"] == "x"
    assert header.flags[0] == (
        "read beside the file: scene.tif.aux.xml (nodata, scale, offset, unit, name, CRS, place, tags)"
    )


@pytest.mark.parametrize(
    ("text", "hidden"),
    [("0", 0), ("1e1", 10), ("-1.#IND", None), ("nan", None), ("-inf", None), ("300", None), ("1.5", None)],
)
def test_numbers_as_programs_print_them(write_raster, text: str, hidden: float | None) -> None:
    for dtype in ("uint8", "float32"):
        path = write_raster(numbers(1, dtype), f"{dtype}.tif")
        say(path, band(1, NoDataValue=text))
        expected = hidden if dtype == "uint8" or hidden is not None else {"300": 300, "1.5": 1.5}.get(text)
        assert read_raster_header([path]).bands[0].hidden == expected
        if text != "1.5":  # GDAL cuts it off for integers, and hides another number than was meant
            same_as_gdal(path)


def test_a_number_by_its_bytes(write_raster) -> None:
    path = write_raster(numbers(1, "float32"))
    number = '<NoDataValue le_hex_equiv="000000E0FFFFEFC7">-3.4E+38</NoDataValue>'
    say(path, f'<PAMRasterBand band="1">{number}</PAMRasterBand>')
    assert read_raster_header([path]).bands[0].hidden == -3.4028234663852886e38


def test_statistics_alone_are_no_source(write_raster) -> None:
    """Who looks at a scene in a desktop program leaves such a file: no scene becomes due by it."""
    path = write_raster(numbers())
    statistics = "<Metadata><MDI key='STATISTICS_MEAN'>3</MDI></Metadata><Histograms><HistItem/></Histograms>"
    say(path, f'<PAMRasterBand band="1">{statistics}</PAMRasterBand>')
    assert read_raster_header([path]).beside == ()
    assert read_raster_header([path]).paths == (path,)


def test_colours_and_classes_of_an_aux_xml(write_raster) -> None:
    path = write_raster(numbers(4, "uint8"), photometric="RGB", alpha="YES")
    say(path, band(4, ColorInterp="Gray"))
    assert read_raster_header([path]).alpha is None
    say(path, band(1, ColorInterp="Palette"))
    assert read_raster_header([path]).copied == (True, False, False, False)  # of which the table is not there
    say(path, band(1, CategoryNames="<Category>water</Category>") + band(4, ColorInterp="Gray"))
    header = read_raster_header([path])
    assert header.copied == (True, False, False, False)
    assert any("names classes or their colours: they are not kept" in flag for flag in header.flags)


BILLION = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<PAMDataset>", "no XML"),
        (f"{BILLION}<PAMDataset><SRS>&c;</SRS></PAMDataset>", "a DTD or an entity"),
        ('<!DOCTYPE a SYSTEM "file:///etc/hostname"><PAMDataset/>', "a DTD or an entity"),
        (f"<PAMDataset>{'<a>' * 40}{'</a>' * 40}</PAMDataset>", "more than 32 levels"),
        (f"<PAMDataset>{'<a/>' * 100_001}</PAMDataset>", "100000 elements"),
        (f"<PAMDataset>{' ' * 2**23}</PAMDataset>", "more than 8388608 bytes"),
        ("<html/>", "<html> where <PAMDataset> is known"),
        (f"<PAMDataset>{band(1, NoDataValue='seven')}</PAMDataset>", "seven"),
        ("<PAMDataset><GeoTransform>1,2</GeoTransform></PAMDataset>", "a transform of 2 terms"),
        ("<PAMDataset><SRS>/vsicurl/http://a/b</SRS></PAMDataset>", "a CRS that is no WKT"),
        ("<PAMDataset><SRS>PROJCS[broken</SRS></PAMDataset>", "a CRS that cannot be understood"),
        ("<PAMDataset><MaskBand><SourceFilename>x</SourceFilename></MaskBand></PAMDataset>", "a mask in another file"),
        (f"<PAMDataset><GeodataXform {XSI} xsi:type='typens:PolynomialXform'/></PAMDataset>", "PolynomialXform"),
    ],
)
def test_an_aux_xml_that_cannot_be_understood_refuses_the_scene(write_raster, text: str, found: str) -> None:
    path = write_raster(numbers())
    path.with_name("scene.tif.aux.xml").write_text(text)
    with pytest.raises(SourceError) as caught:
        read_raster_header([path])
    assert caught.value.code == "SIDECAR"
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_arcgis_writes(write_raster) -> None:
    path = write_raster(numbers(), crs=None)
    reference = f"<SpatialReference><WKT>{OTHER_WKT}</WKT></SpatialReference>"
    xform = f"<GeodataXform {XSI} xsi:type='typens:IdentityXform'>{reference}</GeodataXform>"
    say(path, f"<Metadata domain='xml:ESRI' format='xml'>{xform}</Metadata>")
    assert rasterio.CRS.from_wkt(same_as_gdal(path).grid.crs) == rasterio.CRS.from_epsg(32633)


# ---- places -----------------------------------------------------------------------------------------------------


def nowhere(write_raster: Any, name: str = "scene.tif", **options: Any) -> Path:
    path = write_raster(numbers(), name, **{"crs": None, "transform": None, **options})
    path.with_name(f"{name}.aux.xml").unlink(missing_ok=True)
    return path


@pytest.mark.parametrize("ending", ["tfw", "TFW", "Tfw", "tifw", "TIFW", "wld", "WLD"])
def test_world_files(write_raster, ending: str) -> None:
    path = nowhere(write_raster)
    world = path.with_suffix(f".{ending}")
    world.write_text(WORLD_FILE)
    header = same_as_gdal(path)
    assert header.grid.to_world((0.5, 0.5)) == (100, 200)
    assert header.beside == (str(world),)
    assert header.flags[0] == f"read beside the file: {world.name} (place)"
    assert "no CRS" in header.flags


@pytest.mark.parametrize(
    ("name", "driver", "endings"),
    [("A.TIF", "GTiff", ("tfw", "tifw")), ("a.png", "PNG", ("pgw", "pngw")), ("a.jp2", "JP2OpenJPEG", ("j2w", "jp2w"))],
)
def test_world_files_of_each_format(write_raster, name: str, driver: str, endings: tuple[str, ...]) -> None:
    for ending in (*endings, "wld"):
        path = nowhere(write_raster, name, driver=driver, QUALITY=100, REVERSIBLE="YES")
        path.with_suffix(f".{ending}").write_text(WORLD_FILE)
        assert same_as_gdal(path).grid.to_world((0.5, 0.5)) == (100, 200)
        path.with_suffix(f".{ending}").unlink()


def test_precedence_of_places(write_raster) -> None:
    """.aux.xml > the file > .tfw > .tifw > .wld, as GDAL has it."""
    path = nowhere(write_raster)
    for ending, size in (("wld", 3), ("tifw", 2), ("tfw", 1)):
        path.with_suffix(f".{ending}").write_text(f"{size}\n0\n0\n-{size}\n0\n0\n")
        assert same_as_gdal(path).grid.spacing() == (size, size)
    own = write_raster(numbers())
    assert same_as_gdal(own).grid.spacing() == (10, 10)
    assert same_as_gdal(own).beside == ()
    say(own, "<GeoTransform>1,5,0,4,0,-5</GeoTransform>")
    assert same_as_gdal(own).grid.spacing() == (5, 5)


def points() -> list[GroundControlPoint]:
    places = ((0, 0), (0, 11), (7, 0), (7, 11))
    return [GroundControlPoint(row=r, col=c, x=6e5 + 10 * c, y=5.2e6 - 10 * r, id=f"{r}{c}") for r, c in places]


def test_a_world_file_wins_over_control_points(write_raster) -> None:
    path = nowhere(write_raster)
    with rasterio.open(path, "r+") as own:
        own.gcps = (points(), rasterio.CRS.from_epsg(32632))
    path.with_suffix(".tfw").write_text(WORLD_FILE)
    header = same_as_gdal(path)
    assert header.gcps == ()
    assert rasterio.CRS.from_wkt(header.grid.crs) == rasterio.CRS.from_epsg(32632)
    assert "dropped 4 ground control points: the affine places the product" in header.flags


def test_control_points_of_an_aux_xml(write_raster) -> None:
    path = nowhere(write_raster)
    listed = "".join(f'<GCP Id="{p.id}" Pixel="{p.col}" Line="{p.row}" X="{p.x}" Y="{p.y}"/>' for p in points())
    say(path, f"<GCPList Projection={quoteattr(OTHER_WKT)}>{listed}</GCPList>")
    header = read_raster_header([path])
    assert [(p.row, p.col, p.x, p.y) for p in header.gcps] == [(p.row, p.col, p.x, p.y) for p in points()]
    assert rasterio.CRS.from_wkt(header.gcps_crs) == rasterio.CRS.from_epsg(32633)
    assert "placed by 4 ground control points" in header.flags
    assert header.flags[0] == "read beside the file: scene.tif.aux.xml (control points)"


def test_a_prj_says_the_crs_where_nothing_else_does(write_raster) -> None:
    """GDAL passes over it, with it the CRS of every shapefile-like delivery of a world file is lost."""
    path = nowhere(write_raster)
    path.with_suffix(".tfw").write_text(WORLD_FILE)
    path.with_suffix(".PRJ").write_text(rasterio.CRS.from_epsg(2056).to_wkt(version="WKT1_ESRI"))
    header = read_raster_header([path])
    assert rasterio.CRS.from_wkt(header.grid.crs) == rasterio.CRS.from_epsg(2056)
    assert set(header.flags) >= {"read beside the file: scene.tfw (place)", "read beside the file: scene.PRJ (CRS)"}
    own = write_raster(numbers())
    assert rasterio.CRS.from_wkt(read_raster_header([own]).grid.crs) == rasterio.CRS.from_epsg(32632)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("scene.tfw", "1\n0\n0\n-1\n100\n", "5 words that are not six numbers"),
        ("scene.tfw", "<html>not found, sorry, go away</html>", "not six numbers"),
        ("scene.tfw", "0\n0\n0\n0\n100\n200\n", "pixels without an area"),
        ("scene.prj", "Projection UTM\nZone 32\n", "a CRS that is no WKT"),
        ("scene_RPC.TXT", "LINE_OFF: 1", "RPCs, and no other place"),
        ("scene.RPB", "satId", "RPCs, and no other place"),
        ("scene.tab", "!table", "its only place"),
        ("scene.aux", "EHFA_HEADER_TAG", "its only place"),
        ("scene.tif.aux.xml", "<PAMDataset><Metadata domain='GEOLOCATION'/></PAMDataset>", "geolocation arrays"),
    ],
)
def test_a_place_that_cannot_be_read_refuses_the_scene(write_raster, name: str, content: str, found: str) -> None:
    path = nowhere(write_raster)
    path.with_name(name).write_text(content)
    with pytest.raises(SourceError, match=found) as caught:
        read_raster_header([path])
    assert caught.value.code == "SIDECAR"
    placed = write_raster(numbers(), crs="EPSG:32632", transform=Affine(10, 0, 0, 0, -10, 0))
    assert read_raster_header([placed]).grid.spacing() == (10, 10)


def test_rpcs_beside_a_file_that_has_a_place_are_flagged(write_raster) -> None:
    path = write_raster(numbers())
    path.with_name("scene_rpc.txt").write_text("LINE_OFF: 1")
    assert "dropped RPCs: the affine places the product" in read_raster_header([path]).flags
    with pytest.raises(GridError, match="by RPCs only"):
        read_raster_header([_with_rpc_domain(nowhere(write_raster, "b.tif"))])


def _with_rpc_domain(path: Path) -> Path:
    say(path, "<Metadata domain='RPC'><MDI key='LINE_OFF'>1</MDI></Metadata>")
    return path


# ---- where it lies ----------------------------------------------------------------------------------------------


def test_overviews_beside_the_file_are_never_looked_at(write_raster) -> None:
    path = write_raster(numbers())
    path.with_name("scene.tif.ovr").write_text("<VRTDataset/>")
    assert read_raster_header([path]).beside == ()
    assert neighbours([path]) == ()


def test_a_file_beside_must_not_leave_the_root(write_raster, tmp_path: Path) -> None:
    secret = mask_beside(write_raster(numbers(), "out/secret.tif"))
    path = write_raster(numbers(), "in/scene.tif")
    path.with_name("scene.tif.msk").symlink_to(secret)
    with pytest.raises(SourceError, match="outside the folders") as caught:
        read_raster_header([path], roots=[tmp_path / "in"])
    assert caught.value.code == "OUTSIDE"
    assert read_raster_header([path], roots=[tmp_path]).beside == (str(secret),)


def test_beside_a_link_and_beside_its_file(write_raster, tmp_path: Path) -> None:
    """Stores of content keep files under names of their own and link to them, each by itself."""
    real = write_raster(numbers(), "blobs/1234.tif")
    mask = mask_beside(real).rename(tmp_path / "blobs" / "5678")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "scene.tif").symlink_to(real)
    (tmp_path / "in" / "scene.tif.msk").symlink_to(mask)
    assert read_raster_header([tmp_path / "in" / "scene.tif"]).paths == (real, mask)
    (tmp_path / "in" / "scene.tif.msk").unlink()
    beside_file = mask.rename(tmp_path / "blobs" / "1234.tif.msk")
    assert read_raster_header([tmp_path / "in" / "scene.tif"]).paths == (real, beside_file)


def test_files_of_one_band_have_neighbours_of_their_own(write_raster) -> None:
    paths = [write_raster(numbers(1), f"B{i}.tif") for i in range(3)]
    mask = mask_beside(paths[1])
    words = say(paths[2], band(1, NoDataValue=7, Scale=2))
    header = read_raster_header(paths)
    assert header.paths == (*paths, mask, words)
    assert neighbours(paths) == (mask, words)
    assert [(one.hidden, one.scale) for one in header.bands] == [(None, 1), (None, 1), (7, 2)]
    expected = np.stack([np.ones((7, 11), bool), np.ones((7, 11), bool), numbers(1)[0] != 7])
    expected[1, [0, 1, 4]] = False
    np.testing.assert_array_equal(whole(header)[1], expected)


def test_a_mask_that_changes_after_the_plan(write_raster) -> None:
    path = write_raster(numbers())
    mask_beside(path)
    header = read_raster_header([path])
    mask_beside(path, shape=(8, 11))
    with pytest.raises(SourceError) as caught, open_raster_scene(header):
        pass
    assert caught.value.code == "SOURCE_CHANGED"


def test_a_folder_that_cannot_be_listed(write_raster, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may list every folder")
    path = write_raster(numbers(), "in/scene.tif")
    path.parent.chmod(0o300)
    try:
        with pytest.raises(SourceError, match="cannot be listed"):
            read_raster_header([path])
        assert neighbours([path]) == ()
    finally:
        path.parent.chmod(0o700)
