"""The domain of photographs of any subject and any size."""

from PIL import Image

from .base import Domain, register


def coffee() -> Image.Image:
    """A cup of coffee (Rachel Michetti, CC0), from scikit-image."""
    from skimage.data import coffee as picture

    return Image.fromarray(picture())


PHOTOS = register(
    Domain(
        "photos",
        "a photograph",
        "photos-x{scale}",
        (2, 3, 4),
        4,
        coffee,
        restorer="photos-restore",
    )
)
