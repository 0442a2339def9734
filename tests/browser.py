"""Headless Chromium on a page of ours: its complaints, how it looks, and what axe-core finds."""

import json
import re
import shutil
import subprocess
from html import unescape
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')

_RUN_AXE = """
<script>%s</script>
<script>
document.querySelectorAll("details").forEach(d => d.open = true);
const popover = document.querySelector("[popover]");
if (popover) popover.showPopover();
axe.run(document, {resultTypes: ["violations"]}).then(found => {
  const list = found.violations.map(v =>
    [v.id, v.impact, v.nodes.length, v.nodes[0].html.slice(0, 200)]);
  document.body.innerHTML = "<pre id=axe></pre>";
  document.getElementById("axe").textContent = JSON.stringify(list);
});
</script>
"""


def program() -> str:
    """The browser, which is Debian's and no package of Python's; skips where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium is installed")
    return found


def axe_core() -> str:
    """The script of axe-core, which the extra `test` brings."""
    return resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")


def chromium(page: Path, *words: str, folder: Path) -> tuple[str, list[str]]:
    """Open a page: what is printed, and the lines of the console."""
    command = [program(), "--headless=new", "--no-sandbox", "--disable-background-networking"]
    command += ["--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder / 'user'}"]
    done = subprocess.run(
        [*command, *words, page.as_uri()], capture_output=True, text=True, timeout=240, check=True
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def screenshot(page: Path, width: int, folder: Path) -> tuple[Path, list[str]]:
    """A picture of a page at a width, and the lines of the console."""
    path = folder / "page.png"
    words = [f"--window-size={width},3000", f"--screenshot={path}"]
    return path, chromium(page, *words, folder=folder)[1]


def axe_findings(page: str, folder: Path) -> list[dict[str, Any]]:
    """What axe-core finds serious or critical on a page, light and dark.

    All of it is unfolded, and one picture opened.
    """
    looked_at = _POLICY.sub("", page).replace("</body>", _RUN_AXE % axe_core() + "</body>")
    path = folder / "axe.html"
    path.write_text(looked_at, encoding="utf-8")
    dark = "--blink-settings=preferredColorScheme=0"
    return [*_findings(path, folder), *_findings(path, folder, dark)]


def _findings(path: Path, folder: Path, *words: str) -> list[dict[str, Any]]:
    words = (*words, "--virtual-time-budget=60000", "--dump-dom")
    dumped, _ = chromium(path, *words, folder=folder)
    found = re.search(r'<pre id="axe">(.*?)</pre>', dumped, re.DOTALL)
    assert found is not None, dumped[-2000:]
    keys = ("rule", "impact", "count", "example")
    findings = [dict(zip(keys, one, strict=True)) for one in json.loads(unescape(found[1]))]
    return [one for one in findings if one["impact"] in ("serious", "critical")]
