"""What can be wrong with data: each message names the file or folder, and says what helps."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "NETDECONV_DATA"


class MissingDataError(FileNotFoundError):
    """A data set that is not on this machine; the message says where it was looked for and how to get it."""


class DataError(OSError):
    """Files that are there, and hold something else than they should, or may not be read."""


class CorruptImageError(DataError):
    """An image file that cannot be decoded."""


def missing(name: str, where: Path, reason: str, *, fetched: bool = False) -> MissingDataError:
    """Return the error for a data set that is not there, with how to get it."""
    download = ", or allow the download with --download" if fetched else "; it cannot be fetched with --download"
    return MissingDataError(
        f"data set {name!r} was not found in {where.resolve()} ({' '.join(reason.split())}). "
        f"Name the folder that holds it with --data-dir or {DATA_VARIABLE}{download}"
    )


def is_readable_folder(folder: Path) -> bool:
    """Return whether there is such a folder; one that may not be read is an error, and not absent.

    Raises:
        DataError: when it is a file, or this user may not read it.
    """
    if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
        raise DataError(f"{folder} may not be read by this user: its owner can allow it with chmod a+rx")
    if os.path.isfile(folder):
        raise DataError(f"{folder} is a file, where a folder is expected")
    return os.path.isdir(folder)


def first_of(names: list[str], limit: int = 4) -> str:
    """Return the first few names, for a message."""
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
