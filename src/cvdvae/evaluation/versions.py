"""What tells a method from an earlier one of its name, whose numbers are not its own."""

import json
from functools import partial
from hashlib import sha256
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .task import Method

PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...)}
"""Kinds of values that are said in full."""


def version_of(method: "Method") -> str:
    """Tells a method from others of its name; the same in every process.

    That is its own ``fingerprint``, where it has one; else a digest of the code of its
    ``function``, as `Custom` has one, or of how its class draws. Empty for methods of this package,
    whose models have fingerprints of their own.
    """
    if given := getattr(method, "fingerprint", ""):
        return str(given)
    function = getattr(method, "function", None)
    if callable(function):
        return code_digest(function)
    ours = type(method).__module__.partition(".")[0] == "cvdvae"
    return "" if ours else code_digest(method.draw)


def code_digest(function: object) -> str:
    """A digest of what a function is, wherever it stands: its code, inner functions, defaults.

    What it finds elsewhere, in a closure or by a name of its module, is not seen; a default that is
    no plain value counts by its kind alone.
    """
    return sha256(json.dumps(_told(function)).encode()).hexdigest()[:16]


def _told(value: object, above: tuple[int, ...] = ()) -> object:
    """What is said of a value, as JSON takes it; nothing that another process says otherwise."""
    kind = type(value)
    if kind in PLAIN:
        return [kind.__name__, repr(value)]
    if id(value) in above:
        return kind.__qualname__
    parts: list[object] = []
    if isinstance(value, CodeType):
        parts = [value.co_code, value.co_exceptiontable, value.co_consts, value.co_flags]
        parts += [value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars]
    elif isinstance(value, FunctionType):
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__]
    elif isinstance(value, partial):
        parts = [value.func, value.args, value.keywords]
    elif isinstance(value, MethodType):
        parts = [value.__func__]
    elif isinstance(value, (tuple, list, set, frozenset)):
        parts = list(value)
    elif isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif isinstance(call := getattr(kind, "__call__", None), FunctionType):  # noqa: B004
        parts = [call]
    elif callable(value):
        parts = [getattr(value, "__qualname__", "")]
    if callable(value) and (given := getattr(value, "__wrapped__", None)) is not None:
        parts.append(given)  # to a decorator
    said = [_told(part, (*above, id(value))) for part in parts]
    if isinstance(value, (set, frozenset)):  # whose order is another in every process
        said.sort(key=json.dumps)
    return [kind.__qualname__, *said]
