"""How a batch is cut up to fit into memory: the one place where micro-batch, accumulation and sampling are decided."""

from dataclasses import dataclass, replace

from setpoint.policies.runtime import Runtime


@dataclass(frozen=True)
class BatchLayout:
    """An optimizer step of `batch_size` rows, taken in parts that leave the objective as it is.

    Attributes:
        batch_size: rows (SFT) or completions (GRPO) of one optimizer step.
        micro_batch: rows of one forward and backward pass; divides the batch.
        generation_batch: completions sampled at a time, whole groups that divide the batch; not used by SFT.
        group_size: completions per prompt; 1 in SFT.
        reductions: how often memory ran out.
    """

    batch_size: int
    micro_batch: int
    generation_batch: int
    group_size: int = 1
    reductions: int = 0

    @classmethod
    def of(cls, runtime: Runtime, batch_size: int, group_size: int = 1) -> "BatchLayout":
        """The largest parts that `runtime` takes by default."""
        largest = min(batch_size, runtime.largest_micro_batch or batch_size)
        return cls(batch_size, _divisor(batch_size, largest), batch_size, group_size)

    @property
    def accumulation(self) -> int:
        """Passes per optimizer step."""
        return self.batch_size // self.micro_batch

    @property
    def steps_per_generation(self) -> int:
        """Passes that share the completions sampled at a time."""
        return self.generation_batch // self.micro_batch

    def smaller(self) -> "BatchLayout | None":
        """Half the memory at most; None where nothing is left to halve.

        Completions are sampled in smaller parts too, for it is not known whether sampling or the backward pass ran out.
        """
        if self.micro_batch == 1:
            return None
        micro_batch = _divisor(self.batch_size, self.micro_batch // 2)
        groups = self.generation_batch // self.group_size
        sampled = [
            count * self.group_size
            for count in range(1, max(1, groups // 2) + 1)
            if groups % count == 0 and count * self.group_size % micro_batch == 0
        ]
        generation_batch = max(sampled, default=self.generation_batch)
        return replace(self, micro_batch=micro_batch, generation_batch=generation_batch, reductions=self.reductions + 1)


def _divisor(number: int, largest: int) -> int:
    """The largest divisor of `number` up to `largest`."""
    return next(divisor for divisor in range(largest, 0, -1) if number % divisor == 0)
