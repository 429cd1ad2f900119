"""What the programs under Tests/Validate share: processes that tell of themselves on status lines, and network namespaces."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time


class Skipped(Exception):
    pass


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Namespace:
    """A namespace and a veth pair into it; gone at the end, whatever happens."""

    def __init__(self, place=0):
        """`place` tells several of one process apart, below 16."""
        number = (os.getpid() * 16 + place) % 100_000
        self.name = f"millrace-{number}"
        self.outer, self.inner = f"mro{number}", f"mri{number}"
        # Four addresses of 198.18.0.0/15 (RFC 2544: for measurements), so that two runs do not meet.
        base = (number % 16_384) * 4
        self.address, self.far = (f"198.18.{(base + n) // 256}.{(base + n) % 256}" for n in (1, 2))

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skipped("network namespaces need root")
        for tool in ("ip", "tc"):
            if not shutil.which(tool):
                raise Skipped(f"`{tool}` is missing (Debian: apt-get install iproute2)")
        try:
            run("ip", "netns", "add", self.name)
            run("ip", "link", "add", self.outer, "type", "veth", "peer", "name", self.inner, "netns", self.name)
            run("ip", "addr", "add", f"{self.address}/30", "dev", self.outer)
            run("ip", "link", "set", self.outer, "up")
            self.inside("ip", "addr", "add", f"{self.far}/30", "dev", self.inner)
            self.inside("ip", "link", "set", self.inner, "up")
            self.inside("ip", "link", "set", "lo", "up")
        except (RuntimeError, OSError) as error:
            self.__exit__()
            raise Skipped(f"no network namespace can be made here: {error}")
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", self.outer], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def prefix(self):
        return ["ip", "netns", "exec", self.name]

    def inside(self, *command):
        return run(*self.prefix(), *command)

    def shape(self, rate, limit):
        """tbf both ways: one datagram at a time (burst of one), `limit` bytes waiting."""
        tbf = ["root", "tbf", "rate", f"{rate}bit", "burst", "1540", "limit", str(limit)]
        run("tc", "qdisc", "add", "dev", self.outer, *tbf)
        self.inside("tc", "qdisc", "add", "dev", self.inner, *tbf)

    def dropped(self):
        text = json.loads(run("tc", "-s", "-j", "qdisc", "show", "dev", self.outer))
        return sum(q.get("drops", 0) for q in text if q.get("kind") == "tbf")


class Child:
    """One process, heard through its status lines."""

    def __init__(self, command, log):
        self.command = command
        self.log = open(log, "w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.events = {}
        self.history = []
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            at = time.monotonic()
            try:
                value = json.loads(line)
            except ValueError:
                continue
            with self.changed:
                self.events.setdefault(value.get("event"), (at, value))
                if value.get("event") in ("status", "final"):
                    self.history.append((at, value))
                self.changed.notify_all()
        with self.changed:
            self.events.setdefault("end", (time.monotonic(), {}))
            self.changed.notify_all()

    def wait(self, event, seconds):
        """(when, what) of the first such event; None when the process ended or the time was up."""
        with self.changed:
            self.changed.wait_for(lambda: event in self.events or "end" in self.events, seconds)
            return self.events.get(event)

    def need(self, event, seconds=30):
        found = self.wait(event, seconds)
        if not found:
            self.log.seek(0)
            raise RuntimeError(f"no `{event}` from {' '.join(self.command[:6])}…: {self.log.read()[-600:]}")
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(4)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def priority():
    """A prefix that gives real-time priority, where that is allowed: other load on the machine then waits."""
    if not shutil.which("chrt"):
        return []
    test = subprocess.run(["chrt", "-r", "10", "true"], capture_output=True)
    return ["chrt", "-r", "10"] if test.returncode == 0 else []
