"""The sizes of the released VD-VAE models (Child 2021; repository openai/vdvae, hps.py, data.py).

Their inputs are shifted and scaled by the mean and the standard deviation of their training set.
"""

from typing import Any

from .config import HVAEConfig

_CIFAR10: dict[str, Any] = dict(  # noqa: C408 - as those below
    image_size=32,
    encoder="32x11,32d2,16x6,16d2,8x6,8d2,4x3,4d4,1x3",
    decoder="1x1,4m1,4x2,8m4,8x5,16m8,16x10,32m16,32x21",
    width=384,
    input_mean=120.63838 / 255,
    input_std=64.16736 / 255,
)
_IMAGENET32: dict[str, Any] = dict(
    _CIFAR10,
    encoder="32x15,32d2,16x9,16d2,8x8,8d2,4x6,4d4,1x6",
    decoder="1x2,4m1,4x4,8m4,8x9,16m8,16x19,32m16,32x40",
    width=512,
    input_mean=116.2373 / 255,
    input_std=69.37404 / 255,
)
_IMAGENET64: dict[str, Any] = dict(
    _IMAGENET32,
    image_size=64,
    encoder="64x11,64d2,32x20,32d2,16x9,16d2,8x8,8d2,4x7,4d4,1x5",
    decoder="1x2,4m1,4x3,8m4,8x7,16m8,16x15,32m16,32x31,64m32,64x12",
    input_mean=115.92961967 / 255,
)
_FFHQ256: dict[str, Any] = dict(
    _IMAGENET64,
    image_size=256,
    encoder="256x3,256d2,128x8,128d2,64x12,64d2,32x17,32d2,16x7,16d2,8x5,8d2,4x5,4d4,1x4",
    decoder="1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x21,64m32,64x13,128m64,128x7,256m128",
    bits=5,
    levels="floored",
    input_mean=112.8666757481 / 255,
    input_std=69.84780273 / 255,
)
_FFHQ1024: dict[str, Any] = dict(
    _FFHQ256,
    image_size=1024,
    encoder="1024x1,1024d2,512x3,512d2,256x5,256d2,128x7,128d2,64x10,64d2,32x14,32d2,"
    "16x7,16d2,8x5,8d2,4x5,4d4,1x4",
    decoder="1x2,4m1,4x3,8m4,8x4,16m8,16x9,32m16,32x20,64m32,64x14,128m64,128x7,"
    "256m128,256x2,512m256,1024m512",
    width=16,
    widths={512: 32, 256: 64} | dict.fromkeys((128, 64, 32, 16, 8, 4, 1), 512),
    mixtures=2,
    bits=8,
    levels="spread",
    input_mean=0.4387,
    input_std=0.2743,
)

PRESETS = {
    name: HVAEConfig.of_resolutions(**preset)
    for name, preset in {
        "cifar10": _CIFAR10,
        "imagenet32": _IMAGENET32,
        "imagenet64": _IMAGENET64,
        "ffhq256": _FFHQ256,
        "ffhq1024": _FFHQ1024,
    }.items()
}
