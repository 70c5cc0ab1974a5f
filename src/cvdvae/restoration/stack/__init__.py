"""Stacks, volumes and other arrays of science: plane by plane, in files of the same kind."""
