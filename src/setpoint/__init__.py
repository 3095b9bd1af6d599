"""Train language models to control dynamical systems, and find out which training works.

>>> import setpoint as sp
>>> sweep = sp.Sweep(systems=["double_integrator"], parameters={"lora_rank": [4, 8]}, replicates=3)
>>> experiment = sweep.plan(workspace="work")  # checked; nothing is written
>>> experiment.run(workers=2)  # doctest: +SKIP

Names are imported when they are first used, so that `import setpoint` is fast and loads no heavy package.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

__version__ = "0.1.0"

if _TYPE_CHECKING:
    from setpoint.api.control import Simulation as Simulation
    from setpoint.api.control import optimal as optimal
    from setpoint.api.control import problem as problem
    from setpoint.api.control import register_system as register_system
    from setpoint.api.control import simulate as simulate
    from setpoint.api.control import systems as systems
    from setpoint.api.evaluation import Evaluation as Evaluation
    from setpoint.api.evaluation import evaluate as evaluate
    from setpoint.api.experiment import Experiment as Experiment
    from setpoint.api.experiment import load_experiment as load_experiment
    from setpoint.api.policies import load_policy as load_policy
    from setpoint.api.results import ClaimList as ClaimList
    from setpoint.api.results import Table as Table
    from setpoint.api.running import ReportInterrupted as ReportInterrupted
    from setpoint.api.running import RunInterrupted as RunInterrupted
    from setpoint.api.running import Slurm as Slurm
    from setpoint.api.side_by_side import Comparison as Comparison
    from setpoint.api.side_by_side import compare as compare
    from setpoint.api.specifications import Ablation as Ablation
    from setpoint.api.specifications import CrossSystem as CrossSystem
    from setpoint.api.specifications import Sweep as Sweep
    from setpoint.api.specifications import Train as Train
    from setpoint.api.specifications import Transfer as Transfer
    from setpoint.api.tables import TableAnalysis as TableAnalysis
    from setpoint.api.tables import analyze as analyze
    from setpoint.controllers import ClippedLqr as ClippedLqr
    from setpoint.controllers import Controller as Controller
    from setpoint.controllers import ControlPlan as ControlPlan
    from setpoint.controllers import FeedbackController as FeedbackController
    from setpoint.controllers import ZeroControl as ZeroControl
    from setpoint.controllers.mpc import ModelPredictive as ModelPredictive
    from setpoint.controllers.optimal import OptimalController as OptimalController
    from setpoint.controllers.tracking import TrackingLqr as TrackingLqr
    from setpoint.errors import InputError as InputError
    from setpoint.plants import Plant as Plant
    from setpoint.plants import Signal as Signal
    from setpoint.problems import Problem as Problem
    from setpoint.simulation import Disturbance as Disturbance

_PLACES = {
    "Ablation": "api.specifications",
    "ClaimList": "api.results",
    "ClippedLqr": "controllers",
    "Comparison": "api.side_by_side",
    "ControlPlan": "controllers",
    "Controller": "controllers",
    "CrossSystem": "api.specifications",
    "Disturbance": "simulation",
    "Evaluation": "api.evaluation",
    "Experiment": "api.experiment",
    "FeedbackController": "controllers",
    "InputError": "errors",
    "ModelPredictive": "controllers.mpc",
    "OptimalController": "controllers.optimal",
    "Plant": "plants",
    "Problem": "problems",
    "ReportInterrupted": "api.running",
    "RunInterrupted": "api.running",
    "Signal": "plants",
    "Simulation": "api.control",
    "Slurm": "api.running",
    "Sweep": "api.specifications",
    "Table": "api.results",
    "TableAnalysis": "api.tables",
    "TrackingLqr": "controllers.tracking",
    "Train": "api.specifications",
    "Transfer": "api.specifications",
    "ZeroControl": "controllers",
    "analyze": "api.tables",
    "compare": "api.side_by_side",
    "evaluate": "api.evaluation",
    "load_experiment": "api.experiment",
    "load_policy": "api.policies",
    "optimal": "api.control",
    "problem": "api.control",
    "register_system": "api.control",
    "simulate": "api.control",
    "systems": "api.control",
}
"""Public name -> the module below this package that defines it."""

__all__ = [*_PLACES]  # noqa: PLE0604  # the keys are text


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        from setpoint.errors import did_you_mean

        raise AttributeError(f"module 'setpoint' has no attribute {name!r}.{did_you_mean(name, __all__)}")
    from importlib import import_module

    value: object = getattr(import_module(f"setpoint.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
