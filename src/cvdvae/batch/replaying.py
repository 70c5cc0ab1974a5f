"""A result of a file drawn again, into a folder."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError
from ..imaging.arrays import Limits
from ..restoration.load import extras_of, model_of, recipe_of, restorer_for
from ..restoration.restored import Restoration, RestorationRecipe
from ..restoration.sampler import SuperResolver
from ..restoration.saving import RESULT, read_told, result_in
from ..restoration.settings import Sampling
from ..restoration.stack.planes import Stack, read_stack
from ..restoration.stack.restored import RestoredStack, restored_stack_from_dict
from ..restoration.stack.restoring import read_damaged, restore_stack
from ..restoration.stack.result import stack_recipe_from_dict
from ..restoration.workers import SAVED, OnDone, in_parts, untold
from .files import Input, Outcome, draw_into

REPLAYED = Limits(2**30, 10_000)
"""What an input may hold that has been drawn before."""


def replay_into(
    recipe: Path,
    folder: Path,
    device: str = "cpu",
    trust: bool = False,
    on_share: OnDone = untold,
    say: Callable[[str], None] = lambda note: None,
) -> Outcome | Restoration | RestoredStack:
    """Draw the result of a `result.json` again, into a folder; see `cvdvae.replay`.

    Args:
        recipe: The file, or its folder.
        folder: Where the results go.
        device: As for `cvdvae.replay`.
        trust: As for `cvdvae.replay`.
        on_share: Told what share of the whole is done, but for what takes it into files.
        say: Told what the new result lacks.

    Raises:
        InputError: As of `cvdvae.replay`; or the folder is that of the result, whose truth would be
            lost.
    """

    def drawn(model: SuperResolver, given: Input | Stack, sampling: Sampling) -> Outcome:
        pixels = sampling.samples * given.pixels * model.scale**2
        tell = partial(in_parts, on_share, pixels)
        return draw_into(model, given, sampling, folder, on_pixels=tell)

    recipe = result_in(recipe)
    data = read_told(recipe)
    if data.get("truth") is not None:
        if recipe.resolve() == (folder / RESULT).resolve():  # which would give way
            raise InputError(
                f"{recipe} compares with the original image, which it does not hold: choose "
                f"another folder, where the result is drawn without the comparison"
            )
        say(f"{recipe} does not hold the original image: it is drawn without the comparison")
    if isinstance(data.get("values"), dict) and "degradation" in data:
        damaged = restored_stack_from_dict(data, recipe)
        restorer, what, how = restorer_for(damaged, device, trust), damaged.what, damaged.restoring
        arrays = read_damaged(restorer, damaged.path, what, REPLAYED, ranges=damaged.ranges)
        tell = partial(in_parts, on_share, how.steps + SAVED)
        return restore_stack(restorer, arrays, what, how, folder, tell)
    if isinstance(data.get("values"), dict):
        stacked = stack_recipe_from_dict(data, recipe)
        model = model_of(stacked.origin, device, trust)
        given = read_stack(model, stacked.path, REPLAYED, ranges=stacked.ranges)
        return drawn(model, given, stacked.origin.sampling)
    told, extras = recipe_of(data, recipe), extras_of(data, recipe)
    if isinstance(told, RestorationRecipe):
        tell = partial(in_parts, on_share, told.restoring.steps + SAVED)
        result = restorer_for(told, device, trust).run(told.seen, told.restoring, on_steps=tell)
        result = replace(result, extras=extras)
        result.save(folder)
        return result
    model = model_of(told.origin, device, trust)
    return drawn(model, Input(told.y, None, [], extras), told.sampling)
