"""The main job: train with AGMM, watch the flips in Prometheus, fetch the checkpoint, classify."""
import hashlib
import json
import math
import pathlib
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
import warnings

import pytest
from bsnn.v1 import job_pb2
from ports import free_port
from service import BIN, SHARED, run_alone, small_job, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def prometheus(service, tmp_path):
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed (deploy/install-dependencies)")
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n"
        f"- {{job_name: bsnn, static_configs: [{{targets: ['{service.metrics_address}']}}]}}\n")
    log = open(tmp_path / "prometheus.log", "wb")
    process = subprocess.Popen(["prometheus", f"--config.file={tmp_path}/prometheus.yml",
                                f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
                               stdout=log, stderr=log)

    def query(text):
        url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return json.load(reply)["data"]["result"]
        except OSError:
            return []
    yield query
    process.kill()
    process.wait()


def job_spec():
    if (SHARED / "datasets" / "mnist").is_dir():
        spec = small_job(epochs=2)
        spec["data"] = {"name": "mnist", "train_limit": 6400, "test_limit": 1000}
        return spec, SHARED / "datasets" / "mnist"
    warnings.warn("BSNN_SHARED has no MNIST here: the generated set is used", stacklevel=2)
    return small_job(epochs=3), None


def test_main_job(service, prometheus, tmp_path):
    spec, data = job_spec()
    service.start_worker("w1", data)
    job = service.submit(spec=spec)
    states = [watched.state for watched in service.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=120)]
    assert states[-1] == job_pb2.Job.SUCCEEDED
    assert job_pb2.Job.RUNNING in states
    ended = service.get(job.name)
    assert len(ended.attempts) == 1 and ended.restart_count == 0
    assert ended.result.accuracy_ratio > (0.85 if data else 0.2)

    # Prometheus has, per layer, exactly what the trainer reported.
    history = service.metrics(job.name)
    steps = max(step for (_, _, _, _, step) in history)
    flips = {layer: value for (name, layer, _, _, step), value in history.items()
             if name == "sign_flip_ratio" and step == steps}
    assert set(flips) == {"conv2", "conv3", "all"}
    query = f'bsnn_job_sign_flip_ratio{{training_job="{job.name.removeprefix("jobs/")}"}}'
    scraped = {}

    def equal():
        nonlocal scraped
        scraped = {r["metric"]["layer"]: repr(float(r["value"][1])) for r in prometheus(query)}
        return scraped == flips
    wait_for(f"Prometheus to have {flips}", equal, 20)

    # The checkpoint comes back over gRPC, whole, and classifies as the trainer said.
    checkpoint = service.list_checkpoints(job.name)[0]
    assert checkpoint.name == ended.result.checkpoint and checkpoint.digest == ended.result.checkpoint_digest
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for file in checkpoint.files:
        content = service.download(checkpoint.name, file.name)
        assert len(content) == file.size_bytes and hashlib.sha256(content).hexdigest() == file.sha256
        (folder / file.name).write_bytes(content)
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == checkpoint.digest
    done = subprocess.run([BIN / "bsnn-train", "--evaluate", folder, "--data", data or tmp_path, "--predictions",
                           tmp_path / "predictions.csv"], capture_output=True, text=True, check=True)
    shown = re.search(r"test accuracy ([0-9.]+) %", done.stdout)
    assert shown and math.isclose(float(shown[1]), 100 * ended.result.accuracy_ratio, abs_tol=0.006)
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + (1000 if data else 256)


def test_same_bytes_through_the_service_and_alone(service, tmp_path):
    spec = small_job(epochs=2)
    service.start_worker()
    ended = service.wait_end(service.submit(spec=spec).name)
    history, finished = run_alone(tmp_path / "alone", spec)
    assert finished["outcome"] == "succeeded"
    assert ended.result.checkpoint_digest == finished["checkpoint_digest"]
    assert service.metrics(ended.name) == history


def test_metrics_are_clean(service):
    service.start_worker()
    service.wait_end(service.submit(spec=small_job(epochs=1)).name)
    with urllib.request.urlopen(f"http://{service.metrics_address}/metrics", timeout=5) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = reply.read()
    assert b"bsnn_job_sign_flip_ratio{" in text
    documented = (ROOT / "docs" / "metrics.md").read_text()
    families = re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE)
    assert len(families) > 20 and not [family for family in families if f"`{family}`" not in documented]
    shown = set(re.findall(r"^(bsnn_job_[a-z0-9_]+)\{", text.decode(), re.MULTILINE))
    job_families = set(re.findall(r"`(bsnn_job_[a-z0-9_]+)`", documented))
    assert job_families - shown <= {"bsnn_job_transitions_total", "bsnn_job_restarts_total",
                                    "bsnn_job_device_memory_peak_bytes"}
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian's prometheus)")
    linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert linted.returncode == 0, linted.stderr.decode()


def test_series_of_an_ended_job_leave(tmp_path):
    from service import Service
    service = Service(tmp_path)
    service.start_coordinator("--metrics-finished-job-retention-seconds", 1)
    try:
        service.start_worker()
        job = service.wait_end(service.submit(spec=small_job(epochs=1)).name)
        def gone():
            with urllib.request.urlopen(f"http://{service.metrics_address}/metrics", timeout=5) as reply:
                return job.name.removeprefix("jobs/") not in reply.read().decode()
        wait_for("the job's series to leave /metrics", gone, 20)
    finally:
        service.stop()
