"""Settings that visitors and programs bring: by name, as `result.json`, or in a zip with it."""

import json
import zipfile
import zlib
from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..domains import FACES, PHOTOS, domain_of_model
from ..errors import InputError
from ..files import read_bounded
from ..imaging.carried import Extras
from ..restoration.load import extras_of
from ..restoration.recipe import (
    BESIDE,
    MAX_BYTES,
    Recipe,
    check_weights,
    recipe_from_dict,
    sampling_from_dict,
)
from ..restoration.restored import RestorationRecipe, restoration_from_dict
from ..restoration.sampler import SuperResolver
from ..restoration.settings import Sampling

RESULT = "result.json"
RESTORE = "restore"
"""Name of the tab of what is damaged."""
TABS = {PHOTOS.name: "Photographs", FACES.name: "Faces", RESTORE: "Restore"}
"""What visitors read of the tabs that open results, by their names; the others are called after
the domain of their models."""
MOST = {RESULT: MAX_BYTES, BESIDE: 2**25}
"""What is read of a zip, and how many bytes each may have once it is unpacked."""
MAX_SEED = 2**64 - 1
"""Programs are told of it in Gradio's JSON, which has no larger number."""
MAX_DIRECTORY = 2**20
"""Bytes of a zip's table of contents, which is read as a whole."""
END = b"PK\x05\x06"
"""Marks the last record of a zip, of 22 bytes and a comment, which says how large that table is."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How it may be packed: other ways unpack any amount at once."""


def read_result(
    path: Path, max_pixels: int, domain: str = "", shown: Container[str] = TABS
) -> Recipe:
    """Read the recipe of a `result.json`, or of a zip that holds one.

    Args:
        path: The file.
        max_pixels: The most that an image beside it may have.
        domain: Name of that of the tab in which it is opened; empty where all is read.
        shown: Names of the tabs of the page.

    Raises:
        InputError: It holds no recipe, or that of another tab, or the image that it is of lies
            elsewhere.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    data, held = _told_in(path)
    _check_tab(data, path, domain, shown)
    if data.get("input") == BESIDE and BESIDE not in held:
        raise InputError(f"{path} comes without its photograph: open the zip that it lay in")
    return recipe_from_dict(data, str(path), held.get(BESIDE), max_pixels)


def read_restoration(
    path: Path, max_pixels: int, shown: Container[str] = TABS
) -> tuple[RestorationRecipe, Extras]:
    """The same of what was restored, with what its pictures carry.

    Args:
        path: The file.
        max_pixels: The most that its images may have.
        shown: As for `read_result`.

    Raises:
        InputError: It holds none, or a larger one, or it is of another tab.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    data, _ = _told_in(path)
    _check_tab(data, path, RESTORE, shown)
    if "degradation" not in data:
        raise InputError(f"{path} is no result of this tab")
    size = data.get("size")
    # Before an operator of that size is made.
    if isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size):
        height, width = size
        if height * width > max_pixels:
            raise InputError(
                f"{path} is of {width}×{height} pixels, more than are restored here: the command "
                f"cvdvae replay draws it again"
            )
    return restoration_from_dict(data, str(path)), extras_of(data, path)


def _told_in(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a `result.json` holds, and of a zip what is read beside it.

    Raises:
        InputError: It is none.
    """
    held: dict[str, bytes] = {}
    try:
        if zipfile.is_zipfile(path):
            held = _members(path)
            content = held.get(RESULT, b"")
        else:
            content = read_bounded(path, MAX_BYTES)
    except InputError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, zipfile.BadZipFile):
        raise InputError(f"{path} is damaged: download it once more") from None
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no result.json of this program, nor a zip of one") from None
    if not isinstance(data, dict):
        raise InputError(f"{path} is no result.json of this program, nor a zip of one")
    return data, held


def _check_tab(data: dict[str, Any], path: Path, here: str, shown: Container[str]) -> None:
    """Refuse what another tab opens, or none.

    Raises:
        InputError: It is such a result; the message says what to do.
    """
    tab, subject = RESTORE, "a restored image"
    if "degradation" not in data:
        # A bundled flow is called as the encoder that it is compared with.
        found = domain_of_model(str(data.get("model")).replace("-hcflow-", "-"))
        if not here or found is None:
            return
        tab, subject = found.name, found.subject
    if tab != here:
        advice = "the command cvdvae replay draws it again"
        if tab in shown:
            advice = f"open it in the tab {TABS[tab]}"
        raise InputError(f"{path} is of {subject}: {advice}")


def _members(path: Path) -> dict[str, bytes]:
    """What a zip holds of `MOST`.

    Raises:
        InputError: More than is read.
    """
    _check_directory(path)
    held: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as packed:
        for name in MOST.keys() & set(packed.namelist()):
            if packed.getinfo(name).compress_type not in PACKED:
                raise InputError(f"{path} is packed in a way that is not read here")
            with packed.open(name) as member:
                held[name] = member.read(MOST[name] + 1)
            if len(held[name]) > MOST[name]:
                raise InputError(f"{path} holds too large a {name}")
    return held


def _check_directory(path: Path) -> None:
    """Refuse a zip with a larger table of contents than `MAX_DIRECTORY`, or of 64 bits."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 2**16 - 42))
        tail = file.read()
    # Where `zipfile` looks: another mark than its own could stand for a small table.
    at = len(tail) - 22
    if tail[at : at + 4] != END or tail[-2:] != b"\0\0":
        at = tail.rfind(END)
    large = int.from_bytes(tail[at + 12 : at + 16], "little") > MAX_DIRECTORY
    if large or tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        raise InputError(f"{path} holds more files than a result has")


def check_same(recipe: Recipe, model: SuperResolver) -> None:
    """Refuse a recipe that this model would draw otherwise.

    Raises:
        InputError: The weights or the dtype are others.
    """
    check_weights(model.name, recipe.weights, model.weights)
    if recipe.dtype != model.dtype_name:
        raise InputError(
            f"this result was computed in {recipe.dtype}, as the page does not: cvdvae replay "
            f"draws it again"
        )


def next_seed(seed: int, step: int) -> int:
    """Seed of what follows a step: another at every depth, and one that the page can hold."""
    return (seed + step + 1) % (MAX_SEED + 1)


def check_seeds(sampling: Sampling) -> None:
    """Refuse seeds that the page cannot hold.

    Raises:
        InputError: One is over `MAX_SEED`.
    """
    for seed in (sampling.seed, *(step.fresh_seed or 0 for step in sampling.steps)):
        check_seed(seed)


def check_seed(seed: int) -> int:
    """A seed that the page can hold.

    Raises:
        InputError: It is over `MAX_SEED`.
    """
    if seed > MAX_SEED:
        raise InputError("a seed must be below 2⁶⁴ here: choose a smaller one")
    return seed


def settings_for(model: SuperResolver, named: dict[str, Any]) -> Sampling:
    """The settings of a draw: those that are named, and temperatures that suit the model.

    Raises:
        InputError: They are no settings by their names, or a value is out of its range.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    if not isinstance(named, dict):
        raise InputError("sampling must hold settings by their names")
    asked = sampling_from_dict(named, "sampling")
    own = model.sampling(
        temperature=asked.temperature if "temperature" in named else None,
        encoder_temperature=asked.encoder_temperature if "encoder_temperature" in named else None,
    )
    at = asked.at(own.temperature, own.encoder_temperature)
    return at if "profile" in named else replace(at, profile=own.profile)
