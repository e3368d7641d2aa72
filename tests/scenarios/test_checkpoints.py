"""Checkpoints that break, downloads that are cut, and what is kept."""
import hashlib
import random
import time

import grpc
import pytest
from bsnn.v1 import checkpoint_pb2, job_pb2
from service import CuttingProxy, run_alone, small_job


def flip_bit(path, seed):
    content = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(len(content))
    content[place] ^= 1 << (seed % 8)
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.safetensors", "packed.safetensors", "training.safetensors", "manifest.json"])
def test_a_flipped_bit_is_refused_and_the_one_before_is_used(service, tmp_path, file):
    spec = small_job(epochs=10)
    spec["checkpoint"] = {"every_epochs": 1, "keep_latest": 5}
    _, alone = run_alone(tmp_path / "alone", spec)
    service.start_worker()
    job = service.submit(spec=spec)
    service.wait_until(job.name, "three checkpoints", lambda j: len(service.list_checkpoints(j.name)) >= 3)
    service.workers["w1"].kill()  # the next start of the same worker says that its attempt is lost
    time.sleep(0.5)  # for a commit that is under way
    newest, before = service.list_checkpoints(job.name)[:2]
    _, job_id, _, checkpoint_id = newest.name.split("/")
    flip_bit(service.folder / "coordinator/checkpoints/published" / job_id / checkpoint_id / file, seed=3)
    with pytest.raises(grpc.RpcError) as refused:
        service.download(newest.name, file)
    assert refused.value.code() == grpc.StatusCode.DATA_LOSS
    service.start_worker()
    ended = service.wait_end(job.name)
    assert ended.state == job_pb2.Job.SUCCEEDED
    assert ended.attempts[1].resumed_from_step == before.step
    assert ended.result.checkpoint_digest == alone["checkpoint_digest"]


def test_a_download_cut_at_any_byte_resumes_there(service):
    service.start_worker()
    job = service.wait_end(service.submit(spec=small_job(epochs=1)).name)
    checkpoint = service.list_checkpoints(job.name)[0]
    dice = random.Random(5)
    for file in checkpoint.files:
        cuts = {0, 1, file.size_bytes - 1, file.size_bytes, *(dice.randrange(file.size_bytes) for _ in range(20))}
        for cut in cuts:
            first = service.download(checkpoint.name, file.name, 0, cut) if cut else b""
            rest = service.download(checkpoint.name, file.name, cut)
            assert len(first) == cut and hashlib.sha256(first + rest).hexdigest() == file.sha256
    with pytest.raises(grpc.RpcError) as beyond:
        service.download(checkpoint.name, file.name, file.size_bytes + 1)
    assert beyond.value.code() in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_cut_download_of_the_client_goes_on(service, tmp_path):
    service.start_worker()
    job = service.wait_end(service.submit(spec=small_job(epochs=1)).name)
    checkpoint = service.list_checkpoints(job.name)[0]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    service.ctl("checkpoints", "download", checkpoint.name, whole)
    assert checkpoint.digest in service.ctl("checkpoints", "verify", whole)
    dice = random.Random(2)
    proxy = CuttingProxy(service.address, [dice.randrange(20_000, 440_000) for _ in range(4)])
    service.ctl("checkpoints", "download", checkpoint.name, cut, address=proxy.address)
    proxy.close()
    assert proxy.cut_count >= 1
    assert {file.name for file in checkpoint.files} >= {"model.safetensors", "packed.safetensors", "training.safetensors"}
    for file in checkpoint.files:
        assert (cut / file.name).read_bytes() == (whole / file.name).read_bytes()
    flip_bit(cut / "model.safetensors", seed=1)
    assert "model.safetensors" in service.ctl("checkpoints", "verify", cut, code=1)


def test_an_upload_that_is_cut_goes_on(service, tmp_path):
    spec = small_job(epochs=4)
    _, alone = run_alone(tmp_path / "alone", spec)
    dice = random.Random(3)
    proxy = CuttingProxy(service.address, [dice.randrange(20_000, 900_000) for _ in range(8)])
    service.start_worker(address=proxy.address)
    ended = service.wait_end(service.submit(spec=spec).name)
    proxy.close()
    assert proxy.cut_count >= 2
    assert ended.state == job_pb2.Job.SUCCEEDED and ended.restart_count == 0
    assert ended.result.checkpoint_digest == alone["checkpoint_digest"]


def test_retention_pin_and_delete(service):
    spec = small_job(epochs=8)
    spec["checkpoint"] = {"every_epochs": 1, "keep_latest": 2, "keep_best": 0}
    service.start_worker()
    job = service.submit(spec=spec)
    service.wait_until(job.name, "a checkpoint", lambda j: service.list_checkpoints(j.name))
    first = service.list_checkpoints(job.name)[-1]
    pinned = service.checkpoints.PinCheckpoint(checkpoint_pb2.PinCheckpointRequest(name=first.name, pinned=True),
                                               timeout=10)
    assert pinned.pinned
    service.wait_end(job.name)
    kept = service.list_checkpoints(job.name)
    assert len(kept) == 3 and kept[-1].name == first.name
    folder = service.folder / "coordinator/checkpoints/published" / job.name.split("/")[1]
    assert {path.name for path in folder.iterdir()} == {c.name.split("/")[3] for c in kept}
    delete = checkpoint_pb2.DeleteCheckpointRequest(name=first.name)
    with pytest.raises(grpc.RpcError) as refused:
        service.checkpoints.DeleteCheckpoint(delete, timeout=10)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    service.checkpoints.PinCheckpoint(checkpoint_pb2.PinCheckpointRequest(name=first.name, pinned=False), timeout=10)
    service.checkpoints.DeleteCheckpoint(delete, timeout=10)
    assert len(service.list_checkpoints(job.name)) == 2
    service.jobs.DeleteJob(job_pb2.DeleteJobRequest(name=job.name), timeout=10)
    assert not folder.exists()
