"""Split batches to fit into memory: micro-batch size, gradient accumulation and generation batch size."""

from dataclasses import dataclass, replace

from setpoint.policies.runtime import Runtime


@dataclass(frozen=True)
class BatchLayout:
    """Layout of an optimizer step of `batch_size` rows; the split does not change the objective.

    Attributes:
        batch_size: rows (SFT) or completions (GRPO) per optimizer step.
        micro_batch: rows per forward and backward pass; divides `batch_size`.
        generation_batch: completions sampled at a time, in complete groups; divides `batch_size`; unused in SFT.
        group_size: completions per prompt; 1 in SFT.
        reductions: number of reductions after running out of memory.
    """

    batch_size: int
    micro_batch: int
    generation_batch: int
    group_size: int = 1
    reductions: int = 0

    @classmethod
    def of(cls, runtime: Runtime, batch_size: int, group_size: int = 1) -> "BatchLayout":
        """Return the layout with the largest parts that `runtime` allows."""
        largest = min(batch_size, runtime.largest_micro_batch or batch_size)
        return cls(batch_size, _divisor(batch_size, largest), batch_size, group_size)

    @property
    def accumulation(self) -> int:
        """Passes per optimizer step."""
        return self.batch_size // self.micro_batch

    @property
    def steps_per_generation(self) -> int:
        """Passes per generation batch."""
        return self.generation_batch // self.micro_batch

    def smaller(self) -> "BatchLayout | None":
        """Return a layout that needs at most half the memory, or None if the micro-batch is a single row.

        The generation batch is reduced, too: either sampling or the backward pass may have run out of memory.
        """
        if self.micro_batch == 1:
            return None
        micro_batch = _divisor(self.batch_size, self.micro_batch // 2)
        groups = self.generation_batch // self.group_size
        # TRL samples micro_batch * steps_per_generation completions at once, in complete groups.
        sampled = [
            count * self.group_size
            for count in range(1, max(1, groups // 2) + 1)
            if groups % count == 0 and count * self.group_size % micro_batch == 0
        ]
        generation_batch = max(sampled, default=self.generation_batch)
        return replace(self, micro_batch=micro_batch, generation_batch=generation_batch, reductions=self.reductions + 1)


def _divisor(number: int, largest: int) -> int:
    """Return the largest divisor of `number` that is at most `largest`."""
    return next(divisor for divisor in range(largest, 0, -1) if number % divisor == 0)
