"""Random plants with one to seven states and one to three controls, and the equations that a prompt prints.

The states form chains of integrators, one per control or fewer controls than chains; the end of a chain is driven by
all states, by products of states, sines and cosines, and by the controls. First-order chains give plants such as a
tumbling body, second-order ones mechanical systems, a chain without a control an underactuated plant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from setpoint.plants import Plant, Signal
from setpoint.pretraining.dynamics import Dynamics, Product

LARGEST_ORDER = 7
_FUNCTIONS = ("sin", "cos")
_NAMES = (("x", "v", "c"), ("a", "w", "k"), ("y", "s", "d"), ("r", "p", "q"), ("z", "h", "g"))
"""Names of the states of one chain: position, rate and acceleration."""
_INDEXED = (("s", "w", "c"), ("x", "v", "p"), ("w", "q", "d"), ("q", "r", "k"), ("a", "w", "c"))


@dataclass(frozen=True)
class RandomPlant:
    """A drawn plant.

    Attributes:
        a, b: linear part, (n_x, n_x) and (n_x, n_u).
        products: nonlinear terms.
        names: names of the states.
        divisors: number by which the printed right-hand side of each state is divided; 1 for none.
        dt_s: grid interval.
        half_width: half widths of the initial set, (n_x,).
        coefficients: of the second-order family; empty for other plants.
    """

    a: np.ndarray
    b: np.ndarray
    products: tuple[Product, ...]
    names: tuple[str, ...]
    divisors: tuple[float, ...]
    dt_s: float
    half_width: np.ndarray
    coefficients: dict[str, float]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of states and of controls."""
        return self.b.shape[0], self.b.shape[1]

    def equations(self) -> tuple[str, ...]:
        """Return the equations as text, in the style of `Plant.equations`."""
        n_u = self.b.shape[1]
        inputs = ("u",) if n_u == 1 else tuple(f"u{k + 1}" for k in range(n_u))
        texts = []
        for row, name in enumerate(self.names):
            linear = [(value, self.names[k]) for k, value in enumerate(self.a[row])]
            linear += [(value, inputs[k]) for k, value in enumerate(self.b[row])]
            others = [(p.coefficient, self._product_text(p, inputs)) for p in self.products if p.row == row]
            divisor = self.divisors[row]
            right = _sum_text([(value * divisor, text) for value, text in [*others, *linear] if value])
            texts.append(f"{name}' = {right}" if divisor == 1 else f"{name}' = ({right})/{divisor:g}")
        return tuple(texts)

    def _product_text(self, product: Product, inputs: tuple[str, ...]) -> str:
        powers: dict[str, int] = {}
        for kind, index in product.factors:
            name = inputs[index] if kind == "u" else self.names[index]
            text = f"{kind}({name})" if kind in _FUNCTIONS else name
            powers[text] = powers.get(text, 0) + 1
        return "*".join(text if power == 1 else f"{text}^{power}" for text, power in powers.items())


def stacked(plants: list[RandomPlant]) -> Dynamics:
    """Return plants of equal shape as one batch."""
    columns = ([getattr(plant, name) for plant in plants] for name in ("a", "b", "products", "dt_s"))
    return Dynamics.of(*columns)


def draw_second_order(rng: np.random.Generator) -> RandomPlant:
    """Draw a plant of the second-order family (`setpoint.plants.second_order`)."""
    stiffness = rng.uniform(-4, 4) if rng.random() < 0.6 else rng.uniform(4, 12)
    share = rng.choice([0.0, 1.0, rng.random()], p=[0.5, 0.25, 0.25])
    c = {
        "a": _sparse(rng, stiffness * (1 - share)),
        "b": _sparse(rng, rng.uniform(-1.5, 1.5)),
        "c": _sparse(rng, rng.uniform(-2, 2)),
        "d": _sparse(rng, rng.uniform(-1.5, 1.5)),
        "g": _sparse(rng, stiffness * share, 0.1),
        "e": 1.0 if rng.random() < 0.3 else round(float(rng.uniform(0.5, 1.5)), 2),
    }
    fast = c["a"] + c["g"] > 5
    x, v = ("x", 0), ("x", 1)
    products = ((c["c"], (x, x, x)), (c["d"], (x, x, v)), (c["g"], (("sin", 0),)))
    return RandomPlant(
        a=np.array([[0.0, 1.0], [c["a"], c["b"]]]),
        b=np.array([[0.0], [c["e"]]]),
        products=tuple(Product(1, value, factors) for value, factors in products if value),
        names=("x", "v"),
        divisors=(1.0, 1.0),
        dt_s=0.05 if fast and rng.random() < 0.8 else float(rng.choice([0.05, 0.1, 0.15])),
        half_width=rng.uniform(0.3, 1.6, 2) if rng.random() < 0.85 else rng.uniform(1.0, 3.2, 2),
        coefficients=c,
    )


def draw_chains(rng: np.random.Generator) -> RandomPlant:
    """Draw a plant of chains of integrators with coupled ends."""
    lengths = _chain_lengths(rng)
    chains, n_x = len(lengths), sum(lengths)
    underactuated = chains > 1 and chains < 4 and rng.random() < 0.3
    n_u = min(3, chains - 1 if underactuated or chains > 3 else chains)
    order = _state_order(lengths, grouped=rng.random() < 0.5)
    scale = 10 ** rng.uniform(-1.2, 0.2) * 10 ** rng.uniform(-0.3, 0.3, n_x)
    dt_s = float(rng.choice([0.05, 0.1, 0.1, 0.15, 0.2]))
    pace = 1.0 / (0.1 + 10 * dt_s)  # slower dynamics on coarser grids
    a, b = np.zeros((n_x, n_x)), np.zeros((n_x, n_u))
    ends = []
    for chain, length in enumerate(lengths):
        places = [order[(chain, k)] for k in range(length)]
        for here, following in pairwise(places):
            a[here, following] = 1.0 if rng.random() < 0.8 else _rounded(rng.uniform(0.3, 2.0))
        ends.append(places[-1])
    gain = 10 ** rng.uniform(-0.3, 0.5)
    coupling = rng.choice([0.0, 0.15, 0.4, 0.8])
    for chain, end in enumerate(ends):
        dense = rng.random(n_x) < coupling
        dense[[order[(chain, k)] for k in range(lengths[chain])]] |= rng.random(lengths[chain]) < 0.7
        strength = 4.0 * pace * gain * rng.uniform(-0.7, 1.0, n_x)
        a[end] = [_rounded(value) if on else 0.0 for value, on in zip(strength, dense, strict=True)]
        if chain < n_u or not underactuated:
            b[end, chain % n_u] = 1.0 if rng.random() < 0.5 else _rounded(rng.uniform(0.4, 2.0))
        if underactuated or rng.random() < 0.2:
            other = int(rng.integers(n_u))
            b[end, other] = b[end, other] or _rounded(rng.choice([-1, 1]) * rng.uniform(0.3, 1.8))
    products = _draw_products(rng, n_x, n_u, ends, scale, pace) if rng.random() < 0.6 else ()
    divisors = np.ones(n_x)
    if rng.random() < 0.35:
        divisors[ends] = [float(_rounded(rng.uniform(0.5, 3.0), 2)) for _ in ends]
    return RandomPlant(
        a=a,
        b=b,
        products=products,
        names=_state_names(rng, lengths, order),
        divisors=tuple(divisors.tolist()),
        dt_s=dt_s,
        half_width=np.array([_rounded(value, 2) for value in scale]),
        coefficients={},
    )


def drawn_plant(plant: RandomPlant, name: str, u_bound: np.ndarray, x_lower: np.ndarray, x_upper: np.ndarray) -> Plant:
    """Return the plant with bounds as a `Plant`, for prompts and for the certified solver."""
    drawn = plant
    n_u = plant.shape[1]

    @dataclass(frozen=True)
    class Drawn(Plant):
        short_name: ClassVar[str] = name
        title: ClassVar[str] = "random plant"
        source: ClassVar[str] = "setpoint.pretraining"
        states = tuple(
            Signal(text, "1", float(low), float(high))
            for text, low, high in zip(drawn.names, x_lower, x_upper, strict=True)
        )
        controls = tuple(Signal(f"input_{k + 1}", "1", -float(u_bound[k]), float(u_bound[k])) for k in range(n_u))
        dt_s: float = drawn.dt_s

        def derivative(self, t: Any, x: Any, u: Any, xp: Any) -> tuple[Any, ...]:
            return slopes(drawn, x, u, xp)

        @property
        def coefficients(self) -> dict[str, float]:
            return drawn.coefficients

        @property
        def equations(self) -> tuple[str, ...]:
            return drawn.equations()

    Drawn.name = name
    return Drawn()


def slopes(plant: RandomPlant, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
    """Return x' of one plant from components, as `Plant.derivative` does."""
    n_x, n_u = plant.shape
    slope = [
        sum(plant.a[i, j] * x[j] for j in range(n_x)) + sum(plant.b[i, k] * u[k] for k in range(n_u)) + 0.0 * x[0]
        for i in range(n_x)
    ]
    for product in plant.products:
        value = product.coefficient
        for kind, index in product.factors:
            value = value * (u[index] if kind == "u" else getattr(xp, kind)(x[index]) if kind != "x" else x[index])
        slope[product.row] = slope[product.row] + value
    return tuple(slope)


def _chain_lengths(rng: np.random.Generator) -> list[int]:
    kind = rng.choice(["first", "second", "mixed"], p=[0.25, 0.5, 0.25])
    if kind == "first":
        return [1] * int(rng.choice([1, 2, 3, 4], p=[0.1, 0.3, 0.5, 0.1]))
    if kind == "second":
        return [2] * int(rng.choice([1, 2, 3], p=[0.15, 0.55, 0.3]))
    lengths = [int(length) for length in rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2], size=rng.integers(1, 5))]
    while sum(lengths) > LARGEST_ORDER:
        lengths.pop()
    return lengths


def _state_order(lengths: list[int], *, grouped: bool) -> dict[tuple[int, int], int]:
    """Return (chain, place in it) -> position of the state: chain by chain, or all positions before all rates."""
    places = [(chain, k) for chain, length in enumerate(lengths) for k in range(length)]
    if grouped:
        places.sort(key=lambda place: (place[1], place[0]))
    return {place: position for position, place in enumerate(places)}


def _state_names(rng: np.random.Generator, lengths: list[int], order: dict[tuple[int, int], int]) -> tuple[str, ...]:
    first = int(rng.integers(2)) if max(lengths) < len(_NAMES[0]) else 0
    rows = rng.permutation(len(_NAMES))
    letters = _INDEXED[rng.integers(len(_INDEXED))] if rng.random() < 0.35 and len(lengths) > 1 else None
    names = [""] * len(order)
    for (chain, k), position in order.items():
        names[position] = f"{letters[k + first]}{chain + 1}" if letters else _NAMES[rows[chain]][k + first]
    return tuple(names)


def _draw_products(
    rng: np.random.Generator, n_x: int, n_u: int, ends: list[int], scale: np.ndarray, pace: float
) -> tuple[Product, ...]:
    """Draw one to five products whose size at the edge of the initial set is comparable with the linear part."""
    found = []
    for _ in range(int(rng.integers(1, 6))):
        row = int(rng.choice(ends))
        i, j, k = (int(index) for index in rng.integers(0, n_x, 3))
        kinds: list[tuple[tuple[str, int], ...]] = [
            (("x", i), ("x", j)),
            (("x", i), ("x", j)),
            (("x", i), ("x", i), ("x", i)),
            (("x", i), ("x", i), ("x", j)),
            (("x", i), ("x", j), ("x", k)),
            (("sin", i),),
            (("x", j), ("cos", i)),
            (("x", j), ("x", j), ("sin", i)),
            (("u", int(rng.integers(n_u))), ("cos", i)),
        ]
        factors = kinds[rng.integers(len(kinds))]
        size = np.prod([scale[index] if kind in {"x", "sin"} else 1.0 for kind, index in factors])
        wanted = 3.0 * pace * rng.uniform(-1, 1) * scale[row]
        limit = 1.0 if factors[0][0] == "u" else 12.0 * pace
        coefficient = _rounded(float(np.clip(wanted / max(size, 1e-9), -limit, limit)))
        if coefficient:
            found.append(Product(row, coefficient, factors))
    return tuple(found)


def _sparse(rng: np.random.Generator, value: float, zero_share: float = 0.3) -> float:
    """Return `value` rounded to two decimals, as in the prompt, or zero with probability `zero_share`."""
    return 0.0 if rng.random() < zero_share else round(float(value), 2)


def _rounded(value: float, digits: int = 2) -> float:
    """Round to significant digits."""
    return float(f"{value:.{digits}g}")


def _sum_text(terms: list[tuple[float, str]]) -> str:
    text = ""
    for value, name in terms:
        size = f"{abs(value):.4g}"
        term = name if size == "1" else f"{size}*{name}"
        sign = "-" if value < 0 else ""
        text += f"{sign}{term}" if not text else f" {'-' if value < 0 else '+'} {term}"
    return text or "0"
