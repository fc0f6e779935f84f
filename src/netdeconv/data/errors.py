"""What can be wrong with data: each message names the file or folder, and says what helps."""

from __future__ import annotations

import os
from pathlib import Path


class MissingDataError(FileNotFoundError):
    """A data set that is not on this machine; the message says where it was looked for and how to get it."""

    def __str__(self) -> str:
        return str(self.args[0])


class DataError(OSError):
    """Files that are there, and hold something else than they should, or may not be read."""


class CorruptImageError(DataError):
    """An image file that cannot be decoded."""


class LeftOutWarning(UserWarning):
    """Files that are left out: how many, which, and why."""


class LoaderError(RuntimeError):
    """A process that reads images has died."""


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
