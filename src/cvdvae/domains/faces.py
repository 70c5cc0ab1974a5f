"""Find a face in a photo and cut the square that the bundled models were trained on."""

import numpy as np
from PIL import Image

from ..errors import InputError
from ..imaging.crop import Square, size_within, square_inside
from .base import Domain, register

# Median over 115 validation photos of CelebA, between the square they are trained on and the box
# that the cascade finds in them: the side in box widths, and how far the box's centre lies below.
SIDE_PER_BOX = 1.41
BOX_BELOW_CENTRE = 0.149
SEARCH_SIDE = 480


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

    longer = min(SEARCH_SIDE, max(photo.size))
    zoom, small = longer / max(photo.size), photo.resize(size_within(photo.size, longer))
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
            "no face was found: frame it yourself and use --crop centre or none (in Python crop=)"
        )
    box = max(boxes, key=lambda b: int(b["width"]))
    width = box["width"] / zoom
    centre_x = (box["c"] + box["width"] / 2) / zoom
    centre_y = (box["r"] + box["height"] / 2) / zoom - BOX_BELOW_CENTRE * width
    return square_inside(photo, centre_x, centre_y, SIDE_PER_BOX * width)


def demo_photo() -> Image.Image:
    """The astronaut Eileen Collins (NASA, public domain), from scikit-image."""
    from skimage.data import astronaut

    return Image.fromarray(astronaut())


FACES = register(
    Domain(
        "faces",
        "a face",
        "celeba64-x{scale}",
        (4, 8, 16),
        8,
        demo_photo,
        find_face,
        64,
        restorer="celeba64-restore",
        flows="celeba64-hcflow-x{scale}",
    )
)
