"""ipykernel 7.0.1 with one fix of its 7.4, as a kernel's command.

7.0 to 7.3 send a reply directly on a socket that a stream reads. A request that arrives meanwhile stays
unread until another client connects: the kernel is idle, and its page waits for ever (their issue 1554). This
happened to 14 of 1,500 requests on a separate connection, and to none if the stream sends the reply. The
tests need 7.0 because it delivers widgets' messages on separate threads, which the fix doesn't change.
"""

from typing import Any

from ipykernel import shellchannel
from ipykernel.kernelapp import IPKernelApp, launch_new_instance
from ipykernel.subshell_manager import SubshellManager


class Mended(SubshellManager):
    """A subshell manager that sends replies through the stream that reads the shell's socket."""

    def _send_on_shell_channel(self, msg: list[Any]) -> None:
        IPKernelApp.instance().kernel.shell_stream.send_multipart(msg)


if __name__ == "__main__":
    assert hasattr(SubshellManager, "_send_on_shell_channel"), "this ipykernel has no such method to fix"
    vars(shellchannel)["SubshellManager"] = Mended
    launch_new_instance()
