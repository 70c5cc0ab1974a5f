"""How opaque pixels are, which is no value to draw: in larger images it is what it was."""

import numpy as np

OF_ALPHA = "its alpha, which is not drawn but enlarged as it is: where it is 0, there is no data"


def at_scale(opaque: np.ndarray, scale: float) -> np.ndarray:
    """Of pixels ``(…, h, w)``: where they become fewer, a pixel is as opaque as the least of those
    that it becomes of; where they become more, `enlarged` has parts of them."""
    if scale >= 1:
        return opaque
    by = round(1 / scale)
    height, width = (side // by for side in opaque.shape[-2:])
    parts = opaque[..., : height * by, : width * by]
    least: np.ndarray = parts.reshape(*opaque.shape[:-2], height, by, width, by).min((-3, -1))
    return least


def enlarged(
    opaque: np.ndarray, scale: float, rows: slice = slice(None), columns: slice = slice(None)
) -> np.ndarray:
    """Some rows and columns of what is larger by a whole `scale`; below 1, of what it is."""
    times = max(1, round(scale))
    height, width = (side * times for side in opaque.shape[-2:])
    down, across = (np.arange(n)[part] // times for n, part in ((height, rows), (width, columns)))
    return opaque[..., down[:, None], across]
