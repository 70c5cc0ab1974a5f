"""Super-resolution by a conditional flow, x ~ p(x|y)."""

import torch
from torch import Tensor, nn

from ..checkpoints.records import Recommended
from ..errors import InputError
from ..gaussian.noise import Inside, Noise
from ..hcflow import HCFlow
from .bands import Drawer
from .sampler import SuperResolver
from .settings import Sampling


class FlowResolver(SuperResolver):
    """A conditional flow; the temperature is that of all its details.

    Args:
        flow: The flow.
        name: What results call the model.
        recommended: Its temperature for draws that name none.
    """

    method = "flow"

    def __init__(self, flow: HCFlow, name: str, recommended: Recommended = Recommended()) -> None:
        config = flow.config
        super().__init__(name, config.scale, recommended, config.image_size, config.any_size)
        self.flow = flow

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The flow."""
        return (self.flow,)

    @property
    def largest_state(self) -> float:
        """That of the finest features: what a dense block of theirs holds at the end."""
        return (self.flow.config.features + 4 * self.flow.config.growth) / 4

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "FlowResolver":
        """Move the weights.

        Raises:
            InputError: There is no such device here, or the dtype is not float32.
        """
        if dtype not in (None, torch.float32):
            why = "in bf16 no inverse is one" if dtype == torch.bfloat16 else f"not in {dtype}"
            raise InputError(f"the flow {self.name} computes in fp32: {why}")
        super().to(device, dtype)
        return self

    def drawer(self, y: Tensor, sampling: Sampling, inside: Inside) -> Drawer:
        """Nothing is shared: finer features depend on the details drawn before.

        Args:
            y: The image, or what a tile sees of it.
            sampling: How to draw.
            inside: Rows and columns of the high-resolution images that are wanted.
        """

        def draw(noise: Noise, n: int) -> Tensor:
            x = self.flow.sample(y.expand(n, -1, -1, -1), noise, sampling.temperature)
            return x[..., *inside]

        return draw
