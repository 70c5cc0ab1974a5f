"""
A folder of images
==================

``cvdvae upscale`` takes folders, with the folders in them, and writes one folder of results for
each image.
"""

# %%
# Two small pictures in two folders (of scikit-image: a cup by Rachel Michetti, a cat by Stéfan van
# der Walt, both CC0).
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import skimage.data
from PIL import Image

root = Path(tempfile.mkdtemp())
for place, name in {"kitchen": "coffee", "garden": "chelsea"}.items():
    (root / "album" / place).mkdir(parents=True)
    photo = Image.fromarray(getattr(skimage.data, name)()).crop((180, 60, 340, 220))
    photo.resize((40, 40), Image.Resampling.BICUBIC).save(root / "album" / place / f"{name}.png")

# %%
# ``--json`` prints a line for each image as soon as it is there; exit codes are those of
# :doc:`/command_line`.
command = ["-m", "cvdvae.cli", "upscale", "album", "--scale", "4", "--samples", "4", "--seed", "0",
           "--json", "--out", "results"]  # fmt: skip
ended = subprocess.run(
    [sys.executable, *command], cwd=root, capture_output=True, text=True, check=True
)
reports = [json.loads(line) for line in ended.stdout.splitlines()]
for report in reports:
    print(report["input"], "→", report["folder"], "exact:", report["round_trip_exact"])

# %%
# In each folder: the samples, ``mean.png``, ``std.png``, ``grid.png``, ``result.json``.
print(
    *sorted(path.relative_to(root).as_posix() for path in (root / "results").rglob("*.png")),
    sep="\n",
)
sheet = Image.open(root / reports[0]["folder"] / "grid.png")
figure = plt.figure(figsize=(9, 9 * sheet.height / sheet.width))
plt.axes((0, 0, 1, 1)).imshow(sheet)
plt.axis("off")
