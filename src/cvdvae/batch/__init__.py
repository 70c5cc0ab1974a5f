"""Many images."""

from .upscaler import Settings, Upscaler

__all__ = ["Settings", "Upscaler"]
