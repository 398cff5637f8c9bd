"""ipykernel 7.0.1 with one mend of its 7.4, as a kernel's command.

7.0 to 7.3 send a reply past the stream that reads the same socket. A request that arrives meanwhile stays
unread until another client connects: the kernel is idle, and its page waits for ever (their issue 1554). Of
1,500 requests on a connection of their own 14 were left so, and none where the stream sends the reply. What
these tests are for, that 7.0 hands widgets' messages over in threads of their own, stays as it is.
"""

from typing import Any

from ipykernel import shellchannel
from ipykernel.kernelapp import IPKernelApp, launch_new_instance
from ipykernel.subshell_manager import SubshellManager


class Mended(SubshellManager):
    """A manager of subshells that sends a reply by the stream that reads the shell's socket."""

    def _send_on_shell_channel(self, msg: list[Any]) -> None:
        IPKernelApp.instance().kernel.shell_stream.send_multipart(msg)


if __name__ == "__main__":
    assert hasattr(SubshellManager, "_send_on_shell_channel"), "this ipykernel has no such method to mend"
    vars(shellchannel)["SubshellManager"] = Mended
    launch_new_instance()
