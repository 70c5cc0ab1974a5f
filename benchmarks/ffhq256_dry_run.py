"""Twenty steps of the full-size ×8 encoder on a random FFHQ-256 prior: does it fit, how long.

python benchmarks/ffhq256_dry_run.py
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cvdvae.bench import peak_memory
from cvdvae.checkpoints.devices import has_fast_bf16
from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord
from cvdvae.configs import load_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.hvae import HVAE
from cvdvae.hvae.presets import PRESETS
from cvdvae.training import EncoderTraining
from cvdvae.training.data import TrainingData
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.run import fit

CONFIG = Path(__file__).parents[1] / "configs" / "ffhq256-x8.yaml"
STEPS = 20


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = PRESETS["ffhq256"]
        save_model(folder / "prior", PriorRecord("prior", config), HVAE(config).state_dict())
        pixels = np.random.default_rng(0).integers(0, 256, (STEPS, 256, 256, 3), dtype=np.uint8)
        np.save(folder / "images.npy", pixels)
        settings = load_yaml(EncoderTraining, CONFIG)
        settings = replace(
            settings,
            prior=str(folder / "prior"),
            data=DataConfig(str(folder / "images.npy"), validation=2, split_seed=5),
            optim=replace(
                settings.optim,
                steps=STEPS,
                batch_size=1,
                warmup=1,
                decay=1,
                validate_every=STEPS,
                checkpoint_every=STEPS,
            ),
        )
        module = EncoderModule(settings, folder / "run")
        millions = [sum(p.numel() for p in m.parameters()) / 1e6
                    for m in (module.prior, module.trained)]  # fmt: skip
        ends: list[float] = []
        module.on_train_batch_end = lambda *_: ends.append(time.perf_counter())  # type: ignore
        started = time.perf_counter()
        fit(module, TrainingData(settings.data, settings.optim, 256))
        whole = time.perf_counter() - started
        checkpoint = (folder / "run" / "last.ckpt").stat().st_size / 1e9
        print(f"prior {millions[0]:.0f} M parameters, LR encoder {millions[1]:.0f} M")
        print(f"{torch.backends.cpu.get_cpu_capability()}, "
              f"{'bf16' if has_fast_bf16(module.device) else 'fp32'}: {STEPS} steps in "
              f"{ends[-1] - started:.0f} s, {np.median(np.diff(ends)):.2f} s a step; with one "
              f"validation, its picture and the checkpoint ({checkpoint:.2f} GB) "
              f"{whole:.0f} s")  # fmt: skip
        print(f"at most {peak_memory(module.device):.1f} GB of memory")


if __name__ == "__main__":
    main()
