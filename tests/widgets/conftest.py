from collections.abc import Iterator

import comm
import ipywidgets
import pytest

from tests.widgets.comms import RecordingComm


@pytest.fixture(autouse=True)
def comms(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connect widgets to recording comms."""
    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    yield
    ipywidgets.Widget.close_all()
