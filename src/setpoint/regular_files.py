"""Reading of regular files with a limit on their size.

Opening a named pipe would wait for ever, and reading a device might never end. Files of a workspace are also not read
through links, which might lead out of it.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

_MEGABYTE = 1_000_000
MOST_BYTES = 1000 * _MEGABYTE
"""Limit for files that the product wrote itself."""


def open_regular(path: Path | str, *, links: bool = True) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        links: whether `path` itself may be a link to a regular file; its folders may be links in any case.

    Raises:
        OSError: the file cannot be opened, is not a regular file, or is a link although `links` is False.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not links:
            raise OSError(errno.ELOOP, "a link where a regular file is expected", str(path)) from error
        if error.errno in {errno.ENXIO, errno.ENODEV}:  # a socket, or a device without a driver
            raise OSError(error.errno, "not a regular file", str(path)) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_regular(path: Path | str, most_bytes: int = MOST_BYTES, *, links: bool = True) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: see `open_regular`, or the file is larger than `most_bytes`.
    """
    with open_regular(path, links=links) as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"larger than {most_bytes / _MEGABYTE:g} MB", str(path))
    return content


def read_end(path: Path | str, most_bytes: int) -> bytes:
    """Return the last `most_bytes` bytes of a regular file that is not a link.

    Raises:
        OSError: see `open_regular`.
    """
    with open_regular(path, links=False) as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(0, size - most_bytes))
        return stream.read(most_bytes)
