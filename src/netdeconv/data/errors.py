"""What can be wrong with data: each message names the file or folder, and says what helps."""

from __future__ import annotations


class MissingDataError(FileNotFoundError):
    """A data set that is not on this machine; the message says where it was looked for and how to get it."""

    def __str__(self) -> str:
        return str(self.args[0])


class DataError(OSError):
    """Files that are there, and hold something else than they should."""


class CorruptImageError(DataError):
    """Images that cannot be decoded, named."""


class CorruptImagesWarning(UserWarning):
    """Images that were left out because they cannot be decoded: how many, and which."""


class LoaderError(RuntimeError):
    """A process that reads images has died."""
