"""The sizes of the released HCFlow models (repository JingyunLiang/HCFlow, options/test)."""

from .config import HCFlowConfig

PRESETS = {
    "hcflow-celeba-x8": HCFlowConfig(image_size=160, scale=8),
    "hcflow-general-x4": HCFlowConfig(image_size=160, scale=4, trunks=(7, 7), any_size=True),
}
