"""Put a trained LR encoder of several scales among the bundled models, with a name for every scale.

    python benchmarks/bundle_photos.py runs/photos-sr/model

It stands on the bundled prior that has the weights which it was trained on.
`cvdvae calibrate --model photos-x4 --save …` then gives every scale its temperatures; those that a
scale has already stay, and are called calibrated no longer where the weights are others.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from cvdvae.checkpoints.folder import bundled_names, find, read_record, zoo
from cvdvae.checkpoints.records import (
    OneScaleRecord,
    PriorRecord,
    Recommended,
    SuperResolutionRecord,
)
from cvdvae.checkpoints.weights import digest
from cvdvae.configs import to_yaml

source, target = Path(sys.argv[1]), zoo() / "photos-sr"
target.mkdir(exist_ok=True)
record = read_record(source)
assert isinstance(record, SuperResolutionRecord)
priors = [one for one in bundled_names() if isinstance(read_record(find(one)), PriorRecord)]
(prior,) = (one for one in priors if digest(find(one)) == record.prior_digest)
record = replace(record, prior=prior)
if (target / "config.yaml").exists():
    before = read_record(target)
    assert isinstance(before, SuperResolutionRecord)
    record = replace(record, recommended=replace(before.recommended, calibrated=False))
(target / "config.yaml").write_text(to_yaml(record))
shutil.copyfile(source / "model.safetensors", target / "model.safetensors")
for scale in record.model.scales:
    folder = zoo() / f"photos-x{scale}"
    recommended = Recommended()
    if (folder / "config.yaml").exists():
        earlier = read_record(folder)
        assert isinstance(earlier, OneScaleRecord)
        same = earlier.encoder_digest == digest(target) and earlier.recommended.calibrated
        recommended = replace(earlier.recommended, calibrated=same)
    folder.mkdir(exist_ok=True)
    one = OneScaleRecord("one-scale", "photos-sr", digest(target), scale, recommended)
    (folder / "config.yaml").write_text(to_yaml(one))
