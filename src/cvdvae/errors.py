"""The errors that a user can mend; their message is one sentence that says how."""


class CVDVAEError(Exception):
    """Base of all errors raised on purpose; the command line prints it and exits with 1."""


class ConfigError(CVDVAEError, ValueError):
    """A configuration that is unknown, misspelt or impossible."""


class InputError(CVDVAEError, ValueError):
    """An image or an argument that cannot be used."""


class WeightsError(CVDVAEError):
    """A model that is unknown, unreadable, or that does not fit its configuration."""


class OutputError(CVDVAEError, OSError):
    """A result that cannot be written."""
