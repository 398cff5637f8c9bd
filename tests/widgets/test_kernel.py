"""Feeds in a real kernel: rows from threads arrive over the comm."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).parents[2]
CODE = """
import threading
from chatlab.widgets.logs import ChatLog
log = ChatLog()

def work(thread):
    for number in range(250):
        log.upsert({"id": f"{thread}-{number}", "text": "x"})

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(log.model_id)
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockingKernelClient]:
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    manager, client = start_new_kernel(cwd=str(ROOT))
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.mark.proof
def test_a_real_comm_carries_every_row_of_every_thread_and_answers(kernel: BlockingKernelClient) -> None:
    kernel.execute(CODE)
    model_id = ""
    news: list[dict[str, Any]] = []

    def receive() -> dict[str, Any]:
        """Return the next custom message of the widget."""
        nonlocal model_id
        while True:
            message = kernel.get_iopub_msg(timeout=30)
            content = message["content"]
            assert message["msg_type"] != "error", content
            if message["msg_type"] == "stream":
                model_id = content["text"].strip()
            if message["msg_type"] == "comm_msg" and content["data"]["method"] == "custom":
                custom: dict[str, Any] = content["data"]["content"]
                return custom

    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < 2_000:
        news.append(receive())
        rows |= {row["id"]: row for row in news[-1]["rows"]}
    assert sorted(row["n"] for row in rows.values()) == list(range(2_000))
    assert [message["seq"] for message in news] == list(range(1, len(news) + 1))

    content = {"type": "ready", "request": "view-1"}
    data = {"method": "custom", "content": content}
    kernel.shell_channel.send(kernel.session.msg("comm_msg", {"comm_id": model_id, "data": data}))
    answer = receive()
    assert (answer["reply"], answer["seq"], len(answer["rows"])) == ("view-1", news[-1]["seq"], 500)
