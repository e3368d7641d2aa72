"""A link for each worker that can be cut: a network namespace with a pair of virtual interfaces."""
import contextlib
import ctypes
import os
import subprocess

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Links:
    def __init__(self, names):
        self.prefix = f"bsnn{os.getpid() % 10000}"
        self.net = f"10.{64 + os.getpid() % 128}"  # two runs must not share addresses
        self.numbers = {name: number for number, name in enumerate(names, 1)}
        self.real, self.why_not = True, ""
        try:
            for name, number in self.numbers.items():
                space, host, guest = self._space(name), f"{self.prefix}h{number}", f"{self.prefix}g{number}"
                _ip("netns", "add", space)
                _ip("link", "add", host, "type", "veth", "peer", "name", guest, "netns", space)
                _ip("addr", "add", f"{self.net}.{number}.1/24", "dev", host)
                _ip("link", "set", host, "up")
                _ip("-n", space, "addr", "add", f"{self.net}.{number}.2/24", "dev", guest)
                _ip("-n", space, "link", "set", guest, "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.real, self.why_not = False, str(getattr(error, "stderr", "") or error).strip()
            self.close()

    def _space(self, name):
        return f"{self.prefix}-{name}"

    def host_of(self, name):
        """The host's address, as the worker in its namespace sees it."""
        return f"{self.net}.{self.numbers[name]}.1"

    @contextlib.contextmanager
    def inside(self, name):
        """Processes started meanwhile are in the worker's namespace."""
        if not self.real:
            yield
            return
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{self._space(name)}") as space:
            self._enter(space)
            try:
                yield
            finally:
                self._enter(home)

    @staticmethod
    def _enter(space):
        if libc.setns(space.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    @contextlib.contextmanager
    def cut(self, name):
        """Nothing passes, either way, and nobody is told: each end sends to a machine that is not there."""
        number = self.numbers[name]
        ends = [(("-n", self._space(name)), f"{self.net}.{number}.1", f"{self.prefix}g{number}"),
                ((), f"{self.net}.{number}.2", f"{self.prefix}h{number}")]
        for space, other, device in ends:
            _ip(*space, "neigh", "replace", other, "lladdr", "02:00:00:00:00:99", "dev", device, "nud", "permanent")
        try:
            yield
        finally:
            for space, other, device in ends:
                _ip(*space, "neigh", "del", other, "dev", device)

    def close(self):
        for name in self.numbers:
            subprocess.run(["ip", "netns", "del", self._space(name)], capture_output=True)
