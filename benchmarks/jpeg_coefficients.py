"""How many coefficients of a JPEG come back from its pixels, told by libjpeg's own (jpeglib).

    python benchmarks/jpeg_coefficients.py [--data SETS/Kodak]

Of scikit-image's astronaut, and of a part of 101×75 pixels, whose outermost blocks are cut: from
the file, and from the picture that it decodes to. The misfit is that of the intact picture, in
standard deviations of the rounding. With `--data`, too, how far parts of photographs are from their
last row and column repeated, in steps: as libjpeg wrote them, and where a file was cut since.
"""

import argparse
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import jpeglib
import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from cvdvae.damage import jpeg_pixels
from cvdvae.damage.jpeg_file import read_jpeg, to_the_end_of_its_blocks
from cvdvae.degradations.block_dct import ROUNDING, BlockDCT
from cvdvae.imaging.io import list_images, to_tensor

PART = (100, 50, 201, 125)
CASES = [(None, 50), (None, 75), (None, 95), (PART, 50), (PART, 75), (PART, 95)]
SIZES = ((61, 61), (58, 50), (57, 57), (96, 56))


def told(name: str, image: Image.Image, y: torch.Tensor, H: BlockDCT, path: Path) -> None:
    held = jpeglib.read_dct(str(path))
    found = H.in_file(y)[0].split([h * w for h, w in H.planes])
    right = []
    for mine, theirs, (h, w) in zip(found, (held.Y, held.Cb, held.Cr), H.planes, strict=True):
        own = np.ascontiguousarray(theirs[: h // 8, : w // 8]).astype(np.float64)
        right.append(mine == torch.from_numpy(own).flatten())
    luma, chroma = (100 * part.double().mean() for part in (right[0], torch.cat(right[1:])))
    off = (H.A(to_tensor(image)[None].double()) - y) / ROUNDING
    misfit = off.square().mean().sqrt()
    print(f"  {name}: luma {luma:.2f} %, chroma {chroma:.2f} %, misfit {misfit:.2f}")


def repeated(folder: Path, path: Path) -> None:
    photos = [Image.open(p).convert("RGB") for p in list_images(folder)[:9]]
    for quality in (50, 75, 85, 90, 95, 98, 100):
        worst = {"libjpeg": 0.0, "cut": 0.0}
        for width, height in SIZES:
            whole = (-(-width // 16) * 16, -(-height // 16) * 16)
            for photo in photos:
                for name, size in (("libjpeg", (width, height)), ("cut", whole)):
                    photo.crop((100, 60, 100 + size[0], 60 + size[1])).save(path, quality=quality)
                    data = path.read_bytes()
                    at = data.index(b"\xff\xc0") + 5
                    sides = height.to_bytes(2) + width.to_bytes(2)
                    path.write_bytes(data[:at] + sides + data[at + 4 :])
                    worst[name] = max(worst[name], off(path))
        print(f"quality {quality}: at most", *(f"{v:.2f} ({k})" for k, v in worst.items()))


def off(path: Path) -> float:
    """As `Recovered` has it."""
    with Image.open(BytesIO(to_the_end_of_its_blocks(path.read_bytes()))) as file:
        file.draft("YCbCr", None)
        planes = torch.from_numpy(np.array(file)).permute(2, 0, 1).double()
    return jpeg_pixels.coefficients(planes, read_jpeg(path).operator).off


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        for part, quality in CASES:
            image = (
                Image.fromarray(astronaut()).crop(part) if part else Image.fromarray(astronaut())
            )
            image.save(path, quality=quality, subsampling=2)
            file = read_jpeg(path)
            print(f"{image.width}×{image.height}, quality {quality}")
            told("from the file", image, file.y, file.operator, path)
            decoded = to_tensor(Image.open(path))[None]
            y = jpeg_pixels.of_decoded(decoded, file.operator)
            told("from the picture", image, y, file.operator, path)
        if options.data:
            repeated(options.data, path)


if __name__ == "__main__":
    main()
