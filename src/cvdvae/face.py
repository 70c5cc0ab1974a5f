"""Find a face in a photo and cut the square that the bundled models were trained on."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from .errors import InputError

# Median over 115 validation photos of CelebA, between the square they are trained on and the box
# that the cascade finds in them: the side in box widths, and how far the box's centre lies below.
SIDE_PER_BOX = 1.41
BOX_BELOW_CENTRE = 0.149
SEARCH_SIDE = 480


class Square(NamedTuple):
    """A square of a photo, in pixels.

    Attributes:
        left: Columns left of it.
        top: Rows above it.
        side: Its side.
    """

    left: int
    top: int
    side: int

    def cut(self, photo: Image.Image) -> Image.Image:
        """The part of the photo in it."""
        return photo.crop((self.left, self.top, self.left + self.side, self.top + self.side))


def square_inside(photo: Image.Image, x: float, y: float, side: float) -> Square:
    """The square of this centre and side, no larger than the photo and moved inside it."""
    cut = max(1, min(round(side), photo.width, photo.height))
    left = round(min(max(x - cut / 2, 0), photo.width - cut))
    top = round(min(max(y - cut / 2, 0), photo.height - cut))
    return Square(left, top, cut)


def crop_face(photo: Image.Image) -> Image.Image:
    """The square around the largest face, at the photo's own resolution.

    Raises:
        InputError: No face is found.
    """
    return find_face(photo).cut(photo)


def find_face(photo: Image.Image) -> Square:
    """Frame the largest face as the bundled models know them.

    The frame is moved inside the photo where it would stick out.

    Raises:
        InputError: No face is found.
    """
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    zoom = min(1.0, SEARCH_SIDE / max(photo.size))
    small = photo.resize((max(1, round(photo.width * zoom)), max(1, round(photo.height * zoom))))
    side = min(small.size)
    boxes = []
    if side >= 32:
        boxes = Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale(
            img=np.asarray(small),
            scale_factor=1.1,
            step_ratio=1,
            min_size=(max(24, side // 12),) * 2,
            max_size=(side, side),
        )
    if not boxes:
        raise InputError(
            "no face was found: frame it yourself and use --crop centre, or --crop none"
        )
    box = max(boxes, key=lambda b: int(b["width"]))
    width = box["width"] / zoom
    centre_x = (box["c"] + box["width"] / 2) / zoom
    centre_y = (box["r"] + box["height"] / 2) / zoom - BOX_BELOW_CENTRE * width
    return square_inside(photo, centre_x, centre_y, SIDE_PER_BOX * width)
