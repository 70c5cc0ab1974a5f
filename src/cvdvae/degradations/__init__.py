"""Degradations H, and projection onto the images that H takes to y."""
