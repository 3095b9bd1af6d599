"""The distribution of the studentized range, by Gauss–Legendre quadrature.

Agrees with scipy's to nine digits for a handful of groups and is about twenty times faster, which a simulation of
thousands of experiments needs.
"""

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float

_NORMAL_NODES = {nodes: np.polynomial.legendre.leggauss(nodes) for nodes in (48, 128)}
_FEW_GROUPS = 10
"""Up to so many groups the integrand is smooth enough for the short rule."""
_NODES_S, _WEIGHTS_S = np.polynomial.legendre.leggauss(64)
_CHART_FROM, _CHART_NODES = 2.0, 16
_REACH = 8.0
"""Beyond so many standard deviations the normal density is nothing."""


def survival(q: float, count: int, df: float) -> float:
    """P(range of `count` standard normals / independent scale with `df` degrees of freedom > `q`)."""
    scale, density = _scale_density(df)
    below = float(density @ _range_distribution(q * scale, count))
    return min(1.0, max(0.0, 1.0 - below))


def critical_value(alpha: float, count: int, df: float) -> float:
    """The q with `survival(q, count, df)` = `alpha`, to six digits or better."""
    if df < _CHART_FROM:
        return _solve(alpha, count, df)
    # log q is a smooth function of 1/df, so a few exact values give all others.
    return math.exp(float(np.polynomial.chebyshev.chebval(2.0 * _CHART_FROM / df - 1.0, _chart(alpha, count))))


@lru_cache(maxsize=256)
def _chart(alpha: float, count: int) -> Float[np.ndarray, "coefficients"]:
    """Chebyshev coefficients of log q over 1/df, from df = `_CHART_FROM` to infinity."""
    nodes = np.cos(np.pi * (np.arange(_CHART_NODES) + 0.5) / _CHART_NODES)
    values = [math.log(_solve(alpha, count, 2.0 * _CHART_FROM / (node + 1.0))) for node in nodes.tolist()]
    return np.asarray(np.polynomial.chebyshev.chebfit(nodes, values, _CHART_NODES - 1))


@lru_cache(maxsize=4096)
def _solve(alpha: float, count: int, df: float) -> float:
    low, high = 0.0, 2.0
    while survival(high, count, df) > alpha:
        low, high = high, 1.6 * high
    f_low, f_high = survival(low, count, df) - alpha, survival(high, count, df) - alpha
    while high - low > 1e-9 * high:
        # Illinois: a secant step that never lets one end rest.
        middle = high - f_high * (high - low) / (f_high - f_low)
        middle = min(max(middle, low + 1e-10 * high), high - 1e-10 * high)
        value = survival(middle, count, df) - alpha
        if value == 0.0:
            return middle
        if value * f_high < 0.0:
            low, f_low = high, f_high
        else:
            f_low /= 2.0
        high, f_high = middle, value
        if high < low:
            low, high, f_low, f_high = high, low, f_high, f_low
        if abs(value) < 1e-10:
            return middle
    return high


def _range_distribution(width: Float[np.ndarray, " s"], count: int) -> Float[np.ndarray, " s"]:
    """P(range of `count` standard normals ≤ width)."""
    from scipy import special

    nodes, weights = _NORMAL_NODES[48 if count <= _FEW_GROUPS else 128]
    z = _REACH * nodes
    weight = _REACH * weights * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    inside = special.ndtr(z)[None, :] - special.ndtr(z[None, :] - width[:, None])
    return np.asarray(count * _power(np.clip(inside, 0.0, 1.0), count - 1) @ weight)


def _power(base: Float[np.ndarray, "s z"], exponent: int) -> Float[np.ndarray, "s z"]:
    """`base` to a positive whole power by squaring, which for dozens of groups takes a third of the time of `**`."""
    result: Float[np.ndarray, "s z"] | None = None
    while True:
        if exponent % 2:
            result = base if result is None else result * base
        exponent //= 2
        if not exponent and result is not None:
            return result
        base = base * base


@lru_cache(maxsize=1024)
def _scale_density(df: float) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Nodes of the scale √(χ²/df) and its density times the quadrature weights."""
    from scipy import special

    low, high = (math.sqrt(2.0 * float(special.gammaincinv(df / 2.0, p)) / df) for p in (1e-14, 1.0 - 1e-14))
    # Squared nodes are denser near zero, where a small df makes the range change fastest.
    root_low, root_high = math.sqrt(low), math.sqrt(high)
    root = 0.5 * (root_high - root_low) * _NODES_S + 0.5 * (root_high + root_low)
    scale = root**2
    jacobian = (root_high - root_low) * root
    constant = 0.5 * df * math.log(df) - float(special.gammaln(df / 2.0)) - (df / 2.0 - 1.0) * math.log(2.0)
    log_density = constant + (df - 1.0) * np.log(scale) - df * scale**2 / 2.0
    return scale, _WEIGHTS_S * jacobian * np.exp(log_density)
