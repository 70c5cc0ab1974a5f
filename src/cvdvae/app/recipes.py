"""Results that visitors bring back, as `result.json` or as the zip that it came in."""

import json
import tempfile
import zipfile
import zlib
from pathlib import Path

from ..errors import InputError
from ..files import read_bounded
from ..restoration.recipe import BESIDE, MAX_BYTES, Recipe, read_recipe, recipe_from_dict
from ..restoration.sampler import DTYPES, SuperResolver

RESULT, MOST = "result.json", {"result.json": MAX_BYTES, BESIDE: 2**27}
"""What is read of a zip, and how many bytes each may have once it is unpacked."""


def read_result(path: Path) -> Recipe:
    """Read the recipe of a `result.json`, or of a zip that holds one.

    Raises:
        InputError: It holds no recipe, or the image that it is of lies elsewhere.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    if not zipfile.is_zipfile(path):
        try:
            data = json.loads(read_bounded(path, MAX_BYTES).decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            raise InputError(f"{path} is no result.json of this program, nor its zip") from None
        if isinstance(data, dict) and data.get("input") == BESIDE:
            raise InputError(f"{path} comes without its photograph: open the zip that it lay in")
        return recipe_from_dict(data, str(path))
    with tempfile.TemporaryDirectory(prefix="cvdvae-") as folder:
        try:
            with zipfile.ZipFile(path) as packed:
                for name in set(packed.namelist()) & MOST.keys():
                    with packed.open(name) as member:
                        content = member.read(MOST[name] + 1)
                    if len(content) > MOST[name]:
                        raise InputError(f"{path} holds too large a {name}")
                    (Path(folder) / name).write_bytes(content)
        except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile):
            raise InputError(f"{path} is a damaged zip: download it once more") from None
        if not (Path(folder) / RESULT).exists():
            raise InputError(f"{path} holds no {RESULT}")
        try:
            return read_recipe(Path(folder) / RESULT)
        except InputError as error:
            words = str(error).replace(f"{folder}/", "")
            raise InputError(f"{path}: {words}") from None


def check_same(recipe: Recipe, model: SuperResolver) -> None:
    """Refuse a recipe that this model would draw otherwise.

    Raises:
        InputError: The weights or the dtype are others.
    """
    if recipe.weights and recipe.weights != model.weights:
        raise InputError(
            f"the model '{model.name}' has other weights than when this result was drawn, so "
            f"it cannot be drawn again"
        )
    if DTYPES[recipe.dtype] != model.dtype:
        raise InputError(
            f"this result was computed in {recipe.dtype}, as the page does not: cvdvae replay "
            f"draws it again"
        )
