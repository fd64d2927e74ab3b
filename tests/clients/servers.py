"""Programs under test: started, waited for, and stopped again."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

HERE = pathlib.Path(__file__).parent
START_SECONDS = 60
STOP_SECONDS = 10


def wait_for(what: str, look: Callable, seconds: float = 30):
    """What `look` finds, once it finds something. Bounded, and never an assertion of speed."""
    until = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < until, f"{what} did not come within {seconds} s"
        time.sleep(0.02)


class Server:
    """A program that says `listening on URL`, as a context manager."""

    def __init__(
        self,
        command: list,
        output: pathlib.Path,
        env: dict[str, str] | None = None,
        pass_fds: Iterable[int] = (),
    ):
        self.output = output
        with output.open("wb") as out:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | (env or {}),
                pass_fds=pass_fds,
            )

    def said(self, pattern: str) -> str:
        """The first group of `pattern` in what the program printed, once it is there."""

        def look():
            text = self.output.read_text(errors="replace")
            alive = self._process.poll() is None
            found = re.search(pattern, text, re.MULTILINE)
            assert found or alive, f"it ended with {self._process.returncode}:\n{text[-4000:]}"
            return found

        return wait_for(f"{pattern!r} in {self.output}", look, START_SECONDS).group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Model(Server):
    """SmolLM2 behind llama.cpp's own HTTP server, which wants a token."""

    NAME = "smollm2"

    def __init__(self, work: pathlib.Path, token: str, port: int = 0):
        self.token = token
        output = work / f"model-{port}.out"
        super().__init__([sys.executable, HERE / "model.py", port], output, {"MODEL_TOKEN": token})

    def __enter__(self):
        self.url = self.said(r"^listening on (http://\S+)$")
        return self


class Gateway(Server):
    """The example. `token` is one that it takes."""

    def __init__(self, work: pathlib.Path, name: str, *flags, env: dict[str, str] | None = None):
        self._log = work / f"{name}.log"
        binary = os.environ["CLIENTS_GATEWAY"]
        # Nothing is in flight any more when it is stopped: no peer has to be waited for.
        command = [binary, "--listen", "127.0.0.1:0", "--drain", "0s"]
        command += ["--access-log", self._log, *flags]
        super().__init__(command, work / f"{name}.out", env)
        self.token = None

    def __enter__(self):
        self.url = self.said(r"^listening on (http://\S+)$")
        return self

    def records(self) -> list[dict]:
        """What the access log holds so far. The last line may be half written: it waits."""
        if not self._log.exists():
            return []
        lines = self._log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def record(self, request_id: str) -> dict:
        """The one of this request. It is written at the request's true end, so it may be late."""
        assert request_id

        def look():
            return [it for it in self.records() if it.get("request_id") == request_id]

        [record] = wait_for(f"the record of {request_id}", look)
        return record
