"""Mix the weights of two restorers, of which one was trained further from the other (Wortsman et
al. 2022, "Robust fine-tuning of zero-shot models"): what one learnt of a few damages, and what the
other knows of all.

    python benchmarks/mixed.py runs/all/model runs/shrinking/model 0.3 runs/mixed

Every weight is ``(1 − α) a + α b``; all else, temperatures among it, is the first's. The folder is
a model like any other.
"""

import argparse
from pathlib import Path

import torch

from cvdvae.checkpoints.folder import find, read_record, save_model
from cvdvae.restoration.load import load_restorer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first")
    parser.add_argument("second")
    parser.add_argument("alpha", type=float, help="share of the second")
    parser.add_argument("out", type=Path)
    parser.add_argument("--bits", type=int, choices=(8, 16, 32), default=8, help="of a weight")
    options = parser.parse_args()
    encoders = [load_restorer(name).encoder for name in (options.first, options.second)]
    if any(encoder is None for encoder in encoders):
        parser.error("a prior has no encoder to mix")
    first, second = (encoder.state_dict() for encoder in encoders if encoder is not None)
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        parser.error("the two are no networks of one shape")
    weights = {name: torch.lerp(a, second[name], options.alpha) for name, a in first.items()}
    save_model(options.out, read_record(find(options.first)), weights, options.bits)


if __name__ == "__main__":
    main()
