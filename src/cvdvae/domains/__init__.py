"""What images a model knows: framing, wording, examples."""

from .base import DOMAINS, Domain, domain_of, domain_of_model, register
from .faces import FACES
from .photos import PHOTOS

__all__ = ["DOMAINS", "FACES", "PHOTOS", "Domain", "domain_of", "domain_of_model", "register"]
