"""Fills a coordinator's data folder over its API: jobs in every state that one version can bring about.

How the folders beside this file were made: `git checkout VERSION`, build bsnn-coordinator, then
  BSNN_BIN=build/svc/bin python3 tests/regression/data/fill.py FOLDER
FOLDER must not exist. It gets what the coordinator keeps, and replies.json: what its API then said.
"""
import hashlib
import json
import pathlib
import shutil
import sys
import tempfile
import time
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scenarios"))
import conftest  # noqa: E402,F401  (generates the protos)
from bsnn.v1 import checkpoint_pb2, event_pb2, job_pb2, spec_pb2, worker_pb2  # noqa: E402
from google.protobuf import json_format, timestamp_pb2  # noqa: E402
from service import Service, fill, wait_for  # noqa: E402


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Worker:
    """A worker with model trainers: it says what this script tells it to say."""

    def __init__(self, service, name, slots, device="cpu"):
        self.service, self.name, self.sequences = service, name, {}
        self.phases = {}
        service.worker_service.RegisterWorker(worker_pb2.RegisterWorkerRequest(
            worker_id=name, incarnation=f"incarnation-{name}", version="0.1.0", hostname=f"host-{name}",
            slots=[worker_pb2.Slot(index=i, device=device, description=f"{device} {i}", memory_bytes=i << 30)
                   for i in range(slots)]), timeout=10)

    def synchronize(self):
        reply = self.service.worker_service.Synchronize(worker_pb2.SynchronizeRequest(
            worker=f"workers/{self.name}", incarnation=f"incarnation-{self.name}",
            attempts=[worker_pb2.AttemptReport(job=job, epoch=epoch, phase=phase)
                      for (job, epoch), phase in self.phases.items()]), timeout=10)
        return {order.job: order for order in reply.orders}

    def take(self, job):
        """Waits for the order to run `job`, and holds the attempt from then on."""
        order = wait_for(f"an order for {job}", lambda: self.synchronize().get(job), 30)
        self.phases[job, order.epoch] = worker_pb2.AttemptReport.TRAINING
        return order

    def publish(self, job, epoch, *events):
        first = self.sequences.get((job, epoch), 0) + 1
        for i, event in enumerate(events):
            event.sequence = first + i
            event.event_time.CopyFrom(timestamp_pb2.Timestamp(seconds=1_700_000_000 + first + i, nanos=123_456_789))
        self.service.worker_service.PublishEvents(worker_pb2.PublishEventsRequest(
            worker=f"workers/{self.name}", job=job, epoch=epoch, events=events), timeout=10)
        self.sequences[job, epoch] = first + len(events) - 1
        if events[-1].HasField("finished"):
            del self.phases[job, epoch]

    def upload(self, job, epoch, step, accuracy):
        content = {"model.safetensors": f"{job} {step}".encode() * 40, "training.safetensors": b""}
        files = [{"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
                 for name, data in content.items()]
        manifest = json.dumps({"accuracy_ratio": accuracy, "epoch": 1, "files": files, "format": "bsnn-checkpoint",
                               "kind": "full", "spec": {}, "step": step, "version": 1}, indent=2).encode() + b"\n"
        Request = checkpoint_pb2.UploadCheckpointRequest

        def requests():
            yield Request(begin=Request.Begin(worker=f"workers/{self.name}", job=job, attempt_epoch=epoch,
                                              manifest=manifest))
            for name, data in content.items():
                if data:
                    yield Request(file_chunk=Request.FileChunk(file=name, chunk=checkpoint_pb2.Chunk(
                        offset=0, data=data, crc32c=crc32c(data))))
            yield Request(finish=True)
        published = [reply.published for reply in self.service.checkpoints.UploadCheckpoint(requests(), timeout=20)
                     if reply.HasField("published")]
        return published[0]


def started(**fields):
    return event_pb2.Event(started=event_pb2.Started(
        **{"device": "cpu", "threads": 1, "parameters": 55_000, "binary_weights": 50_000, "steps_per_epoch": 10,
           "steps_total": 30, **fields}))


def report(step):
    """What a trainer says at one step."""
    points = [event_pb2.MetricPoint(name=name, layer=layer, split=split, time_step=t, step=step, epoch=1 + step // 10,
                                    value=value)
              for name, layer, split, t, value in [("loss", "", "train", -1, 2.5 / step),
                                                   ("flip_ratio", "conv2", "", -1, step / 1000),
                                                   ("alpha", "conv3", "", 1, float("nan")),
                                                   ("accuracy_ratio", "", "test", -1, step / 100)]]
    progress = event_pb2.Progress(step=step, steps_total=30, epoch=1 + step // 10, epochs_total=3,
                                  images_per_second=640.5, eta_seconds=3.25)
    log = event_pb2.LogLine(severity=event_pb2.WARNING, message=f"step {step}: \"quoted\" \u00e9")
    return [event_pb2.Event(progress=progress), *[event_pb2.Event(metric=point) for point in points],
            event_pb2.Event(log=log)]


def finished(outcome, **fields):
    return event_pb2.Event(finished=event_pb2.Finished(outcome=outcome, **fields))


EVERY_FIELD = {
    "network": {"name": "vggsnn", "kind": "bsnn", "time_steps": 4, "ends": "int8"},
    "neuron": {"decay": 0.25, "threshold": 0.75, "reset": "soft", "detach_reset": True, "surrogate": "sigmoid",
               "surrogate_width": 4.0},
    "binarization": {"method": "mean_abs", "sharpness_start": 0.2, "sharpness_end": 20.0},
    "agmm": {"reduce": "channel", "alpha_mode": "learn_tc", "alpha_init": 0.5, "gradient": "detach", "input": "abs",
             "place": "on_spikes"},
    "loss": {"name": "tet", "tet_lambda": 0.1, "tet_phi": 0.9, "label_smoothing": 0.1, "firing_rate_lambda": 0.01,
             "firing_rate_target": 0.2},
    "optimizer": {"name": "adamw", "learning_rate": 0.001, "binary_rate_factor": 2.0, "momentum": 0.8,
                  "weight_decay": 0.0005, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-7, "flip_threshold": 1e-5,
                  "flip_rate": 0.01, "flip_square_rate": 1e-4, "gradient_clip": 1.5},
    "schedule": {"name": "step", "warmup_epochs": 2, "step_epochs": 20, "step_factor": 0.2},
    "data": {"name": "cifar10_dvs", "train_limit": 1000, "test_limit": 100, "picture_side": 64, "frames_by": "duration",
             "frame_duration_us": 1000, "frame_values": "share_of_max", "frame_side": 48, "split": "from_100"},
    "augmentation": {"crop_padding": 4, "flip": True, "cutout": 8, "roll": 5},
    "training": {"epochs": 7, "batch_size": 32, "batch_parts": 2, "seed": 77, "report_every_steps": 3,
                 "precision": "bf16", "products": "tables", "batch_norm_over": "all_ranks"},
    "checkpoint": {"every_epochs": 2, "every_steps": 5, "keep_latest": 3, "keep_best": 2},
    "resources": {"device": "cuda", "threads": 3, "loader_threads": 2},
    "scheduling": {"priority": 9, "max_restarts": 3, "restart_backoff_seconds": 2.5, "deadline_seconds": 86400,
                   "grace_seconds": 60}}


def make_jobs(service):
    def submit(name, spec=None, device="cpu", **job):
        request = job_pb2.Job(spec=spec_pb2.JobSpec(), **job)
        fill(request.spec, spec or {"resources": {"device": device}})
        return service.jobs.CreateJob(job_pb2.CreateJobRequest(job_id=name, request_id=str(uuid.uuid4()), job=request),
                                      timeout=10).name

    Finished = event_pb2.Finished
    worker = Worker(service, "w1", 4)
    job = submit("succeeded", {"checkpoint": {"keep_latest": 2, "keep_best": 1}, "network": {"time_steps": 3}},
                 display_name="A \"name\" \u00e9", labels={"team": "vision", "empty": ""})
    worker.take(job)
    worker.publish(job, 1, started(), *report(10))
    worker.publish(job, 1, finished(Finished.FAILED, failure_class="infrastructure", message="out of memory"))
    epoch = worker.take(job).epoch
    worker.publish(job, epoch, started(), *report(10), *report(20))
    worker.upload(job, epoch, 20, 0.75)
    worker.publish(job, epoch, *report(30))
    last = worker.upload(job, epoch, 30, "NaN")
    service.checkpoints.PinCheckpoint(checkpoint_pb2.PinCheckpointRequest(name=last.name, pinned=True), timeout=10)
    worker.publish(job, epoch, finished(Finished.SUCCEEDED, step=30, accuracy_ratio=0.3, checkpoint_digest=last.digest))

    job = submit("failed")
    worker.take(job)
    worker.publish(job, 1, started(), finished(Finished.FAILED, failure_class="user_error", message="no such data set"))

    job = submit("expired", {"scheduling": {"deadline_seconds": 1, "grace_seconds": 1}})
    worker.take(job)
    worker.publish(job, 1, started(), *report(1))
    service.wait_end(job)
    del worker.phases[job, 1]

    job = submit("deleted")
    worker.take(job)
    worker.publish(job, 1, started(), *report(1), finished(Finished.FAILED, failure_class="user_error", message="x"))
    service.jobs.DeleteJob(job_pb2.DeleteJobRequest(name=job), timeout=10)

    job = submit("backing-off", {"scheduling": {"restart_backoff_seconds": 300.0}})
    worker.take(job)
    worker.publish(job, 1, started(), *report(5))
    worker.upload(job, 1, 5, 0.5)
    worker.publish(job, 1, finished(Finished.FAILED, failure_class="infrastructure", message="killed by signal 9"))

    for name in ("running", "cancelling"):
        job = submit(name)
        worker.take(job)
        worker.publish(job, 1, started(), *report(7), *report(8))
        worker.upload(job, 1, 7, 0.1)
    service.jobs.CancelJob(job_pb2.CancelJobRequest(name="jobs/cancelling"), timeout=10)
    worker.take(submit("starting"))
    job = submit("cancelled", device="cuda")
    service.jobs.CancelJob(job_pb2.CancelJobRequest(name=job), timeout=10)
    submit("queued", EVERY_FIELD, labels={"key": "value"}, display_name="every field")
    submit("", device="cuda")  # an id of the coordinator's choice


def ask(service):
    """What the API says of everything there is."""
    as_json = json_format.MessageToDict
    jobs = service.jobs.ListJobs(job_pb2.ListJobsRequest(page_size=1000), timeout=10).jobs
    replies = {"jobs": [as_json(job) for job in jobs], "checkpoints": {}, "files": {}, "metrics": {}, "logs": {}}
    for job in jobs:
        checkpoints = service.checkpoints.ListCheckpoints(
            checkpoint_pb2.ListCheckpointsRequest(parent=job.name), timeout=10).checkpoints
        replies["checkpoints"][job.name] = [as_json(checkpoint) for checkpoint in checkpoints]
        for checkpoint in checkpoints:
            for file in checkpoint.files:
                data = service.download(checkpoint.name, file.name)
                replies["files"][f"{checkpoint.name}/{file.name}"] = hashlib.sha256(data).hexdigest()
        page = service.jobs.ListMetrics(job_pb2.ListMetricsRequest(parent=job.name, page_size=10000), timeout=10)
        replies["metrics"][job.name] = [as_json(point) for point in page.points]
        replies["logs"][job.name] = [as_json(entry) for reply in service.jobs.StreamLogs(
            job_pb2.StreamLogsRequest(parent=job.name), timeout=10) for entry in reply.entries]
    workers = service.worker_service.ListWorkers(worker_pb2.ListWorkersRequest(), timeout=10).workers
    replies["workers"] = [as_json(worker) for worker in workers]
    return replies


# Long limits: what runs when the folder is opened years later still runs a moment after.
LONG = ["--lease-seconds", 3600, "--cancel-margin-seconds", 3600, "--start-limit-seconds", 604800,
        "--hang-limit-seconds", 604800]


def main(folder):
    with tempfile.TemporaryDirectory() as temporary:
        service = Service(pathlib.Path(temporary))
        service.start_coordinator(*LONG)
        try:
            make_jobs(service)
            time.sleep(1)
            replies = ask(service)
            assert service.coordinator.kill(15) == 0
        finally:
            service.stop()
        shutil.copytree(service.folder / "coordinator", folder, ignore=shutil.ignore_patterns("lock"))
    (folder / "replies.json").write_text(json.dumps(replies, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
