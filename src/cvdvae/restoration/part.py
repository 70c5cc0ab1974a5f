"""A part of a large image, drawn alone: what is looked at need not wait for the rest.

The noise belongs to places (`cvdvae.gaussian.noise.FieldNoise`), a network sees no further than its
receptive field, and what a pixel of x adds to y reaches no further than a few pixels of y. So there
are three windows, each inside the next one: the core, which is kept; the core in a frame, which is
finished against the y of that window; and that with a halo, on which the network is run. The core
then is what the whole image has there, but for a level or two of 255 at some pixels: rounding that
keeps Hx = y passes a difference on to its neighbours. Where no image has Hx = y (y is noisy,
sharpened or a JPEG), what comes nearest depends on the frame: by several levels at a few pixels in
a thousand, and by tens where y is mostly noise.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..degradations.downscaling import Downscaling
from ..gaussian.noise import Window
from ..imaging.io import to_bytes
from .bands import Drawer
from .drawing import drawn_in_orientations
from .finish import OVERLAP, Finished, Frame, finish, in_grey
from .sampler import SuperResolver
from .self_ensemble import Orientation
from .settings import Sampling
from .taper import taper
from .tiles import HALO, Tile
from .workers import in_order, one_thread_each, workers_on


class PartSample(NamedTuple):
    """A sample in a window, as it leaves the program.

    Attributes:
        pixels: uint8, ``(C, height, width)``.
        exploded: Whether it came out of the network far from any image.
        exact: Whether it gives y's 8-bit values back, in every pixel of y in the window.
    """

    pixels: Tensor
    exploded: bool
    exact: bool


class PartDrawing:
    """A window of an image, a model, and how to draw.

    Args:
        model: A model that takes images of any size.
        y: The whole low-resolution image, ``(C, h, w)`` or ``(1, C, h, w)``, in [0, 1].
        sampling: How to draw, with the steps of steering.
        core: What is wanted, in pixels of the high-resolution image; its edges are multiples of the
            model's scale.

    Attributes:
        framed: The core in its frame.
        window: What the network is run on.
        grey: Whether y is: then the samples are.

    Raises:
        InputError: An image, steps of steering or a profile that the model does not take.
    """

    def __init__(self, model: SuperResolver, y: Tensor, sampling: Sampling, core: Window) -> None:
        self.model, self.y, self.sampling, self.core = model, model.check(y), sampling, core
        scale = model.scale
        size = (self.y.shape[2] * scale, self.y.shape[3] * scale)
        model.check_sampling(sampling, size)
        self.framed = widened(core, OVERLAP * scale, scale, size)
        # At large factors the network sees what the frame has.
        self.window = widened(core, max(HALO, OVERLAP * scale), model.tile_step, size)
        self.tolerance = model.tolerance(self.y)
        self.grey = bool((self.y == self.y[:, :1]).all())

    def samples(self) -> Iterator[PartSample]:
        """The samples in their order, one after the other."""
        draw = self._one()
        return in_order(draw, range(self.sampling.samples), workers_on(self.model.device))

    def sample(self, index: int) -> PartSample:
        """One of the samples."""
        return next(in_order(self._one(), [index], 1))

    def _one(self) -> Callable[[int], PartSample]:
        with torch.no_grad(), one_thread_each():
            draw = self._framed_samples()
        return lambda index: self._cut(draw(index))

    def _framed_samples(self) -> Callable[[int], Finished]:
        """Draws a sample in the framed core."""
        draw = self._network()
        y, frame = self._y_in(self.framed), None
        if self.sampling.steps and (mask := self.sampling.steps[-1].mask) is not None:
            top, left, height, width = self.framed
            region = mask[None, None, top : top + height, left : left + width]
            (sample,) = self.sampling.steps[-1].samples
            before = PartDrawing(self.model, self.y, self.sampling.before(), self.core)
            parent = before._framed_samples()(sample)
            if not bool(region.any()):
                return lambda index: parent
            weights = taper(mask)[None, None, top : top + height, left : left + width]
            frame = Frame(region, parent.pixels.float() / 255, weights)

        def finished(index: int) -> Finished:
            x = draw(range(index, index + 1))
            x = in_grey(x) if self.grey else x
            if frame is not None:
                return self._finish_region(x, y, frame, parent.exploded)
            degradation, consistent = self._degradation_in(self.framed), self.sampling.consistent
            return finish(x, y, degradation, consistent, tolerance=self.tolerance)

        return finished

    def _network(self) -> Callable[[range], Tensor]:
        """What the network gives of some samples in the framed core."""
        model, sampling, window, y = self.model, self.sampling, self.window, self._y_in(self.window)
        inside = Tile(window, self.framed).inside
        if sampling.self_ensemble:
            known = dict[Orientation, Drawer]()
            of = (model, y, sampling)
            return lambda some: drawn_in_orientations(*of, some, window, known)[..., *inside]
        draw = model.drawer(y.to(model.device), sampling, inside)
        return lambda some: draw(model.noise(sampling, some, window), len(some))

    def _finish_region(self, x: Tensor, y: Tensor, frame: Frame, exploded: Tensor) -> Finished:
        """What varies, finished in as much of the framed core as it needs: that is quicker.
        `exploded` is what it varies."""
        scale, whole = self.model.scale, self.framed._replace(top=0, left=0)
        rows, columns = (frame.region[0, 0].any(side).nonzero().flatten() for side in (1, 0))
        top, left = int(rows[0]), int(columns[0])
        around = Window(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
        near = widened(around, OVERLAP * scale, scale, (whole.height, whole.width))
        inside = (..., *Tile(whole, near).inside)
        part = finish(
            x[inside],
            Tile(near, near).of(y, scale),
            self._degradation_in(near),
            self.sampling.consistent,
            Frame(*(part[inside] for part in frame)),
            tolerance=self.tolerance,
        )
        result, pixels = frame.x.clone(), to_bytes(frame.x)
        result[inside], pixels[inside] = part.x, part.pixels
        return Finished(result, pixels, part.exploded | exploded)

    def _degradation_in(self, window: Window) -> Downscaling:
        """H of a window as if it were all: what is off is off at its edges."""
        size = (window.height // self.model.scale, window.width // self.model.scale)
        return self.model.degradation_of(size, self.sampling.shrunk_by)

    def _y_in(self, window: Window) -> Tensor:
        return Tile(window, window).of(self.y, self.model.scale)

    def _cut(self, framed: Finished) -> PartSample:
        """The core of a sample that was drawn in its frame."""
        scale = self.model.scale
        framed_y, core_y = (
            Window(*(side // scale for side in window)) for window in (self.framed, self.core)
        )
        shrunk = to_bytes(self._degradation_in(self.framed).A(framed.pixels.double() / 255))
        shrunk = shrunk[(..., *Tile(framed_y, core_y).inside)]
        exact = torch.equal(shrunk, to_bytes(self._y_in(self.core)))
        pixels = framed.pixels[(0, slice(None), *Tile(self.framed, self.core).inside)]
        return PartSample(pixels, bool(framed.exploded[0]), exact)


def widened(core: Window, by: int, step: int, size: tuple[int, int]) -> Window:
    """A window with so much more on every side, up to multiples of a step or the image's edges.

    Example:
        >>> widened(Window(40, 0, 20, 20), by=10, step=16, size=(100, 40))
        Window(top=16, left=0, height=64, width=32)
    """
    spans = []
    for first, length, side in ((core.top, core.height, size[0]), (core.left, core.width, size[1])):
        start = max(0, first - by) // step * step
        end = min(side, -(-(first + length + by) // step) * step)
        spans.append((start, end - start))
    (top, height), (left, width) = spans
    return Window(top, left, height, width)
