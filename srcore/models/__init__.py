"""Networks: torch only, no I/O."""

from srcore.models.edsr import Edsr
from srcore.models.edsr_volume import EdsrVolume
from srcore.models.fsrcnn import Fsrcnn
from srcore.models.generator import Generator, Residual
from srcore.models.guided import Guided
from srcore.models.interpolation import Bicubic, Cubic, Nearest
from srcore.models.mobile import Mobile
from srcore.models.resnet_deconv import ResnetDeconv
from srcore.models.slices import Slices
from srcore.models.span import Span
from srcore.models.srcnn import Srcnn
from srcore.models.srgan import SrResNet
from srcore.models.swinir import SwinIR
from srcore.models.unet import UNet

GENERATORS: dict[str, type[Generator]] = {
    "edsr": Edsr,
    "edsr-volume": EdsrVolume,
    "slices": Slices,
    "srcnn": Srcnn,
    "fsrcnn": Fsrcnn,
    "resnet-deconv": ResnetDeconv,
    "mobile": Mobile,
    "unet": UNet,
    "swinir": SwinIR,
    "srgan": SrResNet,
    "span": Span,
    "guided": Guided,
    "bicubic": Bicubic,
    "cubic": Cubic,
    "nearest": Nearest,
}

__all__ = ["GENERATORS", "Bicubic", "Edsr", "Generator", "Nearest", "Residual"]
