"""The reason codes: what each means, what to do, and when trying again can help. Their only home.

An error carries one (`SRError`), a scene in quarantine keeps it, `srcore explain CODE` tells it, and
`python -m srcore.codes > docs/codes.md` writes the page. At the raise sites they are plain strings, easy to find;
a test finds the string that is missing here, and the entry that nothing raises.

When trying again can help is a matter of where the fault lies. The record of a scene in quarantine watches its source
files, its configuration and the version of srcore: what can be mended there only is 'changed'. What lies around the
scene (memory, a disk, rights, an installation, a worker) can be right in the next run although none of them changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Retry = Literal["soon", "next run", "changed"]
WHEN: dict[Retry, str] = {
    "soon": "by the run itself, after a pause, and by every later run",
    "next run": "in every later run",
    "changed": "when the source, the configuration or the version of srcore changed, or with --force",
}


@dataclass(frozen=True)
class Code:
    """A reason why there is no product, or no answer."""

    means: str
    """One sentence."""
    do: str
    """One sentence, for the user."""
    retry: Retry = "changed"
    ends_scene: bool = False
    """No other tile of the scene can succeed while it lasts: the first such error ends UPSCALE."""

    @property
    def retryable(self) -> bool:
        """True when the next run should try the same again."""
        return self.retry != "changed"


CODES: dict[str, Code] = {
    # the files of a scene
    "BAD_SOURCE": Code(
        "An input is not what is needed: files that do not belong together, or an image that is too small.",
        "Look at what was found, and give other files.",
    ),
    "NOT_READABLE": Code(
        "A file cannot be opened: it is not there, or the rights or the disk do not allow it.",
        "Check the path, its rights and whether its disk is mounted.",
        "next run",
    ),
    "NOT_REGISTERED": Code(
        "The finer bands that should guide the coarser ones lie more than half a coarse pixel beside them.",
        "Register the bands, name others, or take a model without guides; under haze and clouds bands do lie apart.",
    ),
    "NOT_SUPPORTED": Code(
        "A file is of a format, or holds a kind of pixels, that srcore does not read.",
        "Convert it; the message says to what.",
    ),
    "SEVERAL_SERIES": Code(
        "A folder holds several DICOM series of CT or MR, and one is a scene.",
        "Name the one that is meant: `series`, or --series; or give it a folder of its own.",
    ),
    "SEVERAL_VOLUMES": Code(
        "A DICOM series or a NIfTI holds several volumes: times, echoes, b-values.",
        "Name one (`volume`), or split it; the message says by what they differ.",
    ),
    "NO_SERIES": Code(
        "DICOM slices do not say which series they are of (SeriesInstanceUID).", "Export the series again."
    ),
    "TWO_PATIENTS": Code(
        "The slices of one DICOM series have different patient IDs, told as keyed hashes.",
        "Look at the archive that sent them; nothing is made of them.",
    ),
    "NO_GEOMETRY": Code(
        "DICOM slices do not say where they lie: position, orientation or spacing is not there, or no number.",
        "Export the series again.",
    ),
    "SLICES_MIXED": Code(
        "The slices of a DICOM series differ in size, orientation, spacing, rescale or kind of pixels.",
        "Split the series, or export it again.",
    ),
    "SLICES_DOUBLE": Code("Slices of a DICOM series lie at the same place, or are there twice.", "Remove one of each."),
    "SLICES_MISSING": Code(
        "The slices of a DICOM series are even but for gaps of whole slices; the message says where.",
        "Fetch the series again.",
    ),
    "SLICES_UNEVEN": Code(
        "The slices of a DICOM series are not evenly spaced; the message has the table of gaps.",
        "Reconstruct the series evenly.",
    ),
    "GANTRY_TILT": Code(
        "The slices of a DICOM series do not lie above each other: the gantry was tilted.",
        "Resample the series to a straight grid first.",
    ),
    "NO_RESCALE": Code(
        "A CT series has no rescale slope and intercept, so that its numbers are no Hounsfield units.",
        "Export the series again with both.",
    ),
    "NO_DECODER": Code(
        "The pixels of a DICOM series are packed in a way that no installed decoder reads.",
        "Install the decoder that the message names, or export the series uncompressed.",
        "next run",
    ),
    "WRONG_KIND": Code(
        "The catalog says that a scene is a raster, and it is a volume, or the other way round.",
        "Correct `kind` of the dataset, or keep the file elsewhere.",
        "next run",
    ),
    "OUTSIDE": Code(
        "A file lies outside the folders that may be read, or names others as parts of itself.",
        "Move it into the folder of its source, name the folder in `roots`, or convert it to one plain file.",
        "next run",
    ),
    "SIDECAR": Code(
        "A file beside a raster (a mask, a .aux.xml, a world file) says what cannot be understood or kept.",
        "Mend it, fold it into the raster with gdal_translate, or take it away if it means nothing.",
    ),
    "MISSING_BAND": Code(
        "The metadata of a provider's product name a band whose file is not there.",
        "Fetch the product again, or name bands that are there.",
    ),
    "BAD_METADATA": Code(
        "The metadata of a provider's product cannot be read, or say something else than its files.",
        "Fetch the product again; the message says what was found.",
    ),
    "NO_QUALITY": Code(
        "There is no quality layer of the kind that `quality` asks for.",
        "Name one that the product has, or leave `quality` out.",
    ),
    "CLOUDY": Code(
        "A larger share of the scene is cloud than `skip_above` allows: it has no product, and no night fails by it.",
        "Nothing, or allow more.",
    ),
    "ALPHA": Code(
        "A band is called alpha, and its values do not tell whether it is a mask or data.",
        "Say which it is: `alpha: mask` or `alpha: data` in the catalog, --alpha on the command line.",
    ),
    "UNDECLARED": Code(
        "A band holds numbers that nothing can be computed with, and nothing says that they mean nodata.",
        "Give the number that the message names: `nodata` in the catalog, --nodata on the command line.",
    ),
    "TRUNCATED": Code("A file is cut short.", "Fetch the file again."),
    "DAMAGED": Code(
        "A file contradicts itself: its header, its compressed data or its overviews cannot be read.",
        "Fetch the file again, or write it again.",
    ),
    "TURNED": Code(
        "The file says that its rows and columns are not those of the picture, as a camera held upright does.",
        "Turn its pixels, or clear its Orientation tag where they lie as they should.",
    ),
    "TOO_LARGE": Code(
        "A file declares more than srcore ever reads, or far more than its bytes can hold.",
        "Cut it, or rewrite it in tiles.",
    ),
    "SOURCE_CHANGED": Code(
        "A source changed while its scene was done.", "Let the run after its arrival do it.", "soon"
    ),
    "SOURCE_MISSING": Code(
        "A dataset has products, and its source gives no scene any more.",
        "Mount it, or correct `source` in the catalog.",
        "next run",
    ),
    # scenes elsewhere
    "REMOTE_DENIED": Code(
        "A server, bucket or signing service does not give us a file: no key, a wrong one, or a link that ran out.",
        "Give the key or token by the environment (docs/sources.md), or ask who publishes it.",
        "next run",
    ),
    "REMOTE_GONE": Code(
        "A file, bucket or catalog elsewhere is not where it should be.",
        "Look whether it was moved or removed, and correct `source`.",
        "next run",
    ),
    "REMOTE_FAILED": Code(
        "A server did not answer, or not to the end, however often it was asked.",
        "Wait for it, or for the network.",
        "next run",
    ),
    "REMOTE_DAMAGED": Code(
        "A file that was fetched has other bytes than its item says, or the cache's copy of it is rotten.",
        "Ask who publishes it; remove the cache if its disk is bad.",
        "next run",
    ),
    "NO_ASSETS": Code(
        "An item of STAC has no raster among its assets, several of which none is named, or not those that are.",
        "Name `bands` or `assets` (--bands, --asset).",
    ),
    "BAD_ITEM": Code(
        "What a catalog elsewhere sent is no STAC document, or none that can be followed.",
        "Give the address of an API, a catalog, a collection or an item.",
        "next run",
    ),
    "CACHE_FULL": Code(
        "A file does not fit into the cache of sources, beside those that running scenes use.",
        "Give it more room (SRCORE_REMOTE_CACHE_GB), or do fewer scenes at once.",
        "next run",
    ),
    "NOT_FETCHED": Code(
        "A forecast would need a file that is not in the cache of sources yet; it fetches none.",
        "Run it: the file is fetched then.",
        "next run",
    ),
    "NO_SCENES": Code(
        "The source of a dataset gives no scene, and never did.",
        "Check `source` in the catalog, or wait for the files.",
        "next run",
    ),
    "SOURCE_DAMAGED": Code(
        "A source has other bytes than its product was made of, and the same size and time.",
        "Restore it from another copy, and look for a failing disk; the product made of it is right.",
    ),
    "BAD_GRID": Code(
        "The pixels have no grid that can be kept, or files of one scene have different ones.",
        "Georeference, orthorectify or warp the files to one grid.",
    ),
    "BAD_WINDOW": Code(
        "No pixel of the scene lies in the window that was asked for, or nothing says where the scene lies.",
        "Give a part of the scene: --window X,Y,W,H in its pixels, or --bbox W,S,E,N with the right --crs.",
    ),
    # what is asked for
    "BAD_CATALOG": Code(
        "The catalog, or a training recipe, is not what it should be.",
        "Correct the line that the message names; `srcore catalog check` reads it again.",
    ),
    "BAD_SETTING": Code(
        "A setting is missing, out of its range, or does not fit the files of the scene.",
        "Correct the option, the variable or the key of the catalog that the message names.",
    ),
    "BAD_PLAN": Code(
        "The model does not fit the scene: another scale, number of bands or number of axes.",
        "Take another model, or leave the wish out.",
    ),
    "BAD_OUTPUT": Code(
        "The output is an input, a folder, cannot be written, or has a name that its format does not go by.",
        "Give another output.",
    ),
    "OUTPUT_EXISTS": Code(
        "What was to be written stands there already.", "Use --overwrite or --resume, or give another name."
    ),
    "LINK": Code(
        "A link stands where srcore would write, and it writes nothing through links below the folder that was chosen.",
        "Move the link away, or choose the folder that it leads to.",
        "next run",
    ),
    "NOT_WRITABLE": Code(
        "A folder or a file may not be written.", "Give a place that you may write to, or mend its rights.", "next run"
    ),
    "NO_GUIDES": Code(
        "The model brings coarser bands to the grid of finer ones of the same scene, and the scene has not both.",
        "Give a product with bands of both resolutions, or take another model.",
    ),
    "NOT_CALIBRATED": Code(
        "A trust map is asked for that the model has no calibration for.",
        "Run `srcore models calibrate`, or leave the trust map out.",
    ),
    # the model
    "UNKNOWN_MODEL": Code("There is no model, version or alias of this name.", "See `srcore models list`."),
    "BAD_CHECKPOINT": Code(
        "A checkpoint is not valid, or is not fit for what it is asked to do.",
        "Import or export the model again, or use another.",
        ends_scene=True,
    ),
    "CHECKPOINT_DIGEST": Code(
        "The weights are not those that the spec or the registry names.",
        "Restore the checkpoint; a copy of a registered model is fetched again once its folder is gone.",
        "next run",
        ends_scene=True,
    ),
    "ONNX_OPERATOR": Code(
        "An ONNX graph has an operator that is unknown, of a custom domain, or not the same each time.",
        "Export the model again, for inference, with ONNX's own operators.",
        ends_scene=True,
    ),
    "ONNX_EXTERNAL": Code(
        "An ONNX graph has weights in a file that is missing, too short, or outside the graph's folder.",
        "Put the file beside it, or export the model with its weights within.",
        ends_scene=True,
    ),
    "ONNX_SCALE": Code(
        "An ONNX graph has no fixed whole scale, or another one than was asked for.",
        "Export the model for one scale, with the image as its only input and free sizes.",
    ),
    "NOT_AN_UPSCALER": Code(
        "A network does not make an image of an image, or none that is like it.",
        "Give a network for super-resolution, exported in float32 with free sizes; see --range and --bands.",
        ends_scene=True,
    ),
    "NO_FINITE_HALO": Code(
        "A network sees all of its input, so that no tile could equal the whole.",
        "Use a network without global layers.",
    ),
    "GRID_SHIFT": Code(
        "A network's SR does not lie where its LR lies, by a part of a pixel that cannot be moved back.",
        "Use a model whose outer edges of LR and SR coincide.",
    ),
    "WEIGHTS_NONFINITE": Code(
        "A model has weights that are no numbers.", "Use one that was trained to its end.", ends_scene=True
    ),
    "MODEL_TOO_LARGE": Code("A model has 2 GB or more.", "Use a smaller one.", ends_scene=True),
    "PICKLE_WITH_CODE": Code(
        "A file of weights holds more than numbers: a pickle that would run code.",
        "Save its state_dict alone, or as safetensors.",
    ),
    "NO_LICENCE": Code("Nobody says under which licence a model comes.", "Say it by --licence."),
    "EXPORT_FAILED": Code(
        "A model has no ONNX form, or one that gives other numbers.", "Use a generator of plain layers.", "next run"
    ),
    "WRONG_HALO": Code(
        "The spec names another halo than the layers need, so tiles would have seams.",
        "Import the model again.",
        ends_scene=True,
    ),
    "MODEL_CHANGED": Code(
        "The checkpoint changed while a scene was done with it.",
        "Let the next run do the scene with the new one.",
        "soon",
        ends_scene=True,
    ),
    "NO_REGISTRY": Code("There is no registry of models yet.", "Make one: `srcore models import FOLDER`.", "next run"),
    "REGISTRY_AWAY": Code(
        "The registry of models does not answer, and what is asked for was never fetched.",
        "See SRCORE_REGISTRY, and whether its server runs and MLflow is installed.",
        "soon",
    ),
    "REGISTRY_CHANGED": Code(
        "The registry of models that stood here is gone, or another one stands in its place.",
        "Restore it; or remove what is remembered of it, as the message says, to begin without its models.",
        "next run",
    ),
    "REGISTRY_DAMAGED": Code(
        "The database of the registry of models is damaged.", "Restore it from a copy.", "next run"
    ),
    # the machine and its workers
    "NO_MEMORY": Code(
        "The memory that is free now does not hold the run.",
        "Wait for other work to end, or use a smaller --tile or fewer --workers.",
        "soon",
    ),
    "DISK_FULL": Code(
        "The disk is full, or would be before the run ends.",
        "Free some space, or put the store elsewhere; done tiles are kept.",
        "soon",
        ends_scene=True,
    ),
    "NO_DEVICE": Code(
        "The device that is asked for is not there.", "Use --device auto, or mend its driver.", "next run", True
    ),
    "NO_BACKEND": Code(
        "The backend that is asked for, or that the scene was begun with, is not there for this precision and device.",
        "Install srcore[openvino], or use --backend auto.",
        "next run",
        ends_scene=True,
    ),
    "BACKEND_NUMERICS": Code(
        "The backend that is asked for lies further from float32 than is allowed.",
        "Use --backend auto or --precision float32.",
        "next run",
        ends_scene=True,
    ),
    "UNSAFE_TORCH": Code(
        "A variable of the environment lets torch run what a pickle holds.", "Unset it.", "next run", ends_scene=True
    ),
    "NOT_INSTALLED": Code("A package of an extra is not installed.", "Install what the message names.", "next run"),
    "NO_SCHEDULER": Code(
        "The Dask scheduler does not answer, or went away.",
        "Start it, or leave --scheduler out; done tiles are kept.",
        "soon",
    ),
    "NO_WORKERS": Code("The Dask scheduler has no worker left.", "Start some; done tiles are kept.", "soon"),
    "WORKERS_REFUSED": Code(
        "No worker at the Dask scheduler runs this version of srcore and its packages, or sees the store.",
        "Mend what the message names; start workers by `srcore worker ADDRESS`. Done tiles are kept.",
        "soon",
    ),
    "NO_TLS": Code(
        "The Dask scheduler wants TLS, and Dask has no certificates here that hold.",
        "Give distributed.comm.tls in Dask's settings.",
        "next run",
    ),
    "OPEN_SCHEDULER": Code(
        "The Dask scheduler can be reached from other machines without TLS.",
        "Start it with TLS and use tls://HOST:PORT.",
        "next run",
    ),
    "LEASED": Code("Another run works on the scene.", "Let it finish.", "soon"),
    "OUT_OF_TIME": Code(
        "Scenes were not started: they would not be finished by the time that their dataset gives in `until`.",
        "Nothing: the next run does them. Give it more time where that happens every night.",
        "next run",
    ),
    # the tiles
    "TILE_FAILED": Code(
        "A tile failed again each time, by an error that is not one of these.",
        "See the log; the next run does these tiles only.",
        "soon",
    ),
    "TILE_KILLED": Code(
        "A tile ends its worker each time.",
        "Look for memory in the system's log; a smaller --tile needs less.",
        "soon",
    ),
    "TILE_OOM": Code(
        "The device has no memory for the smallest piece of a tile.",
        "Free memory on the device, or use a smaller model.",
        "soon",
    ),
    "TILE_NONFINITE": Code(
        "The generator makes NaN, infinity or a constant of a tile, in float32, too.",
        "Look at the tile's values and at the checkpoint.",
    ),
    "TILE_DAMAGED": Code(
        "A stored tile, or a record beside it, is not what was written.",
        "Run again: what is damaged is done again; if it comes back, look for a failing disk.",
        "soon",
    ),
    "TILE_MISSING": Code("A tile that export needs is not there.", "Run again: UPSCALE makes it.", "soon"),
    # the product
    "BAD_STORE": Code(
        "Something in the store cannot be read or written.", "See the reason, the disk and the folder's rights.", "soon"
    ),
    "STORE_AWAY": Code(
        "The object store of the products does not answer.",
        "Wait until it answers: nothing was changed, and the next run goes on.",
        "soon",
    ),
    "STORE_REFUSED": Code(
        "The object store refuses the credentials or a request, has no such bucket, or breaks its provider's protocol.",
        "Set the credentials in the environment, and correct `store`; the message says which.",
        "soon",
    ),
    "VERSIONS_KEPT": Code(
        "A scene was erased from a bucket that keeps versions: old ones can still be read there.",
        "Delete the old versions by the bucket's own tools, or let a lifecycle rule do it.",
    ),
    "VERIFY_FAILED": Code(
        "The product, read back, is not what was written; it is not published.",
        "Look for a failing or full disk, and run again.",
        "soon",
    ),
    "PRODUCT_DAMAGED": Code(
        "A published product, read again, is not what its receipt says.",
        "Look for a failing disk; the next run makes the product again.",
        "next run",
    ),
    "BAD_STAC": Code(
        "The STAC item is not valid by STAC's schemas or by ours.",
        "Look at the place that the message names; for an item of srcore, please report it.",
    ),
    "GATE_FAILED": Code(
        "The product did not pass a gate of the checks and is not published.",
        "Read its report in quarantine; then mend the source, or change `checks` of the dataset.",
    ),
    "BAD_MOSAIC": Code(
        "The files of a mosaic are not of one sort, or not of one grid.",
        "Narrow `mosaic: {group}` so that it holds files of one sort, or warp the one that is named.",
    ),
    "UNDATED": Code(
        "A mosaic whose newest file should be on top has a file that nobody knows the date of.",
        "Say with `date` where dates stand in the names, or `order: first`.",
    ),
    "BAD_HR": Code(
        "The true HR does not have the bands or the size of the product.",
        "Give the HR that belongs to the scene, or take it away.",
        "next run",
    ),
    # SR beside LR: srcore validate
    "OTHER_CRS": Code("SR and LR have different CRS.", "Warp one to the other's grid."),
    "OTHER_PLACE": Code("One of SR and LR lies by control points, the other does not.", "Warp both to one grid."),
    "DISJOINT": Code("SR and LR show different places.", "Give files of one scene."),
    "NO_NODATA": Code("The LR has nodata, and the SR does not say what is.", "Write the SR with the nodata of its LR."),
    "NOT_A_MULTIPLE": Code(
        "The size of the SR is no whole multiple of the LR's.",
        "Crop to a whole multiple, the same on rows and columns.",
    ),
    # training
    "TOO_FEW_PAIRS": Code("There are too few pairs or images to train on and to judge by.", "Add some."),
    "TOO_FEW_PLACES": Code("There are fewer places than folds.", "Ask for fewer folds, or correct `place`."),
    "HELD_CHANGED": Code(
        "A scene that models are judged by has other bytes than when it was set aside.",
        "Restore its files, or give the new ones another name.",
    ),
    "PAIR_CHANGED": Code(
        "A collected pair is gone, damaged or another one, or was accepted by other rules than those of today.",
        "Restore it, or run `srcore pairs collect`, with --force where it is damaged.",
        "next run",
    ),
    "LEAKED": Code(
        "The same ground, or the same file, is trained on and judged by.",
        "Take one of the two scenes that the message names away.",
    ),
    "NO_CONTENT": Code(
        "A scene is nodata alone, or one number in every band: nothing can be learned from it or judged by it.",
        "Leave it out, by `exclude`.",
    ),
    "BAD_PAIR": Code("HR and LR of a pair do not belong together.", "Correct the pair, or leave it out."),
    "PRIVACY_UNSAID": Code(
        "A dataset of volumes says nothing of privacy, and its store has scenes by the names of their files.",
        "Write `privacy: public` to leave them as they are, or `privacy: restricted`: then each is made again under a "
        "hash, and the old one erased.",
        "next run",
    ),
    "RESTRICTED": Code(
        "A dataset is private (volumes are, or `privacy: restricted`): nothing is learned from its scenes, and its "
        "items are not exported. Or the pixels of a series say that they hold text: no model learns that.",
        "Take pairs of a public dataset, or of volumes say `release` with a reason, which cards of models carry; "
        "`srcore catalog export --restricted` where its items may leave the archive.",
    ),
    "NO_HR": Code(
        "No HR belongs to a scene: none has its name, or none lies on its ground in its time.",
        "Add one, or raise `within_days` of `pairs`.",
    ),
    "TIME_GAP": Code(
        "HR and LR of a pair were taken too many days apart.",
        "Give an HR of the LR's time, or raise `within_days` of `pairs`.",
    ),
    "MOSTLY_NODATA": Code(
        "Of a pair too little is clear in both HR and LR.", "Give scenes with less nodata and fewer clouds."
    ),
    "PAIR_TOO_SMALL": Code(
        "HR and LR of a pair have too few pixels in common, or an image has too few to be judged by.",
        "Give larger scenes.",
    ),
    "SATURATED": Code(
        "Many pixels of a pair are at the greatest number that there is: the sensor saw no more.", "Leave the pair out."
    ),
    "NO_DETAIL": Code(
        "The HR of a pair holds nothing beyond its LR, or noise or a pattern alone: it was only enlarged.",
        "Give a measured HR.",
    ),
    "SHIFTED": Code(
        "The HR of a pair lies more than two LR pixels beside its LR.", "Register the two, or correct their origins."
    ),
    "SHIFT_VARIES": Code(
        "The HR of a pair does not lie beside its LR by the same everywhere: no one shift puts it right.",
        "Look for moved clouds, a repeated row or column, or another projection; else leave the pair out.",
    ),
    "UNLIKE": Code(
        "The HR of a pair, averaged to its LR, does not look like it: another place, time or sensor, or clouds.",
        "Leave the pair out, or say `sensor: other` in `pairs` where two sensors took it.",
    ),
    "OTHER_GAIN": Code(
        "The numbers of the HR of a pair have another gain or offset than those of its LR.",
        "Calibrate them, or say `fit: true` in `pairs`.",
    ),
    "DUPLICATE": Code("A scene shows what another one shows already.", "Leave one of them out."),
    "TRAINING_FAILED": Code(
        "A training ended without a result: its loss is no number, or no trial came to its end.",
        "Lower the learning rate, or look at the data; the last good state is kept.",
    ),
    "DIVERGED": Code(
        "A challenger makes NaN, or numbers far beyond those that it was given.",
        "Lower the learning rate of the recipe, or look at the pairs.",
    ),
    # servers
    "NOT_SERVED": Code(
        "The API was asked to run a catalog that the service was not started with.",
        "Start `srcore serve --catalog` with it, or run it by hand.",
    ),
    "SERVED_ALREADY": Code(
        "A service works on the store already; a second one would spoil its runs.",
        "Use that one, at the address that the message names, or stop it first.",
        "next run",
    ),
    "OPEN_HOST": Code(
        "The server could be reached from other machines and has no password.", "Set one, or serve on 127.0.0.1."
    ),
    "PORT_IN_USE": Code("The port cannot be listened on.", "Stop what listens there, or give another.", "next run"),
    "SERVER_DOWN": Code("The Prefect server ended, or did not start.", "See its server.log.", "next run"),
    "BAD_SERVER": Code(
        "What was given is no address of a Prefect server, or no name of a work pool.", "See the message."
    ),
    "SERVER_AWAY": Code(
        "The Prefect server of others does not answer, or is none.", "Start it, or mend --server.", "next run"
    ),
    "SERVER_REFUSED": Code(
        "The Prefect server of others does not let this client in.",
        "Set PREFECT_API_AUTH_STRING=user:password.",
        "next run",
    ),
    "SERVER_VERSION": Code(
        "The Prefect server of others is of another version, whose API differs.", "Use the same Prefect on both sides."
    ),
    "POOL_TAKEN": Code(
        "The work pool is that of another store: its deployments would be overwritten.", "Give another --pool."
    ),
    # all else
    "FAILED": Code("What was asked for was not done; the message says why.", "See the message."),
    "UNEXPECTED": Code(
        "An error that srcore does not know: probably a fault of srcore.", "See the log, and please report it."
    ),
}

PAGE = """\
# Reason codes

Why a scene has no product, in a word: it stands in brackets behind an error, in `srcore status`, in the record of a
scene in quarantine and in the state of a flow. `srcore explain CODE` tells what this table does. Both come from
`srcore/codes.py`; `make docs` writes this page.
"""
TABLE = "| Code, and when it is tried again | It means, and what to do |\n|---|---|\n"

UNKNOWN = Code("This version of srcore has no such code.", "Ask the version that wrote it.")


def look_up(code: str) -> Code:
    """What stands behind a code; UNKNOWN for one of another version, as an old record may have it."""
    return CODES.get(code, UNKNOWN)


def page() -> str:
    """All codes as Markdown: docs/codes.md."""
    when = (f"- **{word}**: {told}\n" for word, told in WHEN.items())
    codes = sorted(CODES.items())
    rows = (f"| `{name}`<br>{code.retry} | {code.means}<br>{code.do} |\n" for name, code in codes)
    return f"{PAGE}\nTried again:\n\n{''.join(when)}\n{TABLE}{''.join(rows)}"


if __name__ == "__main__":
    print(page(), end="")
