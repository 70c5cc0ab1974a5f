import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from command import CHROMIUM, served
from hypothesis import settings
from tiny import tiny_prior, tiny_resolver

from cvdvae.checkpoints.folder import digest, save_model
from cvdvae.checkpoints.records import PriorRecord, SuperResolutionRecord
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


SERVED = {
    "test_page": "faces",
    "test_page_restore": "faces",
    "test_page_photos": "photographs",
    "test_page_access": "photographs",
    "test_page_programs": "programs",
    "test_app_security": "programs",
}
"""Files whose tests share a server, which takes seconds and a gigabyte: in one process each."""
SHARING = ("test_app", "test_doubt", "test_metrics", "test_photos", "test_site", "test_wheel")
"""Files whose tests share what takes longer than they do."""
TOGETHER = SERVED | {name: name for name in SHARING}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests side by side one by one, but for those that share what takes long."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return TOGETHER.get(Path(nodeid.split("::")[0]).stem, nodeid)

    return Together(config, log)


running: list[tuple[served, Path]] = []
"""The server, while there is one, and the folder of what it is given."""


def end_server() -> None:
    while running:
        program, folder = running.pop()
        program.__exit__(None)
        assert list(folder.iterdir()) == []  # nothing is left behind


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """The server ends with the last test of those that share it."""
    if item.path.stem in SERVED and (nextitem is None or nextitem.path.stem not in SERVED):
        end_server()


def pytest_sessionfinish() -> None:
    """Nor does it outlive tests that were interrupted."""
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
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """Chromium; not for the whole session, since its loop is in the way of others.

    Its first context keeps the page's compiled scripts on the disk, for the next file, too.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.getbasetemp() / "chromium",
            executable_path=CHROMIUM,
            args=["--no-sandbox"],
            viewport={"width": 1366, "height": 768},
        )
        assert context.browser is not None
        yield context.browser
        context.close()


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
def model_folder(tmp_path: Path, resolver: HVAEResolver) -> Path:
    """A folder with a tiny LR encoder and its own prior."""
    folder = tmp_path / "tiny-x4"
    save_model(
        folder / "prior", PriorRecord("prior", resolver.prior.config), resolver.prior.state_dict()
    )
    record = SuperResolutionRecord(
        "lr-encoder", "prior", digest(folder / "prior"), resolver.encoder.config
    )
    save_model(folder, record, resolver.encoder.state_dict())
    return folder
