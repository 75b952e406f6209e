"""A process of a peer, there while others take turns; it speaks `benchmarks.peers.protocol`."""

import json
import os
import select
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(RuntimeError):
    """Says what became of a peer's process."""


class Resident:
    """A process that runs a peer's script.

    Args:
      python: path of the interpreter of the peer's environment.
      module: string, what `python -m` runs.
      log: path of the file that gets what the process prints.
      environ: dict of environment variables beside those of this process.
    """

    def __init__(self, python, module, log, environ=None):
        if not os.path.exists(python):
            raise Failed(f"its environment is not there: {python}; `make bench` makes it")
        self.log = Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "w") as file:
            self._process = subprocess.Popen(
                [str(python), "-m", module],
                cwd=ROOT,
                env=dict(os.environ, PYTHONPATH=str(ROOT), **(environ or {})),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                # Unbuffered: `select` looks at the pipe and knows nothing of a buffer.
                bufsize=0,
            )

    def tell(self, **fields):
        """Sends a line and does not wait for what it leads to."""
        try:
            self._process.stdin.write(json.dumps(fields).encode() + b"\n")
        except BrokenPipeError:
            raise Failed(self._last_words()) from None

    def hear(self, timeout):
        """Returns the next answer, a dict; after `timeout` seconds the process is killed."""
        deadline, line = time.monotonic() + timeout, b""
        while not line.endswith(b"}\n"):
            ready, _, _ = select.select(
                [self._process.stdout], [], [], max(0, deadline - time.monotonic())
            )
            if not ready:
                self.kill()
                raise Failed(f"no answer within {timeout:.0f} seconds")
            piece = self._process.stdout.read(1 << 20)
            if not piece:
                raise Failed(self._last_words())
            # A library may print while it is imported, before `serve` turns that away.
            line = (line + piece)[(line + piece).rfind(b"\n", 0, -1) + 1 :]
        return json.loads(line)

    def ask(self, timeout=120, **fields):
        """Sends a line and returns the answer."""
        self.tell(**fields)
        return self.hear(timeout)

    def kill(self):
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _last_words(self):
        self.kill()
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        said = lines[-1][:300] if lines else "nothing was said"
        return f"ended with {self._process.returncode}: {said}"
