"""The calls whose results `test_golden.py` holds on to: through the command line and Python."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import tifffile
import torch
from PIL import Image
from torch import Tensor

import cvdvae


def photo(height: int, width: int, top: int = 60, left: int = 200) -> np.ndarray:
    """A part of scikit-image's cup (Rachel Michetti, CC0), uint8 ``(height, width, 3)``."""
    cup: np.ndarray = skimage.data.coffee()
    return cup[top : top + height, left : left + width]


def face(side: int) -> Image.Image:
    """Eileen Collins (NASA, public domain)."""
    square = Image.fromarray(skimage.data.astronaut()[20:220, 130:330])
    return square.resize((side, side), Image.Resampling.BICUBIC)


def make_inputs(folder: Path) -> None:
    """Write the files that the commands read."""
    small = Image.fromarray(photo(24, 40))
    small.save(folder / "small.png")
    small.save(folder / "small.jpg", quality=80)
    small.convert("L").save(folder / "grey.png")
    Image.fromarray(photo(48, 64)).save(folder / "photo.png")
    Image.fromarray(photo(48, 64)).save(folder / "photo.jpg", quality=40)
    for side in (4, 8, 16, 64):
        face(side).save(folder / f"face{side}.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[12:30, 20:44] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(photo(60, 100)).save(folder / "wide.png")
    planes = np.stack([photo(24, 32, 60, left)[..., 1] for left in (200, 204, 208)])
    tifffile.imwrite(folder / "stack.tif", planes.astype(np.uint16) * 257, photometric="minisblack")
    tifffile.imwrite(folder / "deep.tif", photo(24, 32).astype(np.uint16) * 257, photometric="rgb")
    nuclei = np.random.default_rng(0).poisson(60 * (planes[0] / 255.0) ** 2)
    tifffile.imwrite(folder / "nuclei.tif", nuclei.astype(np.uint16))
    many = folder / "many"
    many.mkdir()
    for number, left in enumerate((200, 240)):
        Image.fromarray(photo(16, 20, 60, left)).save(many / f"{number}.png")


def _of(line: str) -> tuple[str, ...]:
    return tuple(line.split())


COMMANDS: dict[str, tuple[str, ...]] = {
    "photos x2": _of("upscale small.png --scale 2 -n 2"),
    "photos x3": _of("upscale small.png --scale 3 -n 2"),
    "photos x4": _of("upscale small.png --scale 4 -n 2"),
    "photos x4 look": _of("upscale small.png --scale 4 -n 2 --look"),
    "photos x4 temperature": _of("upscale small.png --scale 4 -n 2 -t 0.7"),
    "photos x4 antithetic": _of("upscale small.png --scale 4 -n 2 --antithetic"),
    "photos x4 self-ensemble": _of("upscale small.png --scale 4 -n 2 --self-ensemble --look"),
    "photos x4 bf16": _of("upscale small.png --scale 4 -n 1 --dtype bf16"),
    "photos x4 seed": _of("upscale small.png --scale 4 -n 2 --seed 7"),
    "photos x4 simulate": _of("upscale photo.png --scale 4 -n 2 --simulate"),
    "photos x4 lanczos": _of("upscale small.png --scale 4 -n 2 --shrunk-by pillow-lanczos"),
    "photos x4 grey": _of("upscale grey.png --scale 4 -n 2"),
    "photos x4 noise": _of("upscale small.png --scale 4 -n 2 --noise 0.02"),
    "photos x4 jpeg": _of("upscale small.jpg --scale 4 -n 2 --jpeg auto"),
    "photos x2 stack of 16 bits": _of("upscale stack.tif --scale 2 -n 2"),
    "photos x2 colours of 16 bits": _of("upscale deep.tif --scale 2 -n 2"),
    "nuclei": _of("upscale nuclei.tif --model nuclei-x4 --values 0,60 -n 2"),
    "faces x4": _of("upscale face16.png --domain faces --scale 4 -n 2"),
    "faces x8": _of("upscale face8.png --domain faces --scale 8 -n 2"),
    "faces x8 temperature": _of("upscale face8.png --domain faces --scale 8 -n 2 -t 0.8"),
    "faces x16": _of("upscale face4.png --domain faces --scale 16 -n 2"),
    "flow x4": _of("upscale face16.png --model celeba64-hcflow-x4 -n 2"),
    "flow x8": _of("upscale face8.png --model celeba64-hcflow-x8 -n 2"),
    "flow x16": _of("upscale face4.png --model celeba64-hcflow-x16 -n 2"),
    "restore mask": _of("restore photo.png --mask mask.png -n 2"),
    "restore mask look": _of("restore photo.png --mask mask.png -n 2 --look"),
    "restore blur": _of("restore photo.png --degradation blur:sigma=1.5 --noise 0.02 -n 2"),
    "restore noise": _of("restore photo.png --noise 0.05 -n 2"),
    "restore jpeg": _of("restore photo.jpg --jpeg auto -n 2"),
    "restore pixels": _of("restore photo.png --degradation random:keep=0.5 --simulate -n 2"),
    "restore grey": _of("restore photo.png --degradation grey --simulate -n 2"),
    "restore mosaic": _of("restore photo.png --degradation bayer --simulate -n 2"),
    "restore grain": _of("restore photo.png --noise 0.05 -n 1 --grain"),
    "restore face moves": _of("restore face64.png --domain faces --noise 0.1 -n 2 --moves 4"),
    "restore face hole": _of(
        "restore face64.png --domain faces --simulate --crop none --degradation hole:side=20 -n 2"
    ),
    "restore by a prior alone": _of(
        "restore face64.png --model celeba64 --noise 0.1 -n 1 --moves 4"
    ),
    "restore a composition": (
        *_of("restore photo.png --simulate --noise 0.01 -n 2 --degradation"),
        "blur:sigma=1 + downscale:scale=2",
    ),
    "batch": _of("batch many --scale 2 -n 2 --workers 1"),
    "batch restore": _of("batch many --noise 0.05 --domain photos -n 1 --workers 1 --to zarr"),
}
"""Commands by name, without their ``--out``; run in the folder of `make_inputs`."""

SMALL_TILES = {
    "cvdvae.restoration.tiles.WHOLE_PIXELS": 2_000,
    "cvdvae.restoration.tiles.CORE": 64,
    "cvdvae.restoration.large.IN_MEMORY": 2_000,
}
"""Limits that make an image of a few thousand pixels a large one, by the name of the constant."""
LARGE = {
    "tiled photos x2": _of("upscale wide.png --scale 2 -n 2"),
    "tiled restoration": _of("restore wide.png --noise 0.05 -n 1"),
    "tiled stack": _of("upscale stack.tif --scale 4 -n 2"),
}
"""Commands that run with `SMALL_TILES`."""


def region_edit() -> Tensor:
    """A region of one sample is sampled again."""
    from cvdvae.restoration.edits import ResampleRegion, pack_region

    model = cvdvae.load("celeba64-x8")
    y = torch.from_numpy(np.asarray(face(8))).permute(2, 0, 1).float() / 255
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:40, 10:50] = True
    step = ResampleRegion(1, pack_region(mask), seed=3)
    return model.run(y, model.sampling(2).then(step)).pixels


def deepinv_physics() -> Tensor:
    """A physics of deepinv is what was seen with."""
    import deepinv

    x = torch.from_numpy(photo(32, 32).copy()).permute(2, 0, 1)[None].float() / 255
    kept = (torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    physics = deepinv.physics.Inpainting(img_size=(3, 32, 32), mask=kept)
    model = cvdvae.load_restorer("photos-restore")
    return model.restore(physics.A(x)[0], physics, samples=2).samples


PYTHON: dict[str, Callable[[], Tensor]] = {
    "region edit": region_edit,
    "deepinv physics": deepinv_physics,
}
"""What has no command."""
