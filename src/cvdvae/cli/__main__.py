"""``python -m cvdvae.cli``, as torchrun needs it."""

from . import main

main()
