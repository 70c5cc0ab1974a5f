"""``python -m cvdvae.cli``, as torchrun needs it."""

from ..cli import main

main()
