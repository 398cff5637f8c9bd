"""Headers and tokens from the command line: sent, read again for each attempt, and never shown."""

from __future__ import annotations

import os
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from chatlab.errors import SettingsError, TryAgain
from chatlab.settings import HeaderSource
from chatlab.terminal.given_headers import TokenFile
from chatlab.terminal.targets import Target, best_kind, config_of
from tests.terminal.programs import Piped

SECRET = "s3cret-t0ken"
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions and pipes")


def test_a_token_is_read_anew_each_time_and_waited_for_while_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xef\xbb\xbfone\r\n")
    headers = TokenFile(path, {"X-Key": "a"})
    assert headers() == {"X-Key": "a", "Authorization": "Bearer one"}
    path.write_text("two", encoding="utf-8")
    assert headers("refused")["Authorization"] == "Bearer two"
    path.write_text("", encoding="utf-8")
    with pytest.raises(TryAgain, match="one token and nothing else"):
        headers()
    path.unlink()
    with pytest.raises(TryAgain, match="no such file"):
        headers()
    path.write_text("three", encoding="utf-8")
    assert headers()["Authorization"] == "Bearer three"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a b", b"a\nb", b"\xff\xfea\0", "ü".encode(), b"x" * 20_000, b"a\x1b[2J"]
)
def test_a_file_without_a_token_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as found:
        TokenFile(path, {})
    assert str(found.value) == f"--token-file {path}: give a file with one token and nothing else"


def test_there_is_one_token_only(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="header Authorization: give it or --token-file, not both"):
        TokenFile(tmp_path / "none", {"authorization": SECRET})


@posix
def test_a_file_that_others_can_read_is_hinted_at(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(SECRET, encoding="utf-8")
    path.chmod(0o640)
    assert TokenFile(path, {}).hint == f"other users can read {path}; protect it with chmod 600"
    path.chmod(0o600)
    assert TokenFile(path, {}).hint == ""


@posix
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(SECRET,))
    writer.start()
    headers = TokenFile(path, {})
    writer.join()
    assert headers() == headers() == {"Authorization": f"Bearer {SECRET}"}
    assert headers.hint == ""
    assert SECRET not in repr(headers) + repr(Target(url="ws://h", headers=HeaderSource(headers)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"room": "lobby"}, r"room: a Matrix server wants the id of a room .* got 'lobby'"),
        ({"name": "ada"}, r"name: a Matrix server wants your user id, such as @ada:example.org, got 'ada'"),
    ],
)
def test_a_matrix_server_wants_ids(changes: dict[str, Any], told: str) -> None:
    good: dict[str, Any] = {"url": "http://h", "dialect": "matrix", "room": "!r:h", "name": "@ada:h"}
    assert best_kind("matrix") == "long_polling"
    assert config_of("long_polling", Target(**good)).room == "!r:h"
    fallback = config_of("fallback", Target(**good))
    assert [type(one).__name__ for one in fallback.transports] == [  # type: ignore[union-attr]
        "LongPollingConfig",
        "ShortPollingConfig",
    ]
    with pytest.raises(SettingsError, match=told):
        config_of("long_polling", Target(**good | changes))


@pytest.mark.proof
def test_the_console_sends_the_token_of_each_moment_and_shows_none(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first-s3cret", encoding="utf-8")
    path.chmod(0o644)
    wanted, asked = ["first-s3cret"], []

    def check(connection: ServerConnection, request: Request) -> Response | None:
        asked.append((request.headers["Authorization"], request.headers["X-Key"]))
        if request.headers["Authorization"] != f"Bearer {wanted[0]}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, f"no: {request.headers['Authorization']}")
        return None

    def echo(connection: ServerConnection) -> None:
        for text in connection:
            connection.send(text)
            if text == "renew":
                wanted[0] = "second-s3cret"
                path.write_text("second-s3cret", encoding="utf-8")
                connection.close(1012)

    with serve(echo, "127.0.0.1", 0, process_request=check) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        options = ("--dialect=text", "--header=X-Key: k3y-s3cret", f"--token-file={path}")
        console = Piped(url, *options)
        console.say("renew")
        console.out.has("renew")
        console.err.has("Connected again")
        wanted[0] = "third-s3cret"
        path.write_text("wrong-s3cret", encoding="utf-8")
        assert console.end() == 0
        refused = Piped(url, *options)
        assert refused.wait() == 1
        server.shutdown()
        thread.join()
    assert asked[:2] == [("Bearer first-s3cret", "k3y-s3cret"), ("Bearer second-s3cret", "k3y-s3cret")]
    assert "chmod 600" in console.err.text
    assert "401" in refused.err.text
    assert "s3cret" not in console.out.text + console.err.text + refused.out.text + refused.err.text
