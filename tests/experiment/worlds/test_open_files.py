"""The system's limit of open files, which real sockets need, is raised on demand."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chatlab import Scenario, run
from chatlab.errors import SettingsError
from chatlab.experiment.worlds.open_files import raise_open_file_limit
from chatlab.sim.people import PeopleConfig

FEW = 256
CROWD = Scenario(duration=10.0, people=PeopleConfig(count=100, send_rate=0.01, arrive_over=5.0))


@pytest.fixture
def few_allowed() -> Iterator[int]:
    """Few open files are allowed, though the system would allow more. Returns how many it would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def allowed() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_limit_is_raised_and_never_lowered(few_allowed: int) -> None:
    raise_open_file_limit(FEW - 1, "people")
    assert allowed() == FEW
    raise_open_file_limit(FEW + 1, "people")
    assert allowed() == FEW + 1
    raise_open_file_limit(FEW, "people")
    assert allowed() == FEW + 1


@pytest.mark.proof
def test_a_crowd_on_real_sockets_has_enough_files(few_allowed: int) -> None:
    live = run(CROWD, "live", time_scale=4)
    assert allowed() > FEW
    assert live.metrics["lost"] == 0
    assert live.series["connected"][-1] == 100


def test_more_than_the_system_allows_is_refused(few_allowed: int) -> None:
    if few_allowed == resource.RLIM_INFINITY:
        pytest.skip("this system allows any number")
    with pytest.raises(
        SettingsError, match=rf"9 people need .*, and this system allows {few_allowed:,}: try"
    ):
        raise_open_file_limit(few_allowed + 1, "9 people")
    assert allowed() == FEW


@pytest.mark.slow
def test_a_crowd_without_enough_files_is_refused_before_it_begins() -> None:
    script = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({FEW}, {FEW}))\n"
        "from tests.experiment.worlds.test_open_files import CROWD\n"
        "from chatlab import run\n"
        "run(CROWD, 'live')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert "SettingsError: 100 people on real sockets need 1," in ended.stderr
