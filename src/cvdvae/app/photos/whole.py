"""The whole photograph, drawn strip by strip into files that can be taken away."""

import json
import os
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile  # Image.open would refuse large ones: these are our own
from torch import Tensor

from ...degradations.downscaling import Downscaling
from ...errors import InputError
from ...gaussian.noise import Window
from ...imaging.io import save_png, to_pil
from ...imaging.png import PNGWriter
from ...restoration.drawing import Drawing
from ...restoration.finish import Finished
from ...restoration.part import PartDrawing, widened
from ...restoration.recipe import BESIDE, Recipe
from ...restoration.result import DISCLAIMER
from ...restoration.round_trip import RoundTrip
from ...restoration.settings import Sampling
from ...restoration.tiles import tiles
from ..archive import kept
from ..turns import in_turn
from .explorer import Photos, Session

BLOCK = 576
"""Side of the blocks in which it is drawn, in pixels."""
ROWS = 512
"""Rows that are checked at once."""


@dataclass
class Whole:
    """Whole samples of a set, drawn into a folder.

    Attributes:
        photos: The models.
        session: The visitor's photograph and settings.
        step: Which set of samples.
        indices: Which of its samples.
        folder: Where the files go.
        kind: ``png`` or ``tiff``.
        files: What has been written.
        exact: Which of them give the input back in every pixel.
        exploded: Which of them exploded somewhere.
        packed: Whether a zip is wanted even of one.
    """

    photos: Photos
    session: Session
    step: int
    indices: list[int]
    folder: Path
    kind: str = "png"
    files: list[Path] = field(default_factory=list)
    exact: list[bool] = field(default_factory=list)
    exploded: list[bool] = field(default_factory=list)
    packed: bool = False

    def __post_init__(self) -> None:
        self.model = self.photos.model(self.session.photo.scale)
        self.y = self.model.check(self.session.photo.y.float() / 255)
        self.sampling = self.photos.sampling_of(self.session, self.step)
        self._exploded: set[Path] = set()

    def draw(self) -> Iterator[float]:
        """Draw them, saying after every strip which share is done."""
        for done, index in enumerate(self.indices):
            path = self.folder / f"sample_{index:02d}.png"
            for share in self._draw(self.sampling, index, path):
                self._keep()
                yield (done + share) / len(self.indices)
            self.exact.append(self._is_exact(path))
            self.exploded.append(path in self._exploded)
            self.files.append(as_tiff(path) if self.kind == "tiff" else path)

    def archive(self) -> Path:
        """What to take: the one file, or a zip with `result.json`; where the page keeps it."""
        step = f"_step_{self.step + 1}" if self.step else ""
        if len(self.files) == 1 and not self.packed:
            name = f"{self.files[0].stem}{step}_details_invented{self.files[0].suffix}"
            return kept(self.files[0].rename(self.folder / name))
        path = self.folder / f"cvdvae{step}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
            for file in self.with_report():
                packed.write(file, file.name)
        return kept(path)

    def with_report(self) -> list[Path]:
        """The samples, `result.json`, and the input beside it where that is too large for it."""
        extra = [self.folder / BESIDE] if self.recipe.beside else []
        for path in extra:
            save_png(path, to_pil(self.y[0]))
        result = self.folder / "result.json"
        result.write_text(json.dumps(self.report(), indent=2), encoding="utf-8")
        return [*self.files, *extra, result]

    @property
    def recipe(self) -> Recipe:
        """What brings the samples back."""
        model = self.model
        return Recipe(model.name, self.y[0], self.sampling, model.scale, model.weights)

    def report(self) -> dict[str, Any]:
        """What `result.json` says."""
        return {
            **self.recipe.to_dict(),
            "round_trip_exact": self.exact,
            "exploded": self.exploded,
            "files": [file.name for file in self.files],
            "note": DISCLAIMER,
        }

    def _draw(self, sampling: Sampling, index: int, path: Path) -> Iterator[float]:
        if sampling.steps:
            yield from self._draw_varied(sampling, index, path)
            return
        height, width = self.session.photo.size

        def strips() -> Iterator[Finished]:
            drawing, cut = Drawing(self.model, self.y, sampling), None
            if len(drawing.tiles) > 1:  # so small that somebody else can draw what they look at
                cut = list(tiles((height, width), self.model.tile_step, BLOCK))
            return drawing.strips(index, cut)

        top = 0
        with PNGWriter(path, width, height) as writer:
            for strip in in_turn(strips, self.photos.turn):
                rows = strip.pixels[0].permute(1, 2, 0).contiguous().numpy()
                writer.write(rows)
                self._mark(path, bool(strip.exploded.any()))
                top += len(rows)
                yield top / height
                time.sleep(0.01)  # whoever waits for their turn gets it

    def _draw_varied(self, sampling: Sampling, index: int, path: Path) -> Iterator[float]:
        """The sample that the last step starts from, and in it the region that varies."""
        (sample,), mask = sampling.steps[-1].samples, sampling.steps[-1].mask
        parent = self.folder / f"{len(sampling.steps)}-from-{sample:02d}.png"
        begun = 0.0
        if not parent.exists():
            for share in self._draw(sampling.before(), sample, parent):
                begun = 0.8 * share
                yield begun
        with PngImageFile(parent) as file:
            pixels = np.array(file.convert("RGB"))
        self._mark(path, parent in self._exploded)
        if mask is not None:
            cores = list(blocks(mask))
            for done, core in enumerate(cores, 1):
                part = PartDrawing(self.model, self.y, sampling, self._aligned(core))
                with self.photos.turn:
                    drawn = part.sample(index)
                new = drawn.pixels.permute(1, 2, 0).numpy()
                self._mark(path, drawn.exploded)
                top, left, height, width = part.core
                rows, columns = slice(top, top + height), slice(left, left + width)
                place = pixels[rows, columns]
                place[mask[rows, columns].numpy()] = new[mask[rows, columns].numpy()]
                yield begun + (1 - begun) * done / len(cores)
                time.sleep(0.01)  # whoever waits for their turn gets it
        Image.fromarray(pixels).save(path)

    def _keep(self) -> None:
        """Use the photograph, and what was shrunk: the page forgets what nobody does."""
        photo = self.session.photo
        with suppress(InputError):
            photo.album.image(photo.name)
        if photo.truth is not None:
            with suppress(OSError):
                os.utime(photo.truth)

    def _mark(self, path: Path, exploded: bool) -> None:
        """Keep in mind whether what a file holds exploded."""
        if exploded:
            self._exploded.add(path)

    def _degradation(self) -> Downscaling:
        size = (self.y.shape[2], self.y.shape[3])
        return self.model.degradation_of(size, self.sampling.shrunk_by)

    def _aligned(self, core: Window) -> Window:
        return widened(core, 0, self.model.scale, self.session.photo.size)

    def _is_exact(self, path: Path) -> bool:
        """Whether the file, shrunk again, is the input."""
        height, width = self.session.photo.size
        trip = RoundTrip(self.y, self._degradation())
        with PngImageFile(path) as file:
            for top in range(0, height, ROWS):
                rows = file.crop((0, top, width, min(height, top + ROWS))).convert("RGB")
                trip.add(torch.from_numpy(np.array(rows)).permute(2, 0, 1)[None])
        return trip.exact


def blocks(mask: Tensor) -> Iterator[Window]:
    """Windows that together hold all of a region, ``(H, W)`` bool."""
    for top in range(0, mask.shape[0], BLOCK):
        for left in range(0, mask.shape[1], BLOCK):
            part = mask[top : top + BLOCK, left : left + BLOCK]
            if bool(part.any()):
                yield Window(top, left, *part.shape)


def as_tiff(path: Path) -> Path:
    """The same as a TIFF, in the place of a PNG."""
    tiff = path.with_suffix(".tiff")
    with PngImageFile(path) as image:
        image.save(tiff, compression="tiff_adobe_deflate")
    path.unlink()
    return tiff
