"""Starts, kills and asks the real programs. Every wait has a limit and says what it waited for."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import grpc
from bsnn.v1 import checkpoint_pb2, checkpoint_pb2_grpc, job_pb2, job_pb2_grpc, spec_pb2, worker_pb2_grpc
from timed import TIMED

BIN = pathlib.Path(os.environ["BSNN_BIN"])
SHARED = pathlib.Path(os.environ.get("BSNN_SHARED", pathlib.Path(__file__).parents[2] / ".." / "shared")).resolve()
FINAL = {job_pb2.Job.SUCCEEDED, job_pb2.Job.FAILED, job_pb2.Job.CANCELLED, job_pb2.Job.EXPIRED}


def wait_for(what, condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


class Program:
    def __init__(self, name, arguments, log):
        self.name, self.log = name, log
        with open(log, "ab") as output:
            self.process = subprocess.Popen([str(BIN / name), *map(str, arguments)], stdout=output, stderr=output,
                                            stdin=subprocess.DEVNULL)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.process.wait(60)

    def text(self):
        return self.log.read_text(errors="replace")


class Service:
    def __init__(self, folder):
        self.folder = folder
        self.address = None
        self.metrics_address = None
        self.coordinator = None
        self.workers = {}
        self.channel = None

    def start_coordinator(self, *extra):
        """The first start takes free ports, later ones the same."""
        file, metrics_file = self.folder / "address", self.folder / "metrics-address"
        file.unlink(missing_ok=True)
        self.coordinator = Program(
            "bsnn-coordinator",
            ["--data", self.folder / "coordinator", "--listen", self.address or "127.0.0.1:0", "--metrics-listen",
             self.metrics_address or "127.0.0.1:0", "--address-file", file, "--metrics-address-file", metrics_file,
             "--lease-seconds", 2, "--next-call-seconds", 0.2, "--next-call-busy-seconds", 0.05, *extra],
            self.folder / "coordinator.log")

        def served():
            assert self.coordinator.process.poll() is None, self.coordinator.text()
            return file.exists()
        wait_for("the coordinator's address", served)
        self.address = file.read_text().strip()
        self.metrics_address = metrics_file.read_text().strip()
        if self.channel is None:
            self.channel = grpc.insecure_channel(self.address, options=[("grpc.max_reconnect_backoff_ms", 200),
                                                                        ("grpc.initial_reconnect_backoff_ms", 50)])
            self.jobs = job_pb2_grpc.JobServiceStub(self.channel)
            self.checkpoints = checkpoint_pb2_grpc.CheckpointServiceStub(self.channel)
            self.worker_service = worker_pb2_grpc.WorkerServiceStub(self.channel)

    def start_worker(self, name="w1", data=None, *extra, address=None):
        self.workers[name] = Program(
            "bsnn-worker",
            ["--coordinator", address or self.address, "--id", name, "--data", data or self.folder, "--work",
             self.folder / f"work-{name}", "--cpu-slots", 1, "--threads-per-slot", 1, *extra],
            self.folder / f"worker-{name}.log")

    def stop(self):
        for program in [*self.workers.values(), self.coordinator]:
            if program and program.process.poll() is None:
                program.kill()
        if self.channel:
            self.channel.close()

    # ---- Asking ----

    def submit(self, job_id="", request_id="", spec=None, **fields):
        job = job_pb2.Job(spec=spec_pb2.JobSpec())
        fill(job.spec, spec or {})
        for path, value in fields.items():
            section, name = path.split("__")
            setattr(getattr(job.spec, section), name, value)
        return self.jobs.CreateJob(job_pb2.CreateJobRequest(job_id=job_id, request_id=request_id, job=job), timeout=10)

    def get(self, name):
        return self.jobs.GetJob(job_pb2.GetJobRequest(name=name), timeout=10, wait_for_ready=True)

    def wait_until(self, name, what, condition, seconds=60.0):
        def look():
            with contextlib.suppress(grpc.RpcError):
                job = self.get(name)
                if condition(job):
                    return job
                assert job.state not in FINAL, f"{what}: the job is {job}"
            return None
        return wait_for(f"{name}: {what}", look, seconds)

    def wait_end(self, name, seconds=120.0):
        def look():
            with contextlib.suppress(grpc.RpcError):
                job = self.get(name)
                return job if job.state in FINAL else None
            return None
        return wait_for(f"the end of {name}", look, seconds)

    def metrics(self, name):
        """Series and step to value, of everything the job ever reported, as it is kept."""
        points, token = [], ""
        while True:
            page = self.jobs.ListMetrics(job_pb2.ListMetricsRequest(parent=name, page_size=10000, page_token=token),
                                         timeout=20)
            points.extend(page.points)
            token = page.next_page_token
            if not token:
                break
        history = {(p.name, p.layer, p.split, p.time_step, p.step): p.value for p in points}
        assert len(history) == len(points), "a point is kept twice"
        return {key: repr(value) for key, value in history.items() if key[0] not in TIMED}

    def download(self, checkpoint, file, offset=0, limit=0):
        request = checkpoint_pb2.DownloadCheckpointRequest(name=checkpoint, file=file, read_offset=offset,
                                                           read_limit=limit)
        return b"".join(reply.chunk.data for reply in self.checkpoints.DownloadCheckpoint(request, timeout=30))

    def list_checkpoints(self, name):
        return self.checkpoints.ListCheckpoints(checkpoint_pb2.ListCheckpointsRequest(parent=name),
                                                timeout=10).checkpoints

    def trainer_pid(self, worker="w1"):
        children = subprocess.run(["pgrep", "-P", str(self.workers[worker].process.pid), "bsnn-train"],
                                  capture_output=True, text=True).stdout.split()
        return int(children[0]) if children else None

    def ctl(self, *arguments, code=0, timeout=60, address=None):
        """bsnnctl's output; its exit code must be `code`."""
        done = subprocess.run([str(BIN / "bsnnctl"), *map(str, arguments)], capture_output=True, text=True,
                              timeout=timeout, env={**os.environ, "BSNN_COORDINATOR": address or self.address})
        assert done.returncode == code, f"bsnnctl {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr


class CuttingProxy:
    """Forwards TCP to the coordinator and cuts its first connections, each after so many bytes."""

    def __init__(self, target, cuts):
        host, port = target.rsplit(":", 1)
        self.target, self.cuts, self.lock, self.cut_count = (host, int(port)), list(cuts), threading.Lock(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            with self.lock:
                budget = [self.cuts.pop(0) if self.cuts else None]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink, budget), daemon=True).start()

    def _copy(self, source, sink, budget):
        with contextlib.suppress(OSError):
            while block := source.recv(4096):
                with self.lock:
                    if budget[0] is not None:
                        budget[0] -= len(block)
                        if budget[0] < 0:
                            self.cut_count += 1
                            break
                sink.sendall(block)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


def fill(message, values):
    for name, value in values.items():
        if isinstance(value, dict):
            fill(getattr(message, name), value)
        else:
            setattr(message, name, value)


def small_job(epochs=6, pictures=1280, seed=1):
    """A few seconds of training on the generated set, a checkpoint an epoch."""
    return {"data": {"name": "generated", "train_limit": pictures, "test_limit": 256},
            "training": {"epochs": epochs, "seed": seed, "report_every_steps": 5},
            "checkpoint": {"every_epochs": 1}, "scheduling": {"restart_backoff_seconds": 0.1}}


def run_alone(folder, spec):
    """bsnn-train without the service: its events and the digest of its last checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run([str(BIN / "bsnn-train"), "--spec", str(folder / "spec.json"), "--data", str(folder), "--out",
                    str(folder / "out"), "--device", "cpu", "--threads", "1"], check=True, capture_output=True)
    events = [json.loads(line) for line in (folder / "out" / "events.jsonl").read_text().splitlines()]
    number = lambda v: float(v.replace("Infinity", "inf")) if isinstance(v, str) else float(v)
    history = {(e["name"], e["layer"], e["split"], e["time_step"], e["step"]): repr(number(e["value"]))
               for e in events if e["type"] == "metric" and e["name"] not in TIMED}
    return history, events[-1]
