"""The kernels that the panel must work in: the installed ipykernel, and older ones, fetched on demand.

ipykernel 7.0 delivers widgets' messages on separate threads, later versions on the main thread. It runs with
one fix of a later version, without which a few notebooks of each run hang: old_kernel.py.
"""

import json
import subprocess
import sys

import nbformat

from tests.browser.jupyter import ROOT, Lab

INSTALLED = "python3"
OLD = "ipykernel-7.0.1"
COLAB = "ipykernel-6.17.1"


def provide(lab: Lab, kernel: str) -> None:
    """Register the kernel with the server; an old one shares all packages except ipykernel."""
    if kernel == INSTALLED:
        return
    folder = ROOT / "build" / kernel
    if not (folder / "ipykernel").exists():
        requirement = kernel.replace("-", "==")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        ended = subprocess.run(
            [*command, requirement], capture_output=True, text=True, check=False, timeout=300
        )
        assert ended.returncode == 0, ended.stderr
    module = "tests.browser.old_kernel" if kernel == OLD else "ipykernel_launcher"
    spec = {
        "argv": [sys.executable, "-m", module, "-f", "{connection_file}"],
        "display_name": kernel,
        "language": "python",
        "env": {"PYTHONPATH": f"{folder}:{ROOT}"},
    }
    file = lab.data / "kernels" / kernel / "kernel.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(spec), encoding="utf-8")


def copy_for(lab: Lab, notebook: str, kernel: str) -> str:
    """Copy one of the server's notebooks so that it runs on that kernel, and return the copy's name."""
    provide(lab, kernel)
    file = lab.root / notebook
    copy = nbformat.read(file, as_version=4)
    copy.metadata.kernelspec = {"name": kernel, "display_name": kernel}
    target = file.with_stem(f"{file.stem}-{kernel}")
    nbformat.write(copy, target)
    return str(target.relative_to(lab.root))
