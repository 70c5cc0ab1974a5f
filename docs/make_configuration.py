"""Writes docs/configuration.md, every key of a configuration, from the dataclasses that read them.

python docs/make_configuration.py
"""

import dataclasses
import inspect
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from cvdvae.data.folder import DataConfig
from cvdvae.hcflow import HCFlowConfig
from cvdvae.hvae import HVAEConfig
from cvdvae.hvae import notation as notation_of_blocks
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.training.config import (
    EncoderTraining,
    EnergyConfig,
    FlowTraining,
    OptimConfig,
    PriorTraining,
)

PAGE = Path(__file__).with_name("configuration.md")

SECTIONS: dict[str, type[Any]] = {
    "A prior: `cvdvae train prior`": PriorTraining,
    "An LR encoder: `cvdvae train encoder`": EncoderTraining,
    "A flow: `cvdvae train flow`": FlowTraining,
    "`data`: the images": DataConfig,
    "`optim`: the optimization": OptimConfig,
    "`energy`: how an encoder's draws are judged": EnergyConfig,
    "`model` of a prior": HVAEConfig,
    "`model` of an LR encoder": LREncoderConfig,
    "`model` of a flow": HCFlowConfig,
}

INTRODUCTION = """# Every key of a configuration

*Written by `python docs/make_configuration.py` from the dataclasses; a test keeps it up to date.*

A training is one YAML file: `cvdvae train prior --config my.yaml --out runs/my`. Those of the
bundled models are in [`configs/`](../configs) and can be named without their path (`--config
photos`). A key that is not known is refused by name.
"""


def attributes(cls: type[Any]) -> dict[str, str]:
    """What the docstring of a dataclass says of each attribute."""
    text = inspect.getdoc(cls) or ""
    block = re.search(r"Attributes:\n(.*?)(?:\n\S|\Z)", text, re.DOTALL)
    if block is None:
        return {}
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(block[1]).splitlines():
        start = re.match(r"(\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def default_of(field: "dataclasses.Field[Any]") -> str:
    """The default as YAML would say it, or that there is none."""
    value = field.default
    if dataclasses.is_dataclass(value):
        return "as below"
    if value is dataclasses.MISSING:
        if field.default_factory is dataclasses.MISSING:
            return "**needed**"
        value = field.default_factory()
    word = isinstance(value, str) and value.isalpha()
    return f"`{value if word else json.dumps(value)}`"


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, cls in SECTIONS.items():
        said = attributes(cls)
        lines = [f"## {title}\n", "| key | default | meaning |", "|---|---|---|"]
        for field in dataclasses.fields(cls):
            meaning = said.get(field.name, "").replace("|", "\\|")
            lines.append(f"| `{field.name}` | {default_of(field)} | {meaning} |")
        parts.append("\n".join(lines) + "\n")
    notation = inspect.getdoc(notation_of_blocks) or ""
    notation = re.sub(r"^=+  =+\n(.*?)\n=+  =+$", r"```\n\1\n```", notation, flags=re.S | re.M)
    parts.append(f"## The notation of blocks\n\n{notation}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
