import re
import shutil
import subprocess
from pathlib import Path

import pytest
from anywidget import AnyWidget

from chatlab.messages import ConnectionStatus
from chatlab.widgets import assets
from chatlab.widgets.hidden_field import UrlField
from chatlab.widgets.logs import ChatLog, FrameLog
from chatlab.widgets.picture import Picture
from chatlab.widgets.slider import Slider
from chatlab.widgets.status_badge import StatusBadge
from chatlab.widgets.timeline import Timeline

VIEWS: list[type[AnyWidget]] = [ChatLog, FrameLog, StatusBadge, Timeline]
NAMES = [
    "chat_log.js",
    "frame_log.js",
    "status_badge.js",
    "timeline.js",
    "picture.js",
    "slider.js",
    "hidden_field.js",
    "guess.js",
    "listing.js",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_imports_nothing_and_exports_its_view(name: str) -> None:
    source = assets.module(name)
    assert not re.search(r"^\s*import\b", source, re.MULTILINE)
    assert source.count("export default { render };") == 1
    assert "class Scope" in source


@pytest.mark.slow
@pytest.mark.requires("node")
@pytest.mark.parametrize("name", NAMES)
def test_a_module_runs_on_its_own(name: str, tmp_path: Path) -> None:
    (tmp_path / "view.mjs").write_text(assets.module(name), "utf-8")
    script = "const { default: view } = await import('./view.mjs'); console.log(typeof view.render)"
    node = shutil.which("node") or "node"
    ended = subprocess.run(
        [node, "--input-type=module", "-e", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("function\n", "")


@pytest.mark.parametrize("view", [*VIEWS, Picture, Slider, UrlField])
def test_a73_no_source_can_break_out_of_an_exported_page(view: type[AnyWidget]) -> None:
    for source in (view._esm, view._css):
        assert source
        assert not re.search(r"<\s*/?\s*script|<!--", source, re.IGNORECASE)


def test_only_the_theme_and_its_fallbacks_name_colours() -> None:
    css = assets.stylesheet()
    rules = re.sub(r"--own-[a-z]+: #[0-9a-f]{6};", "", css)
    assert not re.search(r"#[0-9a-f]{3,8}\b", rules)
    assert css.count("{") == css.count("}")
    for variable in set(re.findall(r"var\((--cl-[a-z]+|--own-[a-z]+)", css)):
        assert f"{variable}:" in css


def test_every_class_that_is_styled_is_used() -> None:
    sources = "".join(assets.module(name) for name in NAMES)
    made = {f"cl-{status}" for status in ConnectionStatus} | {
        f"cl-col-{name}" for name in ("at", "kind", "size")
    }
    styled = set(re.findall(r"\.(cl-[a-z-]+)", assets.stylesheet()))
    assert {name for name in styled if name not in sources} <= made | {"cl-col-direction"}
