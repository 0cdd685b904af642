"""The raster product: a Cloud Optimized GeoTIFF, assembled from the work store and read back.

    Blocks -- how tiles store an image, so that their chunks are TIFF tiles --> Encoded --> write_cog --> verify_cog

The room's face: nobody outside reaches past it.
"""

from srcore.storage.cog.assemble import write_cog
from srcore.storage.cog.blocks import Blocks, Encoded
from srcore.storage.cog.levels import Pixels
from srcore.storage.cog.statistics import Statistics, read_statistics
from srcore.storage.cog.verify import verify_cog

__all__ = ["Blocks", "Encoded", "Pixels", "Statistics", "read_statistics", "verify_cog", "write_cog"]
