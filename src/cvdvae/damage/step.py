"""One thing that happened to an image, as plain data."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ..degradations.base import LinearOperator

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Step(ABC):
    """One thing that happened to an image.

    Attributes:
        colours: How many colours it needs, and how many it leaves; None for any and as many.
        pictures: Whether what it leaves is a picture.
    """

    colours: ClassVar[tuple[int, int] | None] = None
    pictures: ClassVar[bool] = True

    def lr_size(self, hr_size: Size) -> Size:
        """The size of y for an x of this size."""
        return hr_size

    def hr_size(self, lr_size: Size) -> Size:
        """The size of x for a y of this size."""
        return lr_size

    @abstractmethod
    def operator(self, hr_size: Size) -> LinearOperator:
        """H for images of this size.

        Raises:
            InputError: There is none.
        """
