"""Debian's Chromium without a screen, driven by its DevTools protocol: for tests of pages."""
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request

from sample import BOUND, until

try:
    import websocket
except ImportError:
    websocket = None

CHROMIUM = shutil.which("chromium")
MISSING = ("python3-websocket is not installed" if websocket is None else
           "Debian's package chromium, which is 300 MB and not installed by ./dev, is missing" if CHROMIUM is None else "")


class Browser:
    """One tab. `faults`: what the page has complained of: exceptions, errors on the console, what its policy forbids."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self.process = subprocess.Popen(
                [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
                 f"--user-data-dir={profile}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(self.end)
            port_file = os.path.join(profile, "DevToolsActivePort")
            until(lambda: os.path.exists(port_file) and "\n" in open(port_file).read(), "Chromium's port", 60)
            port = open(port_file).read().split("\n")[0]
            until(lambda: self.pages(port), "a tab", 60)
            self.socket = websocket.create_connection(self.pages(port)[0], timeout=BOUND, suppress_origin=True)
            stack.callback(self.socket.close)
            self.numbers = itertools.count(1)
            self.faults = []
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(BOUND)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @staticmethod
    def pages(port):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=BOUND) as answer:
            return [t["webSocketDebuggerUrl"] for t in json.load(answer) if t["type"] == "page"]
        return []

    def call(self, method, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self.note(message)

    def note(self, event):
        of = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.faults.append(of["exceptionDetails"].get("exception", {}).get("description") or of["exceptionDetails"]["text"])
        elif event.get("method") == "Log.entryAdded" and of["entry"]["level"] == "error":
            # That a server is away is what a test may want; it is said of the network and not of the page.
            if of["entry"]["source"] != "network":
                self.faults.append(of["entry"]["text"])

    def show(self, width, height, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, address):
        self.value("window.isLeft = true")
        self.call("Page.navigate", url=address)
        self.until("!window.isLeft && document.readyState === 'complete'", "another page")

    def value(self, expression):
        """What the expression is in the page; None while it fails."""
        told = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return None if "exceptionDetails" in told else told["result"].get("value")

    def text(self, selector):
        return self.value(f"document.querySelector({json.dumps(selector)}).innerText") or ""

    def until(self, expression, what, bound=60):
        until(lambda: self.value(expression), lambda: f"{what}; the page says: {self.text('body')[:2000]}", bound)

    def photograph(self, path, whole=True):
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
