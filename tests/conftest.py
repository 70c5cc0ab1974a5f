import gc
import multiprocessing
import os
import pickle
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from command import CHROMIUM, served
from hypothesis import settings
from tiny import saved_resolver, tiny_prior, tiny_resolver

from cvdvae.batch import local
from cvdvae.hvae import HVAE
from cvdvae.restoration.hvae import HVAEResolver

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Workers side by side, and the programs that they start, get one thread each: two programs whose
# OpenMP threads wait for each other crawl.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)
torch.set_num_threads(THREADS)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")

# A shell lets what it starts in the background ignore Ctrl+C, and so what that starts in turn: the
# programs under test are to hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


PAGES = (
    "test_page_photos",
    "test_page_access",
    "test_page",
    "test_page_restore",
    "test_page_viewer",
    "test_page_promises",
)
"""Files whose tests share a browser, too; photographs first, whose memory is measured."""
SERVED = dict.fromkeys((*PAGES, "test_page_programs", "test_app_security"), "pages")
"""Files whose tests share a server, which takes seconds and a gigabyte: in one process."""
SHARING = (
    *("test_compiled", "test_crew", "test_app", "test_app_promises", "test_photos_page"),
    "test_doubt",
    *("test_metrics", "test_photos", "test_site", "test_wheel"),
)
"""Files whose tests share what takes longer than they do."""
TOGETHER = SERVED | {name: name for name in SHARING}
ORDER = {name: place for place, name in enumerate(TOGETHER)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What cannot be divided comes first, the longest before all, or one process ends late."""
    items.sort(key=lambda item: ORDER.get(item.path.stem, len(ORDER)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: it is not searched for garbage, now and later."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests side by side one by one, but for those that share what takes long."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return TOGETHER.get(Path(nodeid.split("::")[0]).stem, nodeid)

    config.option.loadscopereorder = False  # not the most tests first: ORDER knows better
    return Together(config, log)


@pytest.fixture(autouse=True)
def told_to_gradio() -> Iterator[None]:
    """What a page that a test makes tells Gradio through the environment ends with the test, as
    the page's folder does."""
    names = ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR")
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(autouse=True)
def processes_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes that draw many images are forked from this one, where no card's threads would be
    lost with it. `test_crew` starts them as users do, which takes longer than most tests."""
    if request.path.stem == "test_crew" or torch.accelerator.is_available():
        yield
        return
    forking = multiprocessing.get_context("fork")

    def process(target: Any, args: tuple[Any, Any], daemon: bool) -> Any:
        connection, recipe = args
        alike = pickle.loads(pickle.dumps(recipe))  # as where a process has nothing of another
        return forking.Process(target=target, args=(connection, alike), daemon=daemon)

    start = {"Pipe": forking.Pipe, "Process": process, "set_forkserver_preload": lambda _: None}
    own = vars(multiprocessing) | {"get_context": lambda _: SimpleNamespace(**start)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "multiprocessing", SimpleNamespace(**own))
        yield


running: list[tuple[served, Path]] = []
"""The server, while there is one, and the folder of what it is given."""
browsing: list[tuple["Browser", ExitStack]] = []
"""The browser, while there is one, and what closes it."""


def end_browser() -> None:
    while browsing:
        browsing.pop()[1].close()


def end_server() -> None:
    while running:
        program, folder = running.pop()
        program.__exit__(None)
        assert list(folder.iterdir()) == []  # nothing is left behind


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Browser and server end with the last test of those that share them."""
    following = nextitem.path.stem if nextitem else ""
    try:
        if following not in PAGES:
            end_browser()
    finally:
        if item.path.stem in SERVED and following not in SERVED:
            end_server()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Nor do they outlive tests that were interrupted."""
    try:
        end_browser()
    finally:
        end_server()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> served:
    """The page of the bundled models, which takes seconds to come up."""
    if not running:
        folder = tmp_path_factory.mktemp("server")
        program = served(TMPDIR=str(folder))
        program.__enter__()
        running.append((program, folder))
    return running[0][0]


@pytest.fixture(scope="module")
def temporary(program: served) -> Path:
    """Where the page keeps what it is given."""
    return running[0][1]


@pytest.fixture(scope="module")
def address(program: served) -> str:
    """Where it is."""
    return program.url


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> "Browser":
    """Chromium; not for the whole session, since its loop is in the way of others.

    Its first context keeps the page's compiled scripts, and waits for no animation.
    """
    from playwright.sync_api import sync_playwright

    if not browsing:
        with ExitStack() as stack:
            context = stack.enter_context(sync_playwright()).chromium.launch_persistent_context(
                tmp_path_factory.getbasetemp() / "chromium",
                executable_path=CHROMIUM,
                args=["--no-sandbox"],
                viewport={"width": 1366, "height": 768},
                reduced_motion="reduce",
            )
            stack.callback(context.close)
            assert context.browser is not None
            browsing.append((context.browser, stack.pop_all()))
    return browsing[0][0]


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws does not depend on which tests came before it."""
    torch.manual_seed(0)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums are in one order, as in a program that has one thread."""
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(THREADS)


@pytest.fixture
def prior() -> HVAE:
    return tiny_prior()


@pytest.fixture
def resolver() -> HVAEResolver:
    return tiny_resolver()


@pytest.fixture
def images() -> torch.Tensor:
    """Four 8-bit images of the tiny size."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (4, 3, 16, 16), generator=generator).float() / 255


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with a tiny LR encoder and its own prior."""
    return saved_resolver(tmp_path / "tiny-x4")
