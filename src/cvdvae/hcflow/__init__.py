"""HCFlow, a hierarchical conditional flow for super-resolution (Liang et al. 2021)."""

from .config import HCFlowConfig
from .flow import HCFlow

__all__ = ["HCFlow", "HCFlowConfig"]
