"""A worker that cannot run jobs, beside one that can: no job fails of it."""
import struct

from bsnn.v1 import job_pb2
from service import small_job

PICTURES = {"train": 320, "t10k": 64}


def write_pictures(folder, damaged=False):
    """A data set in MNIST's files, of noise; damaged: labels that no picture can have."""
    folder.mkdir()
    for split, count in PICTURES.items():
        pixels = bytes((i * 97 + i // 784 * 31) % 256 for i in range(count * 784))
        (folder / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
        labels = bytes(99 if damaged else i % 10 for i in range(count))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
    return folder


def submit_eight(service):
    spec = small_job(epochs=1, pictures=PICTURES["train"])
    spec["data"] = {"name": "mnist", "train_limit": PICTURES["train"], "test_limit": PICTURES["t10k"]}
    return [service.submit(spec=spec).name for _ in range(8)]


def assert_all_succeed(service, names):
    for name in names:
        job = service.wait_end(name, 180)
        assert job.state == job_pb2.Job.SUCCEEDED, job


def test_an_empty_data_folder_fails_no_job(service, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    service.start_worker("bad", empty)
    names = submit_eight(service)
    service.start_worker("good", write_pictures(tmp_path / "good"))
    assert_all_succeed(service, names)


def test_damaged_data_fails_no_job_and_is_shown(service, tmp_path):
    service.start_worker("bad", write_pictures(tmp_path / "damaged", damaged=True))
    names = submit_eight(service)
    service.wait_until(names[0], "its first failure", lambda job: job.restart_count > 0)
    listed = service.ctl("workers", "list")
    assert "data set mnist is suspect" in listed, listed
    service.start_worker("good", write_pictures(tmp_path / "good"))
    assert_all_succeed(service, names)
