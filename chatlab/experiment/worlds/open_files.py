"""The limit of open files of this process. Sockets count as files."""

from __future__ import annotations

from chatlab.errors import SettingsError


def raise_open_file_limit(needed: int, reason: str) -> None:
    """Raise the limit of open files to `needed`, if it is lower. `reason` begins the error's message.

    Many systems allow 1,024 files at first, and more if a process asks. Without a free file a process can
    accept no connection, and retries in a busy loop. Windows has no such limit, and no module `resource`.

    Errors: `SettingsError` if the system's hard limit is lower than `needed`.
    """
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise SettingsError(
            f"{reason} need {needed:,} open files, and this system allows {hard:,}: try fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
