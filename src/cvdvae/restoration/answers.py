"""What samples agree on, whatever was seen."""

from torch import Tensor, zeros_like


class Answers:
    """Samples, of which some may have exploded.

    Attributes:
        samples: Float in [0, 1], ``(N, C, H, W)``.
        exploded: Which came out of the model not finite or far outside of any image; they were cut
            to [0, 1], and are no answer.
    """

    samples: Tensor
    exploded: list[bool]

    @property
    def answers(self) -> Tensor:
        """The samples without those that exploded; all of them where none is left."""
        kept = [i for i, bad in enumerate(self.exploded) if not bad]
        return self.samples[kept] if kept else self.samples

    @property
    def mean(self) -> Tensor:
        """Mean of the answers, ``(C, H, W)``, which has the least expected squared error."""
        return self.answers.mean(0)

    @property
    def std(self) -> Tensor:
        """Where the samples disagree: standard deviation, root mean square over colours, (H, W)."""
        if len(self.answers) == 1:
            return zeros_like(self.samples[0, 0])
        return self.answers.var(0, correction=1).mean(0).sqrt()
