"""Samples of p(z|y) by moves that leave it invariant, whatever the encoder believes."""
