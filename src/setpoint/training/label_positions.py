"""Score the positions of labels only.

TRL computes the loss from the rows of the output layer that have a label, on devices with Triton. Elsewhere it computes
all rows and discards those of the prompt, although PyTorch accepts any number of rows on a CPU. With a vocabulary of
50,000 the output layer is a large part of a small model.
"""

from typing import Any


def score_labels_only() -> bool:
    """Let TRL select the labelled rows on every device; return whether this version of TRL can."""
    from trl.trainer import utils

    if not hasattr(utils, "_use_triton"):
        return False

    def select(_device: Any) -> bool:
        return True

    utils._use_triton = select
    return True
