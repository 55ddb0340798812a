"""One run a folder: a lock on a file in it, which the system lets go of when the run's process ends in any way.

Only who made or found the file and has the lock may write into the folder. The file is taken away at the end, so that
one which is there without a lock tells of a run that died.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING, Final

from harness.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Taken"]

NAME: Final = ".taken"
NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What a file system says that knows no locks; there a folder is taken without one."""


class Taken:
    """A folder, taken by this process.

    Args:
        folder: it must be there.

    Attributes:
        left: whether a run had taken it and died.

    Raises:
        ConfigError: another run has it.
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        while True:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._file)
                raise ConfigError(f"another run is at work in {folder}; name another folder with --out") from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    os.close(self._file)
                    raise
            if self._is_there():
                break
            os.close(self._file)  # the run that had it ended between the two calls, and took the file away
        self.left = os.fstat(self._file).st_size > 0
        os.ftruncate(self._file, 0)
        self._owner = os.getpid()
        os.write(self._file, f"{self._owner}\n".encode())

    def give_back(self, marked: bool = False) -> None:
        """Let others take it; may be called repeatedly. `marked` leaves the mark of a run that died."""
        if self._file >= 0 and self._owner == os.getpid():  # and not a forked child's copy of this object
            with contextlib.suppress(OSError):
                if not marked:
                    self._path.unlink()
            os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        """Whoever has let go of it no longer writes there."""
        with contextlib.suppress(Exception):
            self.give_back()

    def _is_there(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        return False
