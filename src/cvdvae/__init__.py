"""CVD-VAE: every plausible high-resolution image behind a low-resolution one."""

__version__ = "0.1.0"
