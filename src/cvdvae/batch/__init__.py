"""Many images."""

from .settings import Settings
from .upscaler import Upscaler

__all__ = ["Settings", "Upscaler"]
