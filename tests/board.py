"""TensorBoard as a user starts it, and what its page would draw."""

import json
import os
import re
import subprocess
import sys
import time
from urllib.parse import urlencode
from urllib.request import Request, urlopen

DEADLINE = 60  # seconds until the server has read everything


class Server:
    """`tensorboard --logdir FOLDER` and its HTTP API."""

    def __init__(self, folder):
        self.log = folder / "server.log"
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port=0"]
        environment = os.environ | {"PYTHONWARNINGS": "ignore"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.url = self.wait(self._address, lambda url: url is not None)

    def _address(self):
        found = re.search(r"http://\S+?:\d+", self.log.read_text())
        return found and found.group()

    def get(self, path, **query):
        with urlopen(f"{self.url}/data/{path}?{urlencode(query)}") as answer:
            return json.load(answer)

    def post(self, path, body):
        request = Request(f"{self.url}/data/{path}", json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        with urlopen(request) as answer:
            return json.load(answer)

    def scalars(self, run, tag):
        """[(step, value), ...] in the order in which the page draws them."""
        points = self.get("plugin/scalars/scalars", run=run, tag=tag)
        return [(step, value) for _, step, value in points]

    def wait(self, ask, is_enough):
        """What `ask` answers, once it is enough; the server reads in the background."""
        end = time.monotonic() + DEADLINE
        while not is_enough(answer := ask()):
            assert time.monotonic() < end, f"{answer}: {self.log.read_text()}"
            time.sleep(0.1)
        return answer

    def close(self):
        """End the server."""
        self.process.terminate()
        self.process.wait()


def curves(folder):
    """{run: {tag: [(step, value), ...]}} of all runs below a folder that a test has ended."""
    server = Server(folder)
    runs = {str(path.parent.relative_to(folder)) for path in folder.rglob("tensorboard/events.*")}
    tags = server.wait(
        lambda: server.get("plugin/scalars/tags"),
        lambda known: runs <= known.keys() and all("test/acc" in known[run] for run in runs),
    )
    drawn = {
        run: {tag: server.scalars(run, tag) for tag in tags[run] if "images_per_s" not in tag}
        for run in sorted(runs)
    }
    server.close()
    return drawn
