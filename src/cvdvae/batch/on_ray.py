"""The engine on Ray Data: shards are read by tasks, rows drawn by a pool of actors.

What comes back is written by the process that started the run, but for targets whose workers write
themselves. Ray restarts an actor that is killed and gives its rows to another; blocks of rows that
are lost for good are drawn again one row at a time, and a row that is lost once more is given up.
"""

import logging
import os
import pickle
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..checkpoints.folder import bundled_names
from ..errors import CVDVAEError, InputError, need
from ..restoration.workers import usable_processors
from .local import Recipe, given_up
from .rows import Batch, column, to_batch
from .run import BATCH, Engine, Work, rows_to_do
from .shards import Shard
from .upscaler import Upscaler

BLOCK = 4 * 2**20
"""Bytes of rows that are handed around together at most."""
READING, DRAWING = 0.1, 0.9
"""Share of a processor that a task or an actor books: so that there is room to read beside as many
actors as there are processors."""
RETRIES = 2
"""How often rows are given to another actor before their block is lost: Ray's own endless retries
would let a row that ends its actor hold up the run for ever."""
PATIENCE = 5.0
"""Seconds after which an address that does not answer is given up."""


def ray_engine(address: str | None = None, workers: int | None = None, gpus: float = 0.0) -> Engine:
    """The engine on a Ray cluster.

    Args:
        address: ``host:port`` of a cluster, ``auto``, or ``ray://host:port``; None starts Ray on
            this machine for the length of the run.
        workers: How many actors; by default one for every processor, or for every such part of a
            GPU, of the cluster.
        gpus: What part of a GPU an actor takes.

    Raises:
        InputError: Ray is not installed.
    """
    need("ray", "the engine 'ray'", "ray")

    def draw(work: Work) -> Generator[Batch]:
        model = Path(work.recipe.model)  # actors have another working folder
        if model.exists() and work.recipe.model not in bundled_names():
            work = work._replace(recipe=work.recipe._replace(model=str(model.absolute())))
        with _connected(address):
            count, done = workers or _room(gpus), set(work.done)
            for size in (BATCH, 1):
                if len(done) == work.rows:
                    return
                for batch in _pass(work, frozenset(done), size, count, gpus):
                    done.update(int(number) for number in batch["number"])
                    yield batch
            if len(done) < work.rows:
                for row in rows_to_do(work.shards, done):
                    yield given_up(to_batch([row]), "ended the actors that drew it")

    return draw


def _pass(
    work: Work, done: frozenset[int], size: int, actors: int, gpus: float
) -> Generator[Batch]:
    """Draw the rows that are not done, `size` at a time; blocks that are lost stay out."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.issue_detectors_config.detectors = []  # advice on memory, every half minute
    context.max_errored_blocks = -1
    context.target_max_block_size = BLOCK if size > 1 else 1  # one row: what is lost together
    context.execution_options.preserve_order = work.in_order
    with DataContext.current(context):
        shards = ray.data.from_items([{"shard": pickle.dumps(shard)} for shard in work.shards])
        read: Any = _read
        numbers = ray.put((done, work.refused))
        rows = shards.flat_map(read, fn_args=(numbers,), num_cpus=READING)
        drawn = rows.map_batches(
            _Actor,
            fn_constructor_args=(work.recipe,),
            batch_size=size,
            compute=ActorPoolStrategy(size=actors),
            num_cpus=DRAWING,
            num_gpus=gpus or None,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        for block in drawn.iter_batches(batch_size=None, batch_format="numpy"):
            for packed in block["batch"]:
                batch: Batch | CVDVAEError = pickle.loads(packed)
                if isinstance(batch, CVDVAEError):
                    raise batch
                yield batch


def _read(item: dict[str, Any], numbers: Any) -> Iterator[dict[str, Any]]:
    """The rows of a shard that are still to do."""
    import ray

    shard: Shard = pickle.loads(item["shard"])
    for row in rows_to_do([shard], *ray.get(numbers)):
        yield {"row": pickle.dumps(row)}


class _Actor:
    """Draws rows that come and go as bytes: they hold what tables of Arrow cannot. What must end
    the run comes back, too, for Ray would try again."""

    def __init__(self, recipe: Recipe) -> None:
        self.upscaler: Upscaler | CVDVAEError
        try:
            self.upscaler = Upscaler(*recipe)
        except CVDVAEError as error:
            self.upscaler = error

    def __call__(self, batch: Batch) -> Batch:
        """Draw some rows."""
        said: Batch | CVDVAEError
        try:
            if isinstance(self.upscaler, CVDVAEError):
                raise self.upscaler
            said = self.upscaler(to_batch(pickle.loads(row) for row in batch["row"]))
        except CVDVAEError as error:
            said = error
        return {"batch": column([pickle.dumps(said)])}


def _room(gpus: float) -> int:
    """How many actors the cluster has room for."""
    import ray

    resources = ray.cluster_resources()
    if gpus:
        return max(1, int(resources.get("GPU", 0) / gpus))
    return max(1, int(resources.get("CPU", 1)))


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Ray, until the end of this where it was not there before.

    Raises:
        InputError: No cluster answers.
    """
    _reach(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        own: dict[str, Any] = {"num_cpus": usable_processors(), "include_dashboard": False}
        ray.init(
            address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else own),
        )
    except Exception as error:  # Ray raises bare ones, too
        raise InputError(
            f"Ray {f'at {address} does not answer' if address else 'does not start here'} "
            f"({(str(error).splitlines() or ['no reason given'])[0]})"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Refuse an address where nobody listens: Ray itself would wait for minutes."""
    if address in (None, "auto", "local"):
        return
    host, _, port = str(address).removeprefix("ray://").rpartition(":")
    try:
        if not host or not port.isdigit():
            raise InputError(f"the address of a cluster is host:port, not '{address}'")
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"no Ray cluster answers at {address} ({error})") from None
