"""Generate and submit scripts for all stages of an experiment: one job array per dependency level and stage kind."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from setpoint.artifacts import StageKind, Workspace, create_json, open_for_writing, write_json, write_text
from setpoint.errors import InputError, SetpointError
from setpoint.execution.slurm import (
    Batch,
    Client,
    Link,
    Profile,
    Refused,
    Resources,
    SlurmExecutor,
    SubmitLimit,
    Unavailable,
    write_batch,
)
from setpoint.execution.slurm.client import ClusterLimits
from setpoint.execution.slurm.executor import ResourceRequest
from setpoint.execution.slurm.offers import nearest_fit
from setpoint.execution.slurm.resources import NAMES, duration
from setpoint.execution.slurm.script import (
    LOGS,
    Site,
    add_job,
    job_name,
    plain_text,
    read_batch,
    submit_text,
)
from setpoint.execution.slurm.tracking import RECORDS
from setpoint.experiments.cost.cluster import estimated_needs
from setpoint.experiments.launch import Preparation, write_prediction
from setpoint.experiments.planning.designs import searched
from setpoint.experiments.running.commands import command
from setpoint.experiments.running.lease import lease
from setpoint.experiments.running.status import read_stages
from setpoint.records.plan import Plan, plan_path, read_plan
from setpoint.records.state import StageStatus

CPU_KINDS = frozenset({StageKind.REFERENCE})
"""Kinds of stages that never use a GPU."""
SUBMIT = "submit.sh"
PROFILE = "profile.yaml"
"""The experiment's latest cluster profile; it applies when the experiment is resumed without one."""
COLLECT = "collect"
RECORD = "record"
COORDINATE = "coordinate"
HELPERS = (COLLECT, RECORD, COORDINATE)
"""Names of the scripts without stages."""
_COORDINATOR_MIN = 8 * 60


@dataclass(frozen=True, slots=True)
class Cluster:
    """How an experiment uses the cluster.

    Attributes:
        command: words that start the command line on a node; by default the interpreter in use here.
        named: resources that the user set explicitly; memory and time are estimated if not among them.
    """

    profile: Profile
    resources: Resources
    command: tuple[str, ...] = ()
    named: frozenset[str] = frozenset(NAMES)

    def site(self, workspace: Workspace, experiment: str) -> Site:
        """Return the site on which the experiment's jobs run."""
        activated = self.profile.venv or self.profile.conda
        here = ("setpoint",) if activated else (sys.executable, "-P", "-m", "setpoint")
        return Site(workspace.root.absolute(), experiment, self.profile, self.command or here)


@dataclass(frozen=True, slots=True)
class GeneratedScripts:
    """Scripts of an experiment, in the order of submission.

    Attributes:
        folder: folder of the scripts, including `submit.sh`.
        recorder: whether jobs record how arrays ended, because the cluster has no accounting.
    """

    workspace: Workspace
    site: Site
    folder: Path
    batches: tuple[Batch, ...]
    recorder: bool

    @property
    def submit(self) -> Path:
        """Script that submits everything."""
        return self.folder / SUBMIT


def executor(workspace: Workspace, plan: Plan, cluster: Cluster, client: Client) -> SlurmExecutor:
    """Return the executor that runs the plan's stages as SLURM jobs."""
    site = cluster.site(workspace, plan.experiment)
    _keep_profile(site, cluster)
    return SlurmExecutor(client, site, _resource_request(workspace, plan, cluster))


def _resource_request(workspace: Workspace, plan: Plan, cluster: Cluster) -> ResourceRequest:
    """Return the resources to request for each stage, with a comment per stage."""
    usual, named = cluster.resources, cluster.named
    needs = estimated_needs(workspace, plan, usual, named, warning_s=cluster.profile.signal_s)
    return ResourceRequest(usual, CPU_KINDS, _comments(plan), needs)


def _keep_profile(site: Site, cluster: Cluster) -> None:
    fields = cluster.profile.model_dump(exclude_defaults=True)
    write_json(site.folder / PROFILE, {**fields, "resources": cluster.resources.text(cluster.named)})


def freeze(prepared: Preparation) -> None:
    """Write the plan of an experiment, which must not change afterwards.

    Raises:
        InputError: another coordinator holds the experiment, or has frozen a different plan, or it is a search.
    """
    request, plan = prepared.request, prepared.plan
    if searched(request.spec) is not None:
        raise InputError("a search runs on one machine, not on SLURM. Use `setpoint experiment run` there.")
    if request.existing == plan and plan_path(request.folder).exists():
        return
    with lease(request.folder):
        if not create_json(plan_path(request.folder), plan.to_file()) and read_plan(request.folder) != plan:
            raise InputError(
                f"experiment {request.experiment_id!r} was planned by another process. Run the command again."
            )
        write_prediction(prepared, workers=len(plan.stages))


def generate(workspace: Workspace, plan: Plan, cluster: Cluster, limits: ClusterLimits) -> GeneratedScripts:
    """Write scripts for every unfinished stage. Earlier scripts are kept, because their jobs may still run.

    Raises:
        InputError: every stage has finished.
    """
    open_for_writing(workspace.experiment(plan.experiment))
    site = cluster.site(workspace, plan.experiment)
    folder = _new_folder(site.folder)
    open_stages = {
        name for name, state in read_stages(workspace, plan).items() if state.status is not StageStatus.FINISHED
    }
    if not open_stages:
        raise InputError(
            f"every stage of experiment {plan.experiment!r} is finished already. "
            f"Run `setpoint report {plan.experiment}` to write its report."
        )
    request = _resource_request(workspace, plan, cluster)
    batches = tuple(_batches(plan, open_stages, request, folder, limits.max_array_size, site.token))
    for batch in batches:
        write_batch(site, batch)
    _keep_profile(site, cluster)
    recorder = not limits.accounting
    _write_helpers(site, folder, recorder=recorder, longest_min=_longest_min(cluster))
    write_text(
        folder / SUBMIT,
        submit_text(site, batches, folder / f"{COLLECT}.sbatch", folder / f"{RECORD}.sbatch" if recorder else None),
    )
    (folder / SUBMIT).chmod(0o755)
    return GeneratedScripts(workspace, site, folder, batches, recorder)


def submit(generated: GeneratedScripts, client: Client) -> dict[str, str]:
    """Submit the scripts as `submit.sh` does; return batch name -> job id.

    Raises:
        Refused: SLURM rejected a script; the message has its reason and the nearest request that it would accept.
        SetpointError: SLURM accepted only a part, or does not respond.

    After an error the jobs submitted so far are cancelled.
    """
    client.require()
    jobs: dict[str, str] = {}
    try:
        for batch in generated.batches:
            after = ",".join(f"{link.kind}:{jobs[link.batch]}" for link in batch.after)
            options = [f"--dependency={after}"] if after else []
            array = jobs[batch.name] = client.submit(batch.script, options, name=batch.name)
            add_job(batch.jobs_file, array)
            if generated.recorder:
                _submit_helper(
                    generated, RECORD, client, f"--dependency=afterany:{array}", f"--export=ALL,recorded={array}"
                )
        _submit_helper(generated, COLLECT, client, f"--dependency=afterany:{':'.join(jobs.values())}")
    except SetpointError as error:
        _withdraw(client, generated)
        raise _explained(error, generated, client, len(jobs)) from error
    return jobs


def _explained(error: SetpointError, generated: GeneratedScripts, client: Client, taken: int) -> SetpointError:
    batch = generated.batches[min(taken, len(generated.batches) - 1)]
    if isinstance(error, Refused):
        fit = nearest_fit(client, generated.site, batch, str(error))
        return Refused(f"SLURM rejected {batch.script.name!r}: {error}. {fit}")
    if isinstance(error, SubmitLimit):
        tasks = sum(len(each.stages) for each in generated.batches)
        return InputError(
            f"SLURM does not accept all {tasks} stages at once: {error}. Use `setpoint experiment run --on slurm`, "
            "which submits them as queue slots free up. The jobs submitted so far were cancelled."
        )
    if isinstance(error, Unavailable):
        later = command(generated.workspace, generated.site.experiment, "slurm", "submit")
        return Unavailable(f"SLURM does not answer: {error}. Submit the scripts later with `{later}`.")
    return error


def _submit_helper(generated: GeneratedScripts, name: str, client: Client, *options: str) -> None:
    job = client.submit(
        generated.folder / f"{name}.sbatch", options, name=helper_name(generated.site, generated.folder, name)
    )
    add_job(generated.folder / f"{name}.jobs", job)


def _withdraw(client: Client, generated: GeneratedScripts) -> None:
    """Cancel the jobs submitted so far. If SLURM does not respond, the locks still prevent duplicate work."""
    names = [batch.name for batch in generated.batches]
    names += [helper_name(generated.site, generated.folder, name) for name in HELPERS]
    try:
        client.cancel(sorted({entry.array for entry in client.find(names, ended=False)}))
    except Unavailable:
        return
    for path in generated.folder.glob("*.jobs"):
        path.unlink()


def _new_folder(parent: Path) -> Path:
    number = 1 + max(
        (int(path.name[7:]) for path in parent.glob("scripts[0-9]*") if path.name[7:].isdecimal()), default=0
    )
    folder = parent / f"scripts{number}"
    folder.mkdir(parents=True)
    return folder


def _batches(
    plan: Plan, open_stages: set[str], request: ResourceRequest, folder: Path, max_size: int, token: str
) -> Iterator[Batch]:
    """Yield the batches level by level, each with at most `max_size` stages."""
    made: dict[str, Batch] = {}
    levels = _levels(plan, open_stages)
    tag = folder.name.removeprefix("scripts")
    for level, kind in sorted(set(levels.values())):
        members = [name for name in plan.stages if levels.get(name) == (level, kind)]
        for number, stages in enumerate(_chunks(plan, members, made, max_size)):
            batch = Batch(
                name=job_name(kind, f"{level}.{number}", tag, token, plan.experiment),
                folder=folder,
                kind=kind,
                stages=stages,
                resources=Resources.largest(request.of(kind, name) for name in stages),
                gpu=kind not in CPU_KINDS,
                after=tuple(_links(plan, stages, made)),
                comments={name: request.comments.get(name, "") for name in stages},
                home=folder,
            )
            made |= dict.fromkeys(stages, batch)
            yield batch


def _levels(plan: Plan, open_stages: set[str]) -> dict[str, tuple[int, str]]:
    """Return unfinished stage -> its level (the length of the longest chain of unfinished upstream stages) and kind."""
    levels: dict[str, tuple[int, str]] = {}
    for name, stage in plan.stages.items():  # upstream stages come first
        if name in open_stages:
            below = [levels[need][0] for need in stage.needs.values() if need in open_stages]
            levels[name] = (1 + max(below, default=-1), stage.kind)
    return levels


def _chunks(plan: Plan, members: Sequence[str], made: Mapping[str, Batch], max_size: int) -> Iterator[tuple[str, ...]]:
    """Split `members` into arrays of at most `max_size`, grouped and ordered by the batches that they wait for."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in members:
        key = tuple(sorted({made[need].name for need in plan.stages[name].needs.values() if need in made}))
        groups.setdefault(key, []).append(name)
    for group in groups.values():
        ordered = sorted(group, key=lambda name: _position(plan, name, made))
        for start in range(0, len(ordered), max_size):
            yield tuple(ordered[start : start + max_size])


def _position(plan: Plan, name: str, made: Mapping[str, Batch]) -> tuple[int, ...]:
    return tuple(made[need].stages.index(need) for need in plan.stages[name].needs.values() if need in made)


def _links(plan: Plan, stages: Sequence[str], made: Mapping[str, Batch]) -> Iterator[Link]:
    """Yield the dependencies of an array, one per batch that it waits for.

    If each task needs exactly its counterpart, tasks wait one by one (aftercorr). If every task needs the whole batch,
    it must succeed (afterok). Otherwise the array waits until the batch has ended (afterany), and each task checks on
    disk whether its own inputs are finished, so that one failed stage does not stop the others.
    """
    needs = [[need for need in plan.stages[name].needs.values() if need in made] for name in stages]
    for batch in {made[need].name: made[need] for own in needs for need in own}.values():
        own = [tuple(need for need in each if made[need].name == batch.name) for each in needs]
        if [name for each in own for name in each] == list(batch.stages) and all(len(each) == 1 for each in own):
            yield Link("aftercorr", batch.name)
        elif all(set(each) == set(batch.stages) for each in own):
            yield Link("afterok", batch.name)
        else:
            yield Link("afterany", batch.name)


def _comments(plan: Plan) -> dict[str, str]:
    """Return stage -> comment: the runs that use it, or the baseline that it computes."""
    found: dict[str, list[str]] = {}
    for run in plan.runs:
        for name in run.stages.values():
            found.setdefault(name, []).append(run.name)
    for what, stages in (("reference controllers", plan.shared.reference), ("the base", plan.shared.evaluate_base)):
        for system, name in stages.items():
            found.setdefault(name, []).append(f"{what} on {system}")
    return {
        name: ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
        for name, runs in found.items()
    }


def _longest_min(cluster: Cluster) -> int:
    """Return the time limit of the coordinator's job, which requeues itself when the limit is reached."""
    return min(_COORDINATOR_MIN, cluster.resources.time_min) if "time" in cluster.named else _COORDINATOR_MIN


def _write_helpers(site: Site, folder: Path, *, recorder: bool, longest_min: int) -> None:
    """Write the scripts of the final collecting job, of the in-cluster coordinator and of the recorder."""
    words = shlex.join(site.command)
    where = f"{shlex.quote(site.experiment)} --workspace {shlex.quote(str(site.workspace))}"
    described = {
        COLLECT: (f"# Records how the jobs ended, and writes the report.\n{words} slurm collect {where}", {}),
        COORDINATE: (
            _COORDINATE.replace("@COMMAND@", f"{words} experiment resume {where} --on slurm"),
            {"time": duration(longest_min), "requeue": "", "signal": "B:USR1@60"},
        ),
    }
    if recorder:
        records = shlex.quote(str(site.folder / RECORDS))
        body = (
            "# Without accounting, SLURM soon forgets how jobs ended.\n"
            f"mkdir -p {records} && cd {records} &&\n"
            '    TZ=UTC scontrol -d -o show job "$recorded" >".$recorded" && mv ".$recorded" "$recorded"'
        )
        described[RECORD] = (body, {"time": "0-00:05:00"})
    for name, (body, options) in described.items():
        log = folder / LOGS / f"{name}-%j.log"
        text = plain_text(site, helper_name(site, folder, name), log, body, dict(options))
        write_text(folder / f"{name}.sbatch", text)


_COORDINATE = """\
# Use this instead of submit.sh: it submits stages as queue slots free up, and retries failed ones. It can be stopped at
# any time, because all its state is on disk. Before its time limit it requeues itself.
again=''
coordinator=''
trap 'again=1; [ -z "$coordinator" ] || kill "$coordinator"' USR1
trap '[ -z "$coordinator" ] || kill "$coordinator"' TERM
@COMMAND@ &
coordinator=$!
[ -z "$again" ] || kill "$coordinator"
while
    wait "$coordinator"
    code=$?
    kill -0 "$coordinator" 2>/dev/null
do :; done
if [ -n "$again" ] && [ "$code" -ne 0 ]; then
    timeout 60 scontrol requeue "$SLURM_JOB_ID" && sleep 300 # until SLURM ends this
fi
exit "$code"
"""


def _latest(workspace: Workspace, plan: Plan) -> Path | None:
    """Return the folder of the latest scripts."""
    numbers = [
        path
        for path in (workspace.experiment(plan.experiment) / "slurm").glob("scripts[0-9]*")
        if path.name[7:].isdecimal()
    ]
    return max(numbers, key=lambda path: int(path.name[7:]), default=None)


def helper_name(site: Site, folder: Path, name: str) -> str:
    """Return the job name of one of the helper scripts in a folder of scripts."""
    return job_name(name, folder.name.removeprefix("scripts"), site.token, site.experiment)


def helper_names(workspace: Workspace, plan: Plan) -> set[str]:
    """Return the job names of all helper scripts of an experiment."""
    site = Cluster(Profile(), Resources()).site(workspace, plan.experiment)
    return {helper_name(site, folder, name) for folder in site.folder.glob("scripts[0-9]*") for name in HELPERS}


def read_generated(workspace: Workspace, plan: Plan) -> GeneratedScripts:
    """Return the latest generated scripts.

    Raises:
        InputError: no scripts have been generated.
    """
    folder = _latest(workspace, plan)
    if folder is None:
        raise InputError(
            f"experiment {plan.experiment!r} has no scripts yet. Generate them with "
            f"`setpoint slurm generate --experiment-id {plan.experiment} …`."
        )
    described = [read_batch(path) for path in sorted(folder.glob("*.json"))]
    if any(not batch.home.exists() or not batch.home.samefile(folder) for batch in described):
        raise InputError(
            f"the scripts in {str(folder)!r} were written for another workspace, and would run there. Generate new "
            f"ones with `setpoint slurm generate --experiment-id {plan.experiment} …`."
        )
    batches = tuple(replace(batch, gpu=batch.kind not in CPU_KINDS) for batch in described)
    recorder = (folder / f"{RECORD}.sbatch").exists()
    site = Cluster(Profile(), Resources()).site(workspace, plan.experiment)
    return GeneratedScripts(workspace, site, folder, tuple(_in_order(batches)), recorder)


def _in_order(batches: Sequence[Batch]) -> list[Batch]:
    """Return `batches` in dependency order."""
    placed: dict[str, Batch] = {}
    while len(placed) < len(batches):
        ready = [
            batch for batch in batches if batch.name not in placed and all(link.batch in placed for link in batch.after)
        ]
        if not ready:
            raise InputError("the generated scripts have circular dependencies. Generate them again.")
        placed |= {batch.name: batch for batch in ready}
    return list(placed.values())
