"""
A headless Chromium, driven over its own protocol through two pipes, and what it sees of a page.

Nothing listens: Chromium reads commands from descriptor 3 and writes answers to descriptor 4, because of
``--remote-debugging-pipe``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-headless-shell", "google-chrome")
TIMEOUT = 120.0  #: seconds for one answer
#: without them, Chromium itself asks its maker's servers for updates and lists
QUIET = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-extensions",
    "--disable-sync", "--disable-dev-shm-usage", "--metrics-recording-only", "--password-store=basic",
    "--use-mock-keychain", "--hide-scrollbars", "--force-color-profile=srgb", "--no-proxy-server",
    # Names have no address: what a page loads from elsewhere is seen as a request, and nothing leaves the machine.
    "--host-resolver-rules=MAP * ~NOTFOUND", "about:blank",
)  # fmt: skip


@dataclass
class Seen:
    """A page as the browser has it."""

    #: the address of everything that was loaded or asked for
    requests: list[str] = field(default_factory=list)
    #: what the console shows: errors of the page, of its policy and of scripts
    console: list[str] = field(default_factory=list)
    #: the width of the whole page and of what is visible of it, in CSS pixels
    width: int = 0
    visible: int = 0
    #: text on the page, as a person reads it
    text: str = ""
    #: names and descriptions of the pictures, as a screen reader reads them
    pictures: list[tuple[str, str]] = field(default_factory=list)
    #: the number of different colours on the page, and the colour of its paper
    colours: int = 0
    paper: str = ""
    #: texts of pictures that lie over one another or leave their picture
    collisions: list[str] = field(default_factory=list)
    picture: bytes = b""


class Browser:
    """A running Chromium."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._number = 0
        self._rest = b""
        self._events: list[Mapping[str, Any]] = []

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result; events that come before it are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + TIMEOUT
        while True:
            answer = self._message(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._events.append(answer)

    def wait_for(self, event: str) -> None:
        """Return once an event has come."""
        deadline = time.monotonic() + TIMEOUT
        while not any(one.get("method") == event for one in self._events):
            self._events.append(self._message(deadline))

    def _message(self, deadline: float) -> Any:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            piece = os.read(self._back, 1 << 20)
            assert piece, f"Chromium ended with {self._process.wait()}"
            self._rest += piece
        first, self._rest = self._rest.split(b"\0", 1)
        return json.loads(first)

    def look(self, file: Path, width: int = 1280, *, dark: bool = False) -> Seen:
        """Return how a page looks in a window of this width."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        try:
            for domain in ("Page", "Network", "Log", "Runtime"):
                self.ask(f"{domain}.enable", session)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            self.ask("Emulation.setEmulatedMedia", session, features=[scheme])
            screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            self.ask("Emulation.setDeviceMetricsOverride", session, **screen)
            self._events.clear()
            self.ask("Page.navigate", session, url=file.as_uri())
            self.wait_for("Page.loadEventFired")
            seen = Seen(**json.loads(self._value(session, LOOK)))
            shot = self.ask("Page.captureScreenshot", session, captureBeyondViewport=True)
            seen.picture = base64.b64decode(shot["data"])
            seen.colours = self._value(session, COLOURS, picture=shot["data"])
            seen.requests = [one["params"]["request"]["url"] for one in self._named("Network.requestWillBeSent")]
            seen.console = [one["params"]["entry"]["text"] for one in self._named("Log.entryAdded")]
            seen.console += [json.dumps(one["params"]["args"]) for one in self._named("Runtime.consoleAPICalled")]
            seen.console += [json.dumps(one["params"]) for one in self._named("Runtime.exceptionThrown")]
            return seen
        finally:
            self.ask("Target.closeTarget", targetId=target)

    def _named(self, event: str) -> Iterator[Mapping[str, Any]]:
        return (one for one in self._events if one.get("method") == event)

    def _value(self, session: str, code: str, **known: str) -> Any:
        """Return the value of JavaScript code. It runs in the browser's own world: the page's policy stays in force."""
        code = f"(({', '.join(known)}) => {code})({', '.join(map(json.dumps, known.values()))})"
        result = self.ask("Runtime.evaluate", session, expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"]["value"]


#: a text of a picture may not leave it, nor lie over another text of it
LOOK = """{
    const boxes = [...document.querySelectorAll('svg')].map(svg => [svg.getBoundingClientRect(),
        [...svg.querySelectorAll('text')].map(text => [text.firstChild.data, text.getBoundingClientRect()])]);
    const collisions = boxes.flatMap(([frame, texts]) => texts.flatMap(([text, one], index) => [
        ...(one.left < frame.left - 1 || one.right > frame.right + 1 || one.bottom > frame.bottom + 1
            ? [text + ' leaves its picture'] : []),
        ...texts.slice(index + 1).filter(([, other]) => one.left < other.right && other.left < one.right &&
            one.top < other.bottom - 2 && other.top < one.bottom - 2).map(([other]) => text + ' lies over ' + other)]));
    const named = svg => svg.getAttribute('aria-labelledby').split(' ').map(
        id => document.getElementById(id).textContent);
    return JSON.stringify({
        width: document.documentElement.scrollWidth, visible: document.documentElement.clientWidth,
        text: document.body.innerText, paper: getComputedStyle(document.body).backgroundColor,
        pictures: [...document.querySelectorAll('svg')].map(named), collisions});
}"""
#: the page's own policy would refuse an image, so the bytes are decoded without one
COLOURS = """(async () => {
    const bytes = Uint8Array.from(atob(picture), letter => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes]));
    const context = new OffscreenCanvas(image.width, image.height).getContext('2d');
    context.drawImage(image, 0, 0);
    return new Set(new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer)).size;
})()"""


def program() -> str | None:
    """Return the path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def running(arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """Run a Chromium during the block; a test that needs one that is not installed is skipped."""
    path = program()
    if path is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    theirs_in, to = os.pipe()
    back, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="hart-browser-", ignore_cleanup_errors=True) as place:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has no sandbox for root
        # bash puts the pipes at 3 and 4, wherever they were.
        command = ["bash", "-c", 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"', "bash", str(theirs_in), str(theirs_out)]
        process = subprocess.Popen(
            [*command, path, f"--user-data-dir={place}/profile", *root, *arguments, *QUIET],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out), start_new_session=True,
            env={**os.environ, "HOME": place, "TMPDIR": place},
        )  # fmt: skip
        try:
            os.close(theirs_in)
            os.close(theirs_out)
            yield Browser(process, to, back)
        finally:
            os.close(to)
            os.close(back)
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
