"""NumPy's own files, one array each."""

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from .arrays import (
    MAX_AXES,
    Array,
    Layout,
    Limits,
    array_of,
    check_is_file,
    check_layout,
    guessed_axes,
)


class Npy:
    """`.npy`: axes have no names, see `guessed_axes`."""

    suffixes: tuple[str, ...] = (".npy",)

    def knows(self, path: Path) -> bool:
        """Whether a file is of this format."""
        return path.suffix.lower() in self.suffixes

    def read(self, path: Path, limits: Limits) -> Array:
        """Read it.

        Raises:
            InputError: It is damaged, or holds what cannot be drawn.
        """
        try:
            check_is_file(path)
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except InputError:
            raise
        except PermissionError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from None
        except Exception as error:  # np.load raises errors of many kinds on damaged files
            if "Python objects" in str(error):
                raise InputError(f"{path} holds objects of Python, and no numbers") from None
            if "pickle" in str(error):  # it would advise to load it unsafely
                raise InputError(f"{path} is no file of NumPy's, whatever its name says") from None
            raise InputError(f"{path} is damaged or truncated ({error})") from None
        if not isinstance(values, np.ndarray):
            values.close()
            raise InputError(f"{path} is a .npz of named arrays: save the one you mean as .npy")
        if not 2 <= values.ndim <= MAX_AXES:
            raise InputError(
                f"{path} is an array of {values.ndim} axes: an image has 2 to {MAX_AXES}, the last "
                f"two its height and width"
            )
        layout = Layout(guessed_axes(values.shape), values.shape)
        check_layout(path, layout, values.dtype, limits)
        return array_of(path, np.asarray(values), layout, [None])

    def write(self, path: Path, planes: np.ndarray, array: Array, scale: float) -> None:
        """Write planes of any size, ``(pages, channels, H, W)``, laid out as an array's file.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        laid_out = array.layout.from_planes(planes)

        def write(temporary: Path) -> None:
            with temporary.open("wb") as stream:
                np.lib.format.write_array(stream, laid_out, allow_pickle=False)

        write_atomically(path, write)
