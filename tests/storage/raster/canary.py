"""A secret outside the folder that may be read, a server that counts its visitors, and files that point to both."""

from __future__ import annotations

import http.server
import struct
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from srcore.storage.raster.gdal import gdal_env

HARMLESS, SECRET = frozenset(range(5, 60)), frozenset(range(70, 250))
"""Numbers of the pixels that a file itself has, and of those that it points to."""
SIDE_PX = 48


def texture(numbers: frozenset[int], side: int = SIDE_PX) -> np.ndarray:
    """(1, side, side) of such numbers, as rough as noise."""
    drawn: np.ndarray = np.random.default_rng(len(numbers)).choice(sorted(numbers), (1, side, side)).astype(np.uint8)
    return drawn


class Canary:
    """A secret raster outside the root, and a server that counts its visitors."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.secret = folder / "secret.tif"
        write(self.secret, texture(SECRET))
        self.bytes = self.secret.read_bytes()
        self.visits: list[str] = []
        visits, secret = self.visits, self.bytes

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                visits.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(secret)))
                self.end_headers()
                self.wfile.write(secret)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret.tif"

    def vrt(self, source: str) -> str:
        return textwrap.dedent(f"""\
            <VRTDataset rasterXSize="{SIDE_PX}" rasterYSize="{SIDE_PX}">
            <Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>
            <VRTRasterBand dataType="Byte" band="1"><SimpleSource>
            <SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand>
            </SimpleSource></VRTRasterBand></VRTDataset>""")

    def plain(self, name: str = "plain.tif", side: int = 2 * SIDE_PX) -> Path:
        path = self.root / name
        write(path, texture(HARMLESS, side))
        return path


def write(path: Path, values: np.ndarray, driver: str = "GTiff", gsd: float = 10, **options: object) -> None:
    with (
        gdal_env(),
        rasterio.open(
            path,
            "w",
            driver=driver,
            count=len(values),
            height=values.shape[1],
            width=values.shape[2],
            dtype=values.dtype,
            crs="EPSG:32632",
            transform=from_origin(0, 0, gsd, gsd),
            **options,
        ) as dataset,
    ):
        dataset.write(values)


@contextmanager
def listening(folder: Path) -> Iterator[Canary]:
    """A canary in `folder` whose server runs as long as the context."""
    made = Canary(folder)
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


PROXIES = ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY")
"""Variables that would lead a request past the server."""


def vrt_named_tif(canary: Canary, source: str) -> Path:
    path = canary.root / "scene.tif"
    path.write_text(canary.vrt(source))
    return path


def ovr(canary: Canary, source: str) -> Path:
    path = canary.plain()
    Path(f"{path}.ovr").write_text(canary.vrt(source))
    return path


def msk(canary: Canary, source: str) -> Path:
    path = canary.plain(side=SIDE_PX)
    Path(f"{path}.msk").write_text(canary.vrt(source))
    return path


def aux_xml(canary: Canary, source: str) -> Path:
    path = canary.plain()
    Path(f"{path}.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{source}</MDI></Metadata></PAMDataset>'
    )
    return path


def overview_inside(canary: Canary, source: str) -> Path:
    path = canary.plain()
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=source)
    return path


def gml_in_jp2(canary: Canary, source: str) -> Path:
    """A JPEG 2000 whose GML names its CRS by a place."""
    path = canary.root / "scene.jp2"
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES", "GMLJP2": "NO", "GEOJP2": "NO"}
    write(path, texture(HARMLESS), "JP2OpenJPEG", **lossless)
    gml = (
        '<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml"><gml:featureMember><gml:FeatureCollection>'
        '<gml:featureMember><gml:RectifiedGridCoverage dimension="2" gml:id="RGC0001"><gml:rectifiedGridDomain>'
        f'<gml:RectifiedGrid dimension="2" srsName="{source}"><gml:limits><gml:GridEnvelope><gml:low>0 0</gml:low>'
        "<gml:high>47 47</gml:high></gml:GridEnvelope></gml:limits><gml:axisName>x</gml:axisName>"
        f'<gml:axisName>y</gml:axisName><gml:origin><gml:Point gml:id="P0001" srsName="{source}"><gml:pos>0 0</gml:pos>'
        f'</gml:Point></gml:origin><gml:offsetVector srsName="{source}">10 0</gml:offsetVector><gml:offsetVector '
        f'srsName="{source}">0 -10</gml:offsetVector></gml:RectifiedGrid></gml:rectifiedGridDomain>'
        "</gml:RectifiedGridCoverage></gml:featureMember></gml:FeatureCollection></gml:featureMember>"
        "</gml:FeatureCollection>"
    )

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    instance = box(b"asoc", box(b"lbl ", b"gml.root-instance") + box(b"xml ", gml.encode()))
    data = path.read_bytes()
    at = data.index(b"jp2c") - 4
    path.write_bytes(data[:at] + box(b"asoc", box(b"lbl ", b"gml.data") + instance) + data[at:])
    return path


def wms(canary: Canary, source: str) -> Path:
    path = canary.root / "scene.tif"
    path.write_text(
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{source}</ServerUrl></Service><DataWindow><SizeX>48</SizeX>'
        "<SizeY>48</SizeY><TileLevel>0</TileLevel></DataWindow><BandsCount>1</BandsCount></GDAL_WMS>"
    )
    return path


def gti(canary: Canary, source: str) -> Path:
    path = canary.root / "scene.tif"
    path.write_text(f"<GDALTileIndexDataset><IndexDataset>{source}</IndexDataset></GDALTileIndexDataset>")
    return path


def xml_path(canary: Canary, source: str) -> Path:
    return Path(canary.vrt(source))


def vsi_path(canary: Canary, source: str) -> Path:
    return Path(source)


def linked(canary: Canary, source: str) -> Path:
    path = canary.root / "scene.tif"
    path.symlink_to(canary.secret)
    return path


def dotted(canary: Canary, source: str) -> Path:
    return canary.root / ".." / "secret.tif"


def linked_folder(canary: Canary, source: str) -> Path:
    (canary.root / "in").symlink_to(canary.root.parent, target_is_directory=True)
    return canary.root / "in" / "secret.tif"


DISGUISES = (
    vrt_named_tif,
    ovr,
    msk,
    aux_xml,
    overview_inside,
    gml_in_jp2,
    wms,
    gti,
    xml_path,
    vsi_path,
    linked,
    dotted,
    linked_folder,
)
SOURCES = ("{secret}", "/vsicurl/{url}", "/vsicurl_streaming/{url}", "/vsigzip//vsicurl/{url}", "{url}")
