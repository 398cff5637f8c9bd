"""The number of files, sockets among them, that this process may have open at once."""

from __future__ import annotations

from chatlab.errors import SettingsError


def allow_open_files(wanted: int, why: str) -> None:
    """Raise the limit of open files to `wanted`, if it is lower.

    Systems allow 1,024 at first, and many more to a process that asks. A process that has run out of them
    accepts no connection, and tries again without end.

    Windows has no such limit, and no module `resource`.

    Errors: `SettingsError` if the system allows no process as many.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise SettingsError(f"{why} need {wanted:,} open files, and this system allows {hard:,}: try fewer")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
