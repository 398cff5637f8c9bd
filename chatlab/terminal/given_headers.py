"""A token from the command line: `--token-file FILE`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from chatlab.errors import SettingsError, TryAgain
from chatlab.fileio import read_bounded
from chatlab.live.client.typed_headers import is_token

MOST_TOKEN = 16 << 10
"""Maximum bytes of a token file."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class TokenFile:
    """Headers with a token from a file. A regular file is read for each attempt, any other file once.

    `hint` warns if other users can read the file; otherwise it is empty.

    Errors: if the file has no token, `SettingsError` when constructed, `TryAgain` when called.
    """

    def __init__(self, path: Path, headers: dict[str, str]) -> None:
        if "authorization" in map(str.lower, headers):
            raise SettingsError("header Authorization: give it or --token-file, not both")
        self._path = path
        self._headers = headers
        try:
            self._token = self._read()
        except (OSError, SettingsError) as error:
            raise SettingsError(f"--token-file {path}: {_reason(error)}") from None
        mode = path.stat().st_mode
        self._once = not stat.S_ISREG(mode)
        exposed = os.name == "posix" and not self._once and mode & _OTHERS
        self.hint = f"other users can read {path}; protect it with chmod 600" if exposed else ""

    def __call__(self, failure: Any = None) -> dict[str, str]:
        if not self._once:
            try:
                self._token = self._read()
            except (OSError, SettingsError) as error:
                raise TryAgain(f"{self._path}: {_reason(error)}") from None
        return self._headers | {"Authorization": f"Bearer {self._token}"}

    def __repr__(self) -> str:
        return f"TokenFile({str(self._path)!r})"

    def _read(self) -> str:
        try:
            data = read_bounded(self._path, MOST_TOKEN)
        except SettingsError:
            data = b""
        token = data.decode("ascii", "replace").strip()
        if not is_token(token):
            raise SettingsError("give a file with one token and nothing else")
        return token


def _reason(error: OSError | SettingsError) -> str:
    reason = isinstance(error, OSError) and error.strerror
    return f"{reason[:1].lower()}{reason[1:]}" if reason else str(error)
