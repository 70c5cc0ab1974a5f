"""The explorer: every plausible image behind a low-resolution one, in the browser."""
