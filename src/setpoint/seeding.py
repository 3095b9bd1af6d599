"""Seeds derived from names: each row and run has its own random stream, independent of process and order."""

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def derive_seed(*parts: str | int) -> int:
    """Return a 63-bit seed from `parts`; the same parts give the same seed on every machine."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: str | int) -> "np.random.Generator":
    """Return a NumPy generator seeded by `derive_seed(*parts)`."""
    import numpy as np

    return np.random.default_rng(derive_seed(*parts))
