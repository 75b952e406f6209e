"""A headless Chromium that a test steers by the DevTools protocol, over a pipe."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# So long, on a busy machine, a page may take to show what is waited for; in seconds.
PATIENCE = 120


def find_chromium():
    """Returns the path of a Chromium; without one skips the test, or fails if one is required."""
    for name in _NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    return give_up(f"no Chromium was found on the PATH, by the names {', '.join(_NAMES)}")


def give_up(message):
    """Skips the test, or fails it if REQUIRE_CHROMIUM is in the environment."""
    if os.environ.get("REQUIRE_CHROMIUM"):
        pytest.fail(f"{message}; REQUIRE_CHROMIUM is set")
    pytest.skip(message)


@contextlib.contextmanager
def open_page(path, profile):
    """Starts Chromium with a new page.

    Args:
      path: string, that of Chromium.
      profile: string, an empty folder.

    Yields:
      `Page`.
    """
    to_browser, from_browser = os.pipe(), os.pipe()

    def use_pipes():
        # Where --remote-debugging-pipe looks for them. The lowest of the four is not below 3, so
        # that the first line does not take the place of what the second one needs.
        os.dup2(to_browser[0], 3)
        os.dup2(from_browser[1], 4)

    process = subprocess.Popen(
        [
            *(path, "--headless", "--no-sandbox", "--disable-dev-shm-usage"),
            # The projector draws with WebGL; there may be no graphics card.
            *("--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
            *("--no-proxy-server", "--window-size=1400,900", f"--user-data-dir={profile}"),
            "--remote-debugging-pipe",
        ],
        pass_fds=(3, 4),
        preexec_fn=use_pipes,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser[0])
    os.close(from_browser[1])
    try:
        yield Page(to_browser[1], from_browser[0])
    finally:
        process.kill()
        process.wait()
        os.close(to_browser[1])
        os.close(from_browser[0])


class Page:
    """A page of the browser."""

    def __init__(self, writing, reading):
        self._writing, self._reading, self._unread = writing, reading, b""
        self._count, self._session = 0, None
        target = self._call("Target.createTarget", url="about:blank")
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]

    def open(self, url):
        """Goes to a URL."""
        self._call("Page.navigate", url=url)

    def prefer(self, scheme):
        """Makes the page see a reader who prefers "light" or "dark"."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def evaluate(self, expression):
        """Returns the value of an expression in JavaScript, None if it cannot be had yet."""
        return self._call("Runtime.evaluate", expression=expression, returnByValue=True)[
            "result"
        ].get("value")

    def wait_for(self, expression):
        """Returns the value of an expression as soon as it is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"the page did not show this within {PATIENCE} s: {expression}")

    def _call(self, method, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        # Between the answers there are events.
        while True:
            answer = json.loads(self._next_message().decode())
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _next_message(self):
        while b"\0" not in self._unread:
            is_there, _, _ = select.select([self._reading], [], [], PATIENCE)
            assert is_there, f"Chromium did not answer within {PATIENCE} s"
            piece = os.read(self._reading, 1 << 16)
            assert piece, "Chromium ended"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        return message
