"""One page with all tables, curves and pictures, that needs no other file."""

import base64
import html
import math
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from ..evaluation.evaluate import Records
from ..evaluation.measure import Column
from ..evaluation.table import FEW, LEGEND, TOLD_APART, by_task, counted, unmeasured
from ..files import write_text
from ..metrics.calibration import LEVELS
from ..restoration.result import DISCLAIMER
from .calibration import Calibration
from .latents import Rates

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1e; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 12.5px; display: block; overflow-x: auto; }
th, td { padding: 3px 8px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; } p.note { color: #55555f; font-size: 13.5px; }
"""

THOUSANDTHS, BITS = Column("", "", 1e3, 1), Column("", "", digits=3)


@dataclass(frozen=True)
class Section:
    """A heading, a paragraph, and a table or pictures.

    Attributes:
        title: The heading.
        text: What is shown, and how to read it.
        rows: A table, its first row the header; may be empty.
        pictures: PNG files that are put into the page.
    """

    title: str
    text: str
    rows: list[list[str]]
    pictures: tuple[Path, ...] = ()


MEANING = (
    "τ is the temperature of the groups that the prior draws; an LR encoder's own stands in "
    "brackets, and is 1 without, or τ where it gives all groups. A model may have factors for both."
)
"""What τ means where images were shrunk."""


def tables(records: Records, samples: int, temperatures: str = MEANING) -> list[Section]:
    """Sections of `cvdvae evaluate`, one for each scale or degradation.

    Args:
        records: What was measured.
        samples: As for `write_tables`.
        temperatures: What τ means.
    """
    return [
        Section(
            task,
            f"Mean and standard error over {counted(table.images, 'image')}, "
            f"{counted(samples, 'sample')} of each. Projected: onto Hx = y in [0, 1], or within "
            f"the noise of y. {temperatures} Starred: {LEGEND}",
            table.rows,
        )
        for task, table in by_task(records, "* {}").items()
    ]


def not_measured(records: Records, missing: dict[str, str]) -> list[Section]:
    """A section for every column without values, as `unmeasured` tells of them."""
    found = unmeasured(records, missing)
    return [Section(f"{column} is not measured", f"{why}.", []) for column, why in found.items()]


def calibration_rows(results: dict[str, Calibration]) -> list[list[str]]:
    """The table of a calibration."""
    header = ["", *(f"{level:.0%} interval holds" for level in LEVELS)]
    header += ["CRPS ×10³", "energy ×10³", "sparsification, off the best"]
    lines = [
        [
            _at_temperatures(name, c),
            *(_covered(c, level) for level in c.coverage),
            c.crps.show(THOUSANDTHS),
            c.energy_score.show(THOUSANDTHS),
            f"{c.area_between:.3f}",
        ]
        for name, c in results.items()
    ]
    return [header, *lines]


def _covered(c: Calibration, level: str) -> str:
    """How often an interval holds the truth, with the standard error: ``82% ± 0.7%``."""
    share, error = c.coverage[level], c.coverage_error[level]
    if share is None:
        return "–"
    return f"{share:.0%}" if error is None else f"{share:.0%} ± {error:.1%}"


def _at_temperatures(name: str, c: Calibration) -> str:
    """A name with the temperatures of the prior and of the encoder, or the one of both."""
    both = dict.fromkeys((c.sampling.temperature, c.sampling.encoder_temperature))
    shaped = " with a profile" * bool(c.sampling.profile)
    return f"{name}, τ = {' / '.join(f'{t:g}' for t in both)}{shaped}"


CLOSE = 0.03
"""Intervals are called well calibrated where they hold what they are called but for so much."""
KNOWN = "Values that all samples share with the truth, as saved, are known: they do not count."
"""What coverage is of."""


def verdict(results: dict[str, Calibration]) -> str:
    """What the coverage says, in words, or why there is none."""
    sentences = []
    for name, c in results.items():
        nominal, level = LEVELS[1], f"{LEVELS[1]:.0%}"
        observed = c.coverage[level]
        if not c.counted:
            sentences.append(f"{_at_temperatures(name, c)}: every sample is the truth itself.")
        if observed is None:
            continue
        if c.images < FEW:
            judged = f"were measured on {counted(c.images, 'image')}, too few to judge by"
        elif abs(observed - nominal) < CLOSE:
            judged = "are well calibrated"
        elif abs(observed - nominal) < TOLD_APART * (c.coverage_error[level] or 0):
            judged = "cannot be told from well calibrated ones by so few images"
        elif observed < nominal:
            judged = "are over-confident: the truth lies outside of them too often"
        else:
            judged = "are under-confident: they spread more than they need to"
        sentences.append(
            f"{_at_temperatures(name, c)}: the central {level} of the samples hold the truth in "
            f"{_covered(c, level)} of the values that are not known, {c.counted:.0%} of all; "
            f"they {judged}."
        )
    return " ".join(sentences + _too_few(results))


def _too_few(results: dict[str, Calibration]) -> list[str]:
    """Why an interval has no coverage: N samples have none wider than (N − 1) / (N + 1)."""
    fewest = {level: math.ceil((1 + level) / (1 - level) - 1e-6) for level in LEVELS}
    return [
        f"{samples} samples have no interval of {level:.0%}: at least {needed} are needed."
        for samples in dict.fromkeys(c.sampling.samples for c in results.values())
        for level, needed in fewest.items()
        if samples < needed
    ]


def believed(results: dict[str, Calibration], picture: Path) -> Section:
    """The section on a calibration, with what `draw_calibration` has drawn."""
    images = " or ".join(dict.fromkeys(counted(c.images, "image") for c in results.values()))
    samples = max(c.sampling.samples for c in results.values())
    return Section(
        "Can the uncertainty be believed?",
        f"Of {images}, {samples} samples of each, ± standard error. {verdict(results)} {KNOWN} "
        "Left: how often central intervals hold the truth; middle: its rank among the samples; "
        "right: the error that remains when the pixels with the largest standard deviation are "
        "left out.",
        calibration_rows(results),
        (picture,),
    )


def rate_rows(rates: Rates) -> list[list[str]]:
    """The table of rates."""
    return [
        ["", "bits/dim"],
        ["prior, −log p(x)", rates.total.show(BITS)],
        *([f"{name}, −log p(x|y)", f.show(BITS)] for name, f in rates.conditional.items()),
    ]


def write_page(path: Path, title: str, sections: list[Section], seed: int = 0) -> None:
    """Write the page, with its pictures inside, and by what and when it was made.

    Args:
        path: The file.
        title: The heading.
        sections: What follows.
        seed: Of all draws.

    Raises:
        OutputError: It cannot be written.
    """
    made = f"cvdvae {version('cvdvae')}, seed {seed}, {date.today().isoformat()}."
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [f'<p class="note">{html.escape(line)}</p>' for line in (DISCLAIMER, made)]
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        body.append(f"<p>{html.escape(section.text)}</p>")
        if section.rows:
            body.append(_table(section.rows))
        for picture in section.pictures:
            data = base64.b64encode(picture.read_bytes()).decode()
            body.append(f'<img alt="{picture.stem}" src="data:image/png;base64,{data}">')
    write_text(
        path,
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n",
    )


def _table(rows: list[list[str]]) -> str:
    header, *lines = [[html.escape(cell) for cell in row] for row in rows]
    head = "".join(f"<th>{cell}</th>" for cell in header)
    rest = "\n".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines
    )
    return f"<table>\n<tr>{head}</tr>\n{rest}\n</table>"
