import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from tiny import tiny_prior, tiny_resolver

from cvdvae.checkpoints.folder import digest, save_model
from cvdvae.checkpoints.records import PriorRecord, SuperResolutionRecord
from cvdvae.hvae import HVAE
from cvdvae.restoration.hvae import HVAEResolver

# Workers side by side, and the programs that they start, get one thread each: two programs whose
# OpenMP threads wait for each other crawl.
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)
torch.set_num_threads(THREADS)
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")


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
