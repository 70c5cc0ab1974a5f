"""Measures of super-resolved images: `pip install cvdvae[eval]`."""
