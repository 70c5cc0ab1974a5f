"""Curves and pictures of the analyses, drawn with matplotlib into PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..evaluation.measure import Scores
from ..evaluation.table import Figure
from ..files import write_atomically
from ..imaging.io import in_sight, to_bytes
from .calibration import Calibration
from .latents import Nested, Rates


def _figure(columns: int, rows: int = 1, size: float = 3.2) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size * columns, 0.85 * size * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure: Any, path: Path) -> Path:
    write_atomically(path, lambda p: figure.savefig(p, dpi=130))
    return path


def draw_calibration(results: Mapping[str, Calibration], path: Path) -> Path:
    """Reliability diagram, rank histogram and sparsification of some models."""
    figure, ((reliability, histogram, sparse),) = _figure(3)
    reliability.plot([0, 1], [0, 1], color="0.7", lw=1)
    for name, c in results.items():
        reliability.plot(c.nominal, c.observed, marker=".", label=name)
        share = [f * len(c.rank_histogram) for f in c.rank_histogram]
        places = [i / (len(share) - 1) for i in range(len(share))]
        histogram.plot(places, share, drawstyle="steps-mid", label=name)
        left_out = [i / len(c.sparsification) for i in range(len(c.sparsification))]
        (line,) = sparse.plot(left_out, c.sparsification, label=name)
        sparse.plot(left_out, c.oracle, color=line.get_color(), ls=":", lw=1)
    histogram.axhline(1, color="0.7", lw=1)
    histogram.set_ylim(bottom=0)
    _label(reliability, "reliability", "nominal coverage", "observed coverage")
    _label(histogram, "rank of the truth", "rank among the samples", "frequency (1: calibrated)")
    _label(sparse, "sparsification (dotted: best possible)", "most uncertain pixels left out",
           "error of the rest")  # fmt: skip
    reliability.legend(fontsize=7)
    return _save(figure, path)


def draw_consistency(
    distances: Sequence[Sequence[float]],
    scales: Sequence[int],
    measured: Mapping[int, tuple[int, Figure]],
    natural: Mapping[int, int],
    path: Path,
) -> Path:
    """``U_k^s`` over k, with ``CE(k)`` of trained encoders: scale → (k, CE).

    A ring marks the natural k of every scale: all groups up to the resolution of y.
    """
    figure, ((axes,),) = _figure(1, size=5)
    for scale, row in zip(scales, distances, strict=True):
        (line,) = axes.plot(range(len(row)), row, marker=".", label=f"U, ×{scale}")
        if scale in measured and measured[scale][1].mean is not None:
            k, value = measured[scale]
            axes.plot([k], [value.mean], marker="*", ms=10, color=line.get_color(),
                      label=f"measured CE, ×{scale}", ls="")  # fmt: skip
        if scale in natural:
            k = natural[scale]
            axes.plot([k], [row[k]], marker="o", ms=11, mfc="none", color=line.get_color(), ls="")
    _label(axes, "expected low-resolution distance", "groups k that are given",
           "grey levels of 255")  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
    return _save(figure, path)


def draw_temperature(temperatures: Sequence[float], scores: Sequence[Scores], path: Path) -> Path:
    """Realism, diversity and consistency over the temperature."""
    wanted = [("psnr", "PSNR of a sample, dB"), ("lpips", "LPIPS"), ("brisque", "BRISQUE"),
              ("apd_mse", "APD, MSE"), ("apd_lpips", "APD, LPIPS"),
              ("lr_psnr", "LR-PSNR as saved, dB"), ("misfit", "misfit")]  # fmt: skip
    shown = [(k, t) for k, t in wanted if any(s.get(k) is not None for s in scores)]
    figure, (row,) = _figure(len(shown), size=2.6)
    for axes, (key, title) in zip(row, shown, strict=True):
        axes.plot(temperatures, [s.get(key) for s in scores], marker="o")
        _label(axes, title, "temperature", "")
    return _save(figure, path)


def draw_rates(rates: Rates, resolutions: Sequence[int], path: Path) -> Path:
    """Bits/dim of every group, and the totals."""
    figure, ((axes, totals),) = _figure(2)
    axes.bar(range(len(rates.groups)), [g.mean for g in rates.groups])
    axes.set_xticks(range(len(resolutions)), [str(r) for r in resolutions], fontsize=6)
    _label(axes, "KL of every group", "resolution of the group", "bits/dim")
    names = ["prior", *rates.conditional]
    shown = [rates.total, *rates.conditional.values()]
    totals.bar(names, [f.mean for f in shown], yerr=[f.standard_error or 0 for f in shown])
    totals.tick_params(axis="x", labelsize=6)
    _label(totals, "−log p(x), and −log p(x | y)", "", "bits/dim, bound")
    return _save(figure, path)


def draw_nested(nested: Nested, path: Path) -> Path:
    """A row for every k: samples of p(x | z_<k) and their standard deviation."""
    count = nested.samples.shape[1]
    figure, grid = _figure(count + 2, len(nested.groups), size=1.5)
    largest = float(nested.std.max()) or 1.0
    for row, k, samples, std in zip(grid, nested.groups, nested.samples, nested.std, strict=True):
        for axes, image in zip(row, [nested.reference, *samples], strict=False):
            axes.imshow(_pixels(image), interpolation="nearest")
        row[-1].imshow(std, cmap="inferno", vmin=0, vmax=largest, interpolation="nearest")
        row[0].set_ylabel(f"k = {k}", fontsize=8)
        for axes in row:
            axes.set_xticks([])
            axes.set_yticks([])
    grid[0][0].set_title("all of z", fontsize=8)
    grid[0][-1].set_title("std", fontsize=8)
    return _save(figure, path)


def _pixels(image: Tensor) -> Any:
    return to_bytes(in_sight(image)).expand(3, -1, -1).permute(1, 2, 0).numpy()


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=8)
    axes.set_ylabel(y, fontsize=8)
    axes.tick_params(labelsize=7)
