"""A pole balanced on a cart, which a force pushes along a rail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from setpoint.plants.interval import Interval
from setpoint.plants.plant import Plant, Signal


@dataclass(frozen=True)
class CartPole(Plant):
    """A uniform pole of half length l and mass m, hinged on a cart of mass M; angle 0 is upright.

    With total = M + m and push = (u + m l w² sin a) / total:
    w' = (g sin a − push cos a) / (l (4/3 − m cos² a / total)),  v' = push − m l w' cos a / total.

    | signal           | unit  | bounds      |
    | ---------------- | ----- | ----------- |
    | position         | m     | −1 … 1      |
    | velocity         | m/s   | −2 … 2      |
    | angle            | rad   | −0.5 … 0.5  |
    | angular velocity | rad/s | −3 … 3      |
    | force            | N     | −6 … 6      |

    Unstable in open loop (errors grow by a factor of 20,000 over the horizon), so it is evaluated in closed loop only.
    """

    name = "cart_pole"
    short_name = "cart"
    title = "cart-pole, balanced and brought to the middle"
    source = "A. G. Barto, R. S. Sutton, C. W. Anderson, IEEE Trans. SMC 13, 1983, without friction (as in Gymnasium)"
    states = (
        Signal("position", "m", -1.0, 1.0),
        Signal("velocity", "m/s", -2.0, 2.0),
        Signal("angle", "rad", -0.5, 0.5),
        Signal("angular_velocity", "rad/s", -3.0, 3.0),
    )
    controls = (Signal("force", "N", -6.0, 6.0),)
    family: ClassVar[Mapping[str, Interval]] = {
        "cart_mass": Interval(0.8, 1.2, 1.05, 1.15),
        "pole_mass": Interval(0.05, 0.2, 0.13, 0.17),
    }

    cart_mass: float = 1.0
    pole_mass: float = 0.1
    half_length: float = 0.5
    gravity: float = 9.81
    dt_s: float = 0.05

    def derivative(self, t: Any, x: Sequence[Any], u: Sequence[Any], xp: Any) -> tuple[Any, ...]:
        """Return (velocity, acceleration, angular velocity, angular acceleration)."""
        _, velocity, angle, rate = x
        sine, cosine = xp.sin(angle), xp.cos(angle)
        total = self.cart_mass + self.pole_mass
        moment = self.pole_mass * self.half_length
        push = (u[0] + moment * rate * rate * sine) / total
        # 4/3 is the moment of inertia of a uniform rod about its hinge, over m l² (Barto, Sutton & Anderson 1983).
        inertia = self.half_length * (4.0 / 3.0 - self.pole_mass * cosine * cosine / total)
        spin = (self.gravity * sine - cosine * push) / inertia
        return velocity, push - moment * spin * cosine / total, rate, spin

    @property
    def equations(self) -> tuple[str, ...]:
        """The equations in position x, velocity v, angle a and rate w, with p for the push; v' refers to w'."""
        total, moment = self.cart_mass + self.pole_mass, self.pole_mass * self.half_length
        push = f"(u + {moment:g}*w^2*sin(a))/{total:g}"
        inertia = f"({self.half_length:g}*(4/3 - {self.pole_mass / total:.4g}*cos(a)^2))"
        return (
            "x' = v",
            f"v' = p - {moment / total:.4g}*w'*cos(a)",
            "a' = w",
            f"w' = ({self.gravity:g}*sin(a) - p*cos(a))/{inertia} with p = {push}",
        )
