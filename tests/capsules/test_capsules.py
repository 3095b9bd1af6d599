"""A capsule replays equal elsewhere, and every change of it is named."""

import json
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from setpoint.artifacts import StageKind, Workspace
from setpoint.capsules.comparing import Verdict, compare_stage
from setpoint.capsules.contents import CHECKSUMS, METADATA, parse_checksums
from setpoint.capsules.replaying import Replay, replay
from setpoint.capsules.writing import pack, write_capsule
from setpoint.cli.main import main
from setpoint.errors import InputError
from setpoint.experiments.planning.build import recorded_stage_id, stage_id
from setpoint.fingerprint import sealed
from support.finished_stage import add_stage
from support.sweeps import TARGETS, make_plan, run_plan, save_plan
from support.synthetic_experiment import Synthetic

pytest.importorskip("rocrate")

Members = dict[str, bytes]
Change = Callable[[Members], None]


@pytest.fixture
def without_figure_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if vl-convert were not installed, which saves the time that figure files take."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The capsule of an experiment with claims; its stages are written and not computed."""
    root = tmp_path_factory.mktemp("synthetic")
    Synthetic(root, replicates=2).write()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "vl_convert", None)  # figure files take time
        return write_capsule(Workspace(root), "sweep", root / "capsule.zip")


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The capsule of an experiment whose cheap stages were really run; such results have no report."""
    root = tmp_path_factory.mktemp("computed")
    (root / "datasets").mkdir()
    plan = make_plan()
    save_plan(root, plan)
    run_plan(root, plan)
    return pack(Workspace(root), plan, root / "capsule.zip")


def changed(capsule: Path, target: Path, change: Change, *, cover_up: bool = False) -> Path:
    """A capsule with other content; with `cover_up`, its list of checksums is made to fit."""
    with zipfile.ZipFile(capsule) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    if cover_up:
        digests = {name: sha256(data).hexdigest() for name, data in members.items() if name != CHECKSUMS}
        members[CHECKSUMS] = "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def places(found: Replay) -> list[str]:
    return [finding.place for finding in found.findings]


def test_a_capsule_is_an_ro_crate_with_a_digest_of_every_file(synthetic: Path) -> None:
    with zipfile.ZipFile(synthetic) as archive:
        names = set(archive.namelist())
        metadata = json.loads(archive.read(METADATA))
        listed = parse_checksums(archive.read(CHECKSUMS).decode())
        assert listed == {name: sha256(archive.read(name)).hexdigest() for name in names - {CHECKSUMS}}
    entities = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert entities[METADATA]["conformsTo"]["@id"].startswith("https://w3id.org/ro/crate/")
    files = names - {CHECKSUMS, METADATA}
    assert files <= entities.keys()
    assert {part["@id"] for part in entities["./"]["hasPart"]} == files
    assert {"experiments/sweep/plan.json", "experiments/sweep/reports/claims.json"} <= files
    assert not any("leases" in name or "checkpoints" in name for name in files)


def test_its_own_reader_opens_it(synthetic: Path) -> None:
    from rocrate.rocrate import ROCrate

    assert ROCrate(synthetic).name == "Setpoint experiment sweep"


@pytest.mark.usefixtures("without_figure_files")
def test_the_same_experiment_gives_the_same_bytes(synthetic: Path, tmp_path: Path) -> None:
    again = write_capsule(Workspace(synthetic.parent), "sweep", tmp_path / "again.zip")
    assert again.read_bytes() == synthetic.read_bytes()


def test_the_report_replays_byte_for_byte_elsewhere(synthetic: Path) -> None:
    found = replay(synthetic, spot=0)
    assert [str(comparison.verdict) for comparison in found.comparisons] == ["equal"], found.comparisons
    assert [place for place in places(found) if not place.startswith("stage ")] == []


def test_stages_are_computed_again(computed: Path) -> None:
    found = replay(computed, spot=3, seed=0, targets=TARGETS)
    assert found.findings == ()
    assert [comparison.what.split()[1] for comparison in found.comparisons[1:]] == ["stage"] * 3
    assert {comparison.verdict for comparison in found.comparisons[1:]} == {Verdict.EQUAL}, found.comparisons
    assert replay(computed, spot=3, seed=0, targets=TARGETS).comparisons == found.comparisons


def test_an_edited_result_is_found_by_its_recomputation(computed: Path, tmp_path: Path) -> None:
    def edit(members: Members) -> None:
        for name in [name for name in members if name.endswith("/value.txt")]:
            members[name] = b"better"
            place = name.replace("value.txt", "manifest.json")
            manifest = json.loads(members[place])
            manifest["files"]["value.txt"] = {"sha256": sha256(b"better").hexdigest(), "bytes": 6}
            members[place] = json.dumps(manifest).encode()

    found = replay(changed(computed, tmp_path / "c.zip", edit, cover_up=True), spot=1, targets=TARGETS)
    assert found.findings == ()
    assert found.comparisons[1].verdict is Verdict.DIFFERENT
    assert found.comparisons[1].where == ("value.txt: its text differs",)


@pytest.mark.parametrize("which", ["plan.json", "episodes.parquet", "claims.json", METADATA, "requirements.txt"])
def test_a_flipped_byte_is_named(which: str, synthetic: Path, tmp_path: Path) -> None:
    flipped = []

    def flip(members: Members) -> None:
        name = next(name for name in sorted(members) if name.endswith(which))
        data = bytearray(members[name])
        data[len(data) // 2] ^= 1
        members[name] = bytes(data)
        flipped.append(name)

    found = replay(changed(synthetic, tmp_path / "c.zip", flip), spot=0)
    assert flipped[0] in places(found)
    assert found.verdict is Verdict.DIFFERENT


def test_a_byte_flipped_in_the_zip_itself_is_named(synthetic: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(synthetic) as archive:
        member = next(each for each in archive.infolist() if each.filename.endswith("episodes.parquet"))
    data = bytearray(synthetic.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 1
    (tmp_path / "c.zip").write_bytes(bytes(data))
    assert member.filename in places(replay(tmp_path / "c.zip", spot=0))


def test_missing_and_added_files_are_named(synthetic: Path, tmp_path: Path) -> None:
    def swap(members: Members) -> None:
        del members[next(name for name in members if name.endswith("results.csv"))]
        members["stages/sft/added.txt"] = b""

    found = places(replay(changed(synthetic, tmp_path / "c.zip", swap), spot=0))
    assert {"experiments/sweep/reports/results.csv", "stages/sft/added.txt"} <= set(found)


@pytest.mark.parametrize("cover_up", [False, True])
def test_a_changed_seed_is_named(cover_up: bool, computed: Path, tmp_path: Path) -> None:
    changed_stage = []

    def edit(members: Members) -> None:
        plan = json.loads(members["experiments/sweep/plan.json"])
        name, stage = next((name, stage) for name, stage in plan["stages"].items() if stage["kind"] == "sft")
        stage["seed"] += 1
        changed_stage.append(name)
        del plan["digest"]
        members["experiments/sweep/plan.json"] = json.dumps(sealed(plan) if cover_up else plan).encode()

    found = replay(changed(computed, tmp_path / "c.zip", edit, cover_up=cover_up), spot=0)
    if cover_up:
        texts = [str(finding) for finding in found.findings]
        assert f"stage sft/{changed_stage[0]}: seed 1 in the plan, 0 in the stage" in texts
        assert any("do not belong to its id" in text for text in texts)
    else:
        assert "experiments/sweep/plan.json" in places(found)


def test_an_edited_claim_is_named_even_with_its_checksum(synthetic: Path, tmp_path: Path) -> None:
    edited = []

    def edit(members: Members) -> None:
        name = "experiments/sweep/reports/claims.json"
        content = json.loads(members[name])
        claim = next(each for each in content["claims"] if each.get("estimate") is not None)
        claim["estimate"] *= 2
        edited.append(claim["id"])
        members[name] = json.dumps(content).encode()

    found = replay(changed(synthetic, tmp_path / "c.zip", edit, cover_up=True), spot=0)
    assert [str(finding) for finding in found.findings if finding.place.startswith("claim ")] == [
        f"claim {edited[0]}: estimate: not what the results give"
    ]


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "experiments/../../x", "bin/run.sh", "stages/a\\b"])
def test_hostile_names_write_nothing(name: str, synthetic: Path, tmp_path: Path) -> None:
    capsule = changed(synthetic, tmp_path / "c.zip", lambda members: members.update({name: b"x"}), cover_up=True)
    with pytest.raises(InputError, match="a capsule has no file"):
        replay(capsule, spot=0)


def test_what_is_no_capsule_is_refused(synthetic: Path, tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"no zip")
    with pytest.raises(InputError, match="no capsule"):
        replay(tmp_path / "no.zip")
    empty = changed(synthetic, tmp_path / "empty.zip", lambda members: members.clear(), cover_up=True)
    with pytest.raises(InputError, match="holds one experiment"):
        replay(empty)


def test_numbers_within_the_tolerance_are_equal_and_others_are_located(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folders = []
    for number, error in enumerate((1.0, 1.0 + 1e-9, 1.1)):
        folder = add_stage(Workspace(tmp_path / str(number)), "evaluate", "abc")
        pq.write_table(pa.table({"case": [0, 1], "error": [0.5, error]}), folder.path / "episodes.parquet")
        manifest = json.loads(folder.manifest.read_text())
        data = (folder.path / "episodes.parquet").read_bytes()
        manifest["files"]["episodes.parquet"] = {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
        folder.manifest.write_text(json.dumps(manifest))
        folders.append(folder)
    assert compare_stage("x", folders[0], folders[0]).verdict is Verdict.EQUAL
    assert compare_stage("x", folders[0], folders[1]).verdict is Verdict.CLOSE
    far = compare_stage("x", folders[0], folders[2])
    assert far.verdict is Verdict.DIFFERENT
    assert far.where == ("episodes.parquet: error: 1 of 2 values differ, first in row 1: 1.0, now 1.1",)


def test_the_recorded_code_gives_the_ids_of_the_planner() -> None:
    plan = make_plan()
    for name, stage in plan.stages.items():
        assert recorded_stage_id(stage, plan.code[stage.kind]) == stage_id(stage) == name
    assert {stage.kind for stage in plan.stages.values()} <= set(StageKind)


@pytest.mark.usefixtures("without_figure_files")
def test_the_commands(synthetic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.zip"
    assert main(["capsule", "sweep", "--workspace", str(synthetic.parent), "--output", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == sha256(target.read_bytes()).hexdigest()
    assert main(["replay", str(target), "--spot", "0", "--json"]) == 4  # its stages were not planned
    assert json.loads(capsys.readouterr().out)["comparisons"][0]["verdict"] == "equal"
    assert main(["capsule", "swep", "--workspace", str(synthetic.parent)]) == 3
    assert "Did you mean 'sweep'?" in capsys.readouterr().err
