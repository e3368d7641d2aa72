"""SIGKILL of anything at any time, outages: the job ends with the right result, once."""
import os
import random
import signal
import time

import pytest
from bsnn.v1 import job_pb2
from service import run_alone, small_job, wait_for

SPEC = small_job(epochs=8)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    history, finished = run_alone(tmp_path_factory.mktemp("alone"), SPEC)
    assert finished["outcome"] == "succeeded"
    return history, finished["checkpoint_digest"]


def check_end(service, job, undisturbed, restarts):
    ended = service.wait_end(job.name)
    assert ended.state == job_pb2.Job.SUCCEEDED, ended
    history, digest = undisturbed
    assert ended.result.checkpoint_digest == digest
    assert service.metrics(job.name) == history
    assert restarts[0] <= ended.restart_count <= restarts[1]
    assert all(attempt.HasField("end_time") for attempt in ended.attempts)
    epochs = [attempt.epoch for attempt in ended.attempts]
    assert epochs == sorted(set(epochs))
    return ended


@pytest.mark.parametrize("seed", range(3))
def test_trainer_is_killed(service, undisturbed, seed):
    service.start_worker()
    job = service.submit(spec=SPEC)
    at = random.Random(seed).randint(5, 140)
    service.wait_until(job.name, f"step {at}", lambda j: j.progress.step >= at)
    os.kill(service.trainer_pid(), signal.SIGKILL)
    ended = check_end(service, job, undisturbed, (1, 1))
    assert "signal 9" in ended.attempts[0].message
    if at >= 25:  # the first checkpoint is at step 20
        assert ended.attempts[1].resumed_from_step > 0


@pytest.mark.parametrize("seed", range(3))
def test_worker_is_killed(service, undisturbed, seed):
    service.start_worker()
    job = service.submit(spec=SPEC)
    at = random.Random(100 + seed).randint(5, 140)
    service.wait_until(job.name, f"step {at}", lambda j: j.progress.step >= at)
    trainer = service.trainer_pid()
    service.workers["w1"].kill()
    wait_for("the trainer to die with its worker", lambda: not os.path.exists(f"/proc/{trainer}"), 10)
    service.start_worker()
    check_end(service, job, undisturbed, (1, 1))


def test_another_worker_takes_over(service, undisturbed):
    service.start_worker("w1")
    job = service.submit(spec=SPEC)
    service.wait_until(job.name, "step 45", lambda j: j.progress.step >= 45)
    service.workers["w1"].kill()
    service.start_worker("w2")
    ended = check_end(service, job, undisturbed, (1, 1))
    assert [attempt.worker for attempt in ended.attempts] == ["workers/w1", "workers/w2"]


@pytest.mark.parametrize("seed", range(4))
def test_coordinator_is_killed(service, undisturbed, seed):
    service.start_worker()
    job = service.submit(spec=SPEC)
    at = random.Random(200 + seed).randint(1, 150)
    service.wait_until(job.name, f"step {at}", lambda j: j.progress.step >= at)
    service.coordinator.kill()
    service.start_coordinator()
    check_end(service, job, undisturbed, (0, 0))


def test_a_worker_that_stands_still_is_fenced(service, undisturbed):
    service.start_worker("w1")
    job = service.submit(spec=SPEC)
    service.wait_until(job.name, "step 30", lambda j: j.progress.step >= 30)
    os.kill(service.workers["w1"].process.pid, signal.SIGSTOP)
    service.start_worker("w2")
    service.wait_until(job.name, "a second attempt", lambda j: len(j.attempts) == 2)
    os.kill(service.workers["w1"].process.pid, signal.SIGCONT)
    ended = check_end(service, job, undisturbed, (1, 1))
    assert ended.attempts[1].worker == "workers/w2"


def test_coordinator_is_down_for_a_minute(service, undisturbed):
    """The trainer goes on and ends meanwhile; nothing that it reported is missing afterwards."""
    service.start_worker()
    job = service.submit(spec=SPEC)
    service.wait_until(job.name, "step 10", lambda j: j.progress.step >= 10)
    trainer = service.trainer_pid()
    service.coordinator.kill()
    down = time.monotonic()
    wait_for("the trainer to end without a coordinator", lambda: not os.path.exists(f"/proc/{trainer}"), 60)
    time.sleep(max(0, down + 60 - time.monotonic()))
    assert service.workers["w1"].process.poll() is None
    service.start_coordinator()
    ended = check_end(service, job, undisturbed, (0, 0))
    assert len(ended.attempts) == 1


def test_everything_is_killed_again_and_again(service, undisturbed):
    service.start_worker()
    job = service.submit(spec=SPEC)
    dice = random.Random(7)
    for _ in range(5):
        time.sleep(dice.uniform(0.3, 1.5))
        victim = dice.choice(["coordinator", "worker", "trainer"])
        if victim == "coordinator":
            service.coordinator.kill()
            service.start_coordinator()
        elif victim == "worker":
            service.workers["w1"].kill()
            service.start_worker()
        elif (pid := service.trainer_pid()) is not None:
            os.kill(pid, signal.SIGKILL)
    check_end(service, job, undisturbed, (0, 5))


def test_restarts_have_a_limit(service):
    spec = small_job(epochs=8)
    spec["scheduling"] = {"max_restarts": 1, "restart_backoff_seconds": 0}
    service.start_worker()
    job = service.submit(spec=spec)
    for attempt in (1, 2):
        service.wait_until(job.name, f"attempt {attempt} to train",
                           lambda j: len(j.attempts) == attempt and j.state == job_pb2.Job.RUNNING)
        os.kill(wait_for("the trainer", service.trainer_pid), signal.SIGKILL)
    ended = service.wait_end(job.name)
    assert ended.state == job_pb2.Job.FAILED
    assert ended.failure.failure_class == job_pb2.Job.INFRASTRUCTURE
    assert "max_restarts" in ended.failure.message


def test_drained_worker_hands_over(service, undisturbed):
    service.start_worker("w1")
    job = service.submit(spec=SPEC)
    service.wait_until(job.name, "step 30", lambda j: j.progress.step >= 30)
    service.start_worker("w2")
    assert service.workers["w1"].kill(signal.SIGTERM) == 0
    ended = check_end(service, job, undisturbed, (0, 0))
    assert ended.attempts[1].worker == "workers/w2" and ended.attempts[1].resumed_from_step >= 30


def test_cancel(service):
    service.start_worker()
    job = service.submit(spec=small_job(epochs=200))
    service.wait_until(job.name, "step 10", lambda j: j.progress.step >= 10)
    service.jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name), timeout=10)
    ended = service.wait_end(job.name)
    assert ended.state == job_pb2.Job.CANCELLED
    assert service.list_checkpoints(job.name), "the trainer wrote a checkpoint when it was asked to stop"
    wait_for("the trainer's end", lambda: service.trainer_pid() is None, 20)
    # The slot is free again.
    again = service.wait_end(service.submit(spec=small_job(epochs=1)).name)
    assert again.state == job_pb2.Job.SUCCEEDED
