"""Advice after SLURM rejected a request: what this user could ask for instead."""

import re
from difflib import get_close_matches

from setpoint.execution.slurm.client import Client, Node, Unavailable
from setpoint.execution.slurm.script import Batch, Site

_MOST_NAMED = 12
_ACCOUNT = re.compile(r"account", re.I)
_QOS = re.compile(r"\bqos\b", re.I)
_RESERVATION = re.compile(r"reservation", re.I)
_CONSTRAINT = re.compile(r"feature|constraint", re.I)
_LIMIT = re.compile(r"limit", re.I)


def nearest_fit(client: Client, site: Site, batch: Batch, reason: str = "") -> str:
    """Describe what is on offer to this user, as advice after a rejected request.

    Args:
        reason: SLURM's reason.
    """
    wanted = site.profile.allocation(gpu=batch.gpu)
    try:
        nodes = client.nodes()
        partitions = sorted({node.partition for node in nodes})
        if wanted.get("partition") and wanted["partition"] not in partitions:
            return _instead("partition", wanted["partition"], partitions)
        if not _LIMIT.search(reason):
            named = _named(client, wanted, reason)
            if named:
                return named
    except Unavailable:
        return ""
    here = [node for node in nodes if wanted.get("partition") in {None, node.partition}]
    offers = sorted({_offer(node) for node in here})
    requested = ", ".join(f"{name}={value}" for name, value in batch.resources.options())
    return (
        f"Requested: {requested}; available: {'; '.join(offers)}. Lower --resource-limits, or choose another partition."
    )


def _named(client: Client, wanted: dict[str, str], reason: str) -> str:
    """Return advice if the reason is a name that SLURM does not accept from this user; empty otherwise."""
    if _RESERVATION.search(reason):
        return _instead("reservation", wanted.get("reservation", ""), client.reservations())
    if _CONSTRAINT.search(reason):
        return _instead("constraint", wanted.get("constraint", ""), client.features())
    associations = client.associations() if _ACCOUNT.search(reason) or _QOS.search(reason) else []
    if _ACCOUNT.search(reason) and not _QOS.search(reason):
        on = wanted.get("partition")
        accounts = sorted({each.account for each in associations if each.partition in {"", on}})
        return _instead("account", wanted.get("account", ""), accounts)
    if _QOS.search(reason):
        account = wanted.get("account")
        return _instead(
            "qos",
            wanted.get("qos", ""),
            sorted({name for each in associations if account in {None, each.account} for name in each.qos}),
        )
    return ""


def _instead(what: str, wanted: str, available: list[str]) -> str:
    near = get_close_matches(wanted, available, n=1, cutoff=0.3) if wanted else []
    nearest = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(available[:_MOST_NAMED]) + (", …" if len(available) > _MOST_NAMED else "")
    subject = f"You cannot use {what} {wanted!r}" if wanted else f"Set {what!r} in the profile"
    if what == "partition":
        subject = f"There is no partition {wanted!r}"
    return f"{subject}.{nearest} Available: {shown or 'none'}."


def _offer(node: Node) -> str:
    gres = "" if node.gres in {"", "(null)"} else f", {node.gres}"
    limit = "no time limit" if node.time_min is None else f"{node.time_min} min"
    return f"{node.partition}: {node.cpus} cpus, {node.mem_mb}M{gres}, {limit}"
