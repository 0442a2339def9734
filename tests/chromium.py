"""Chromium without a window, driven through its own pipe: no driver, no port, no package."""

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import program

_PATIENCE_S = 120.0


class Page:
    """One page of a browser, spoken to in Chrome's DevTools protocol."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.console: list[str] = []
        """What the page wrote to its console, errors too."""
        self.requested: list[str] = []
        """The addresses that it asked for."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method and wait for what it gives."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        self.look_as(width, height, dark)
        self.call("Page.navigate", url=address)

    def look_as(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Give the window a size, and say which colours are preferred."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """What an expression of JavaScript gives, once it is there if it is a promise."""
        done = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Wait until an expression gives something that counts as true."""
        end = time.monotonic() + _PATIENCE_S
        while not (value := self.run(script)):
            assert time.monotonic() < end, (script, self.run("document.body.innerText"))
            time.sleep(0.05)
        return value

    def screenshot(self, path: Path) -> None:
        import base64

        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _next(self) -> Any:
        end = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, end - time.monotonic()))
            assert ready, "chromium does not answer"
            data = os.read(self._read, 1 << 16)
            assert data, "chromium has ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(text)
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.console.append(json.dumps(parameters))
        return message


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A page of a browser whose files lie in `folder`; skips where there is no chromium."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    command = [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--remote-debugging-pipe"]
    command += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    command += [f"--user-data-dir={folder / 'chromium'}", "about:blank"]
    # It reads from descriptor 3 and writes to 4.
    shell = f'exec "$@" 3<&{to_browser} 4>&{to_us}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "bash", *command],
        pass_fds=(to_browser, to_us),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(to_us)
    try:
        yield Page(from_us, from_browser)
    finally:
        process.kill()
        process.wait()
        os.close(from_us)
        os.close(from_browser)
