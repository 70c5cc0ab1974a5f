"""How good our models for photographs are beside their peers, on the sets that papers use.

    python benchmarks/photos.py --sets sets --scale 4 --model photos-x4 --images 5 \
        --methods bicubic,lanczos,ours,dat-light,realesrgan,span,srmd --peers peers \
        --lpips ../shared/data/alexnet_features.safetensors --out runs/photos-benchmark

`--sets` holds a folder of high-resolution PNGs for every set: Set5, Set14, BSD100 and Urban100, and
where they are there Manga109 and Kodak. The first four are from jbhuang0604/SelfExSR, in a clone of
which ``git show HEAD:data/Set5/image_SRF_4/img_001_SRF_4_HR.png > Set5/img_001_SRF_4_HR.png`` gives
one, and likewise every ``data/<set>/image_SRF_4/*HR.png``.

Grey images become RGB, images are cropped at the bottom and right to multiples of the scale, and y
is our H of them in 8 bits. Every method runs in a process of its own. What is measured is added to
``OUT/scores.jsonl`` image by image and not measured again. `docs/photos_benchmark.md` tells more.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peers import REGISTRY, Settings, Unavailable, make
from photo_scores import VERSION, Judges, Scores, cost, score
from photos_table import Results, circumstances, write
from rich.progress import track

from cvdvae.checkpoints.folder import CONFIG, find, fingerprint_of
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import CVDVAEError
from cvdvae.imaging.io import list_images, read_photo, to_tensor

SETS = ("Set5", "Set14", "BSD100", "Urban100", "Manga109", "Kodak")
WARM_UP = 32
"""Largest side of what a method enlarges once before its time is taken."""


class Job(NamedTuple):
    """One image for one method."""

    method: str
    name: str
    path: Path
    number: int
    key: str

    @classmethod
    def of(cls, method: str, details: str, path: Path, number: int, scale: int) -> "Job":
        """The job whose key tells whether its scores are those that are wanted."""
        name = path.parent.name
        parts = (VERSION, method, details, f"x{scale}", name, path.name, digest(path))
        return cls(method, name, path, number, " | ".join(map(str, parts)))


def digest(path: Path) -> str:
    """Twelve digits that tell a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def jobs(options: argparse.Namespace, method: str) -> Iterator[Job]:
    """All images for a method.

    Raises:
        CVDVAEError: There is no such model, or a set is missing.
    """
    details = "-"
    if method == "ours":
        # The configuration has the recommended temperatures, which stand where none is named.
        config = digest(find(options.model) / CONFIG)
        taus = f"{options.temperature} {options.encoder_temperature}"
        taus += " pairs" if options.antithetic else ""
        taus += " turned" if options.self_ensemble else ""
        taus += " to look at" if options.look else ""
        details = (
            f"{fingerprint_of(find(options.model))} {config} {options.samples} samples, τ {taus}"
        )
    names = options.only or [name for name in SETS if (options.sets / name).is_dir()]
    for name in names:
        for number, path in enumerate(list_images(options.sets / name)[: options.images]):
            yield Job.of(method, details, path, number, options.scale)


def read_scores(path: Path) -> dict[str, dict[str, Scores]]:
    """Rows of scores by the keys of their jobs; a line that was cut short is left out."""
    found: dict[str, dict[str, Scores]] = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            record: dict[str, Any] = json.loads(line)
            found[record["key"]] = record["rows"]
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return found


def is_complete(rows: dict[str, Scores] | None, judges: Judges) -> bool:
    """Whether there are scores with all that the judges at hand can tell."""
    return rows is not None and not (
        (judges.lpips is not None and "lpips" not in rows[""])
        or (judges.dists is not None and "dists" not in rows[""])
    )


def work(options: argparse.Namespace, method: str) -> None:
    """Measure what is missing of a method.

    Raises:
        Unavailable: It cannot run here.
        CVDVAEError: As `jobs`.
    """
    path = options.out / "scores.jsonl"
    judges = Judges.load(options.lpips, options.peers)
    known = read_scores(path)
    todo = [j for j in jobs(options, method) if not is_complete(known.get(j.key), judges)]
    if not todo:
        return
    peer = make(method, settings(options))
    warm = False
    for job in track(todo, f"{method} ×{options.scale}"):
        truth = to_tensor(read_photo(job.path).image)
        height, width = (side - side % options.scale for side in truth.shape[1:])
        truth = truth[:, :height, :width]
        degradation = BicubicDownscaling.of_scale((height, width), options.scale)
        y = shrink_to_8_bits(truth[None], degradation)[0]
        if not warm:
            peer.enlarge(y[:, :WARM_UP, :WARM_UP])
            warm = True
        wanted = options.samples if peer.stochastic else 1
        samples, spent = cost(peer, y, options.scale, wanted, job.number)
        independent = not options.antithetic
        rows = score(samples, y, truth, degradation, options.scale, judges, independent)
        rows[""] |= spent
        # A line cut short by an earlier end stays alone: every record begins on a new line.
        begun = path.is_file() and not path.read_bytes().endswith(b"\n")
        with path.open("a") as stream:
            stream.write("\n" * begun + json.dumps({"key": job.key, "rows": rows}) + "\n")


def settings(options: argparse.Namespace) -> Settings:
    """What methods are made from."""
    return Settings(
        options.scale,
        options.peers,
        options.model,
        options.temperature,
        options.encoder_temperature,
        options.tile,
        options.antithetic,
        options.self_ensemble,
        options.look,
    )


def in_own_process(method: str) -> str | None:
    """Run `work` in a process of its own; return why it ended early, if it did."""
    command = [sys.executable, __file__, *sys.argv[1:], "--worker", method]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if ended.returncode == 0:
        return None
    said = ended.stderr.strip().splitlines() or [f"its process ended with {ended.returncode}"]
    return said[-1]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sets", type=Path, required=True, help="folder with a folder for every set")
    add("--only", type=lambda text: text.split(","), help="sets, such as Set5,Set14; default all")
    add("--scale", type=int, choices=(2, 3, 4), required=True)
    add("--model", default="photos-x{scale}", help="name or folder of the method ours")
    add("--methods", type=lambda text: text.split(","), default=list(REGISTRY))
    add("--images", type=int, help="the first so many of every set; default all")
    add("--samples", type=int, default=19, help="of a stochastic method; 19 give 80 and 90 %%")
    add("--temperature", type=float, help="of the prior's groups; default as recommended")
    add("--encoder-temperature", type=float)
    add("--look", action="store_true", help="as recommended for looking")
    add("--antithetic", action="store_true", help="samples of ours in opposite pairs")
    add("--self-ensemble", action="store_true", help="samples of ours in several orientations")
    add("--lpips", type=Path, help="safetensors file of AlexNet's features")
    add("--peers", type=Path, default=Path("peers"), help="folder with the wheels of the peers")
    add("--tile", type=int, default=256, help="side of y beyond which ncnn networks run on tiles")
    add("--threads", type=int, help="of a process; default as PyTorch chooses")
    add("--out", type=Path, required=True)
    add("--worker", choices=tuple(REGISTRY), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.methods) - set(REGISTRY):
        parser.error(f"unknown methods {', '.join(unknown)}: there are {', '.join(REGISTRY)}")
    if options.look and (
        options.temperature is not None or options.encoder_temperature is not None
    ):
        parser.error("--look has temperatures of its own")
    options.model = options.model.replace("{scale}", str(options.scale))
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def report(options: argparse.Namespace, notes: dict[str, str], where: dict[str, str]) -> None:
    """Show and write what is known of the images that were asked for."""
    known = read_scores(options.out / "scores.jsonl")
    missing = Judges.load(options.lpips, options.peers).missing
    if options.samples < 19:
        missing["intervals"] = "the widest of fewer than 19 samples may be narrower than 90 %"
    names = {"lpips": "LPIPS and diversity", "dists": "DISTS"}
    notes = notes | {names.get(key, key): why for key, why in missing.items()}
    results = Results(options.scale, notes=notes)
    for method in options.methods:
        try:
            for job in jobs(options, method):
                if job.key in known:
                    results.add(job.name, method, known[job.key])
        except CVDVAEError as error:
            results.notes.setdefault(method, str(error))
    write(results, where, options.out)


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.worker is not None:
        try:
            work(options, options.worker)
        except (Unavailable, CVDVAEError) as error:
            sys.exit(str(error))
        return
    where = circumstances()
    ends = {method: in_own_process(method) for method in options.methods}
    report(options, {m: why for m, why in ends.items() if why is not None}, where)


if __name__ == "__main__":
    main()
