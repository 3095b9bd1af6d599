"""Writing and deleting stay within the workspace: no folder on the way may be a link.

The workspace itself may be a link, and so may folders that are only read. The check is made before the first write, so
it protects against links that came with a copied or shared workspace, not against a program that makes them meanwhile.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from setpoint.errors import InputError, legible


def require_real(path: Path, root: Path) -> None:
    """Check that neither `path` nor a folder between it and `root` is a link; missing folders pass.

    Raises:
        InputError: one of them is a link.
    """
    place = root
    for name in path.absolute().relative_to(root.absolute()).parts:
        place /= name
        if place.is_symlink():
            raise _is_link(place)


def require_no_links(folder: Path, root: Path) -> None:
    """Check that `folder` can be changed without leaving `root`: it has no link on its way or at any depth.

    Raises:
        InputError: there is a link.
    """
    require_real(folder, root)
    for link in links_below(folder):
        raise _is_link(link)


def links_below(folder: Path) -> Iterator[Path]:
    """Yield the links in `folder`, at any depth, without following them."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                yield path


def remove(path: Path) -> None:
    """Delete a file, a link (not its target) or a folder with its content; a missing one is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_link(path: Path) -> InputError:
    return InputError(
        f"{legible(str(path))!r} is a link, and nothing in a workspace is written or deleted through links. Remove "
        "it, or move its target to this place."
    )
