"""bsnn-train alone: exit codes, events, byte-equal resume, broken checkpoints and data.

BSNN_TEST_DEVICE=cuda:0 has them train on a GPU, where a run is cut in the CUDA passes of convolutions too.
"""
import gzip
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time

import pytest
from timed import TIMED

BIN = os.environ["BSNN_BIN"]
DEVICE = os.environ.get("BSNN_TEST_DEVICE", "cpu")
SPEC = {"data": {"name": "generated", "train_limit": 1280, "test_limit": 256},
        "training": {"epochs": 5, "report_every_steps": 5}, "checkpoint": {"every_steps": 15, "keep_latest": 3}}
if DEVICE != "cpu":
    if not shutil.which("nvidia-smi") or subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode:
        pytest.skip("no GPU here", allow_module_level=True)
    SPEC["network"] = {"name": "bireal_resnet8"}


def start(folder, *extra, spec=SPEC, data=None, threads=1):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.json").write_text(spec if isinstance(spec, str) else json.dumps(spec))
    return subprocess.Popen([f"{BIN}/bsnn-train", "--spec", folder / "spec.json", "--data", data or folder, "--out",
                             folder / "out", "--device", DEVICE, "--threads", str(threads), *extra],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(folder, *extra, **named):
    process = start(folder, *extra, **named)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def events(folder):
    lines = [json.loads(line) for line in (folder / "out" / "events.jsonl").read_text().splitlines()]
    assert [event["sequence"] for event in lines] == list(range(1, len(lines) + 1))
    return lines


def history(folder):
    return {(e["name"], e["layer"], e["split"], e["time_step"], e["step"]): repr(e["value"])
            for e in events(folder) if e["type"] == "metric" and e["name"] not in TIMED}


def newest(folder):
    return sorted((folder / "out" / "checkpoints").glob("step-*"))[-1]


def wait_for_step(folder, step, process):
    file = folder / "out" / "events.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and any(f'"step":{s},' in file.read_text() for s in range(step, step + 5)):
            return
        time.sleep(0.005)


@pytest.fixture(scope="module")
def whole_with(tmp_path_factory):
    """The end of a run that nothing cut, by number of threads: history, digest, accuracy, folder."""
    ends = {}

    def whole_run(threads):
        if threads not in ends:
            folder = tmp_path_factory.mktemp("whole")
            assert run(folder, threads=threads)[0] == 0
            last = events(folder)[-1]
            assert last["type"] == "finished" and last["outcome"] == "succeeded"
            ends[threads] = history(folder), last["checkpoint_digest"], last["accuracy_ratio"], folder
        return ends[threads]

    return whole_run


@pytest.fixture(scope="module")
def whole(whole_with):
    return whole_with(1)


@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("seed", range(13))
def test_a_run_that_was_cut_ends_with_the_same_bytes(whole_with, tmp_path, threads, seed):
    """Killed or stopped at random moments, twice, and resumed each time: 52 cut points in all."""
    dice = random.Random(2 * seed + threads)
    for cut, extra in enumerate(([], ["--resume"])):
        process = start(tmp_path, *extra, threads=threads)
        wait_for_step(tmp_path, dice.randrange(1, 45) + 45 * cut, process)
        process.send_signal(dice.choice([signal.SIGKILL, signal.SIGTERM]))
        process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 3, 0)
    assert run(tmp_path, "--resume", threads=threads)[0] == 0
    assert events(tmp_path)[-1]["checkpoint_digest"] == whole_with(threads)[1]
    assert history(tmp_path) == whole_with(threads)[0]


@pytest.mark.parametrize("step", (5, 25))  # of 20 an epoch: before the first test, and after it
def test_a_signal_stops_it_with_a_checkpoint(tmp_path, step):
    process = start(tmp_path)
    wait_for_step(tmp_path, step, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    last = events(tmp_path)[-1]
    assert process.returncode == 3 and last["outcome"] == "stopped"
    tested = "not tested yet" if last["accuracy_ratio"] == "NaN" else "test accuracy"
    assert f"stopped at step {last['step']}: {tested}" in said and "--resume goes on from there" in said
    assert newest(tmp_path).name == f"step-{last['step']:08}"
    assert hashlib.sha256((newest(tmp_path) / "manifest.json").read_bytes()).hexdigest() == last["checkpoint_digest"]


def test_a_broken_checkpoint_is_refused_and_the_one_before_is_used(whole, tmp_path):
    process = start(tmp_path)
    wait_for_step(tmp_path, 40, process)
    process.kill()
    process.communicate()
    broken = newest(tmp_path)
    content = bytearray((broken / "training.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (broken / "training.safetensors").write_bytes(content)
    code, errors = run(tmp_path, "--resume")
    assert code == 0 and broken.name in errors
    started = [event for event in events(tmp_path) if event["type"] == "started"]
    assert 0 < started[-1]["resumed_from_step"] < int(broken.name.split("-")[1])
    assert events(tmp_path)[-1]["checkpoint_digest"] == whole[1]


def test_evaluate_agrees_with_the_end_of_training(whole, tmp_path):
    folder = whole[3]
    done = subprocess.run([f"{BIN}/bsnn-train", "--evaluate", newest(folder), "--data", folder, "--predictions",
                           tmp_path / "p.csv"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in (tmp_path / "p.csv").read_text().splitlines()[1:]]
    assert sum(label == prediction for _, label, prediction in rows) / len(rows) == whole[2]


def test_checkpoints_are_safetensors(whole):
    numpy = pytest.importorskip("safetensors.numpy")
    folder = newest(whole[3])
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        content = (folder / file["name"]).read_bytes()
        assert len(content) == file["size_bytes"] and hashlib.sha256(content).hexdigest() == file["sha256"]
    assert numpy.load_file(folder / "model.safetensors")["conv2.weight"].shape == (32, 16, 3, 3)


def test_wrong_specs_are_named_field_by_field(tmp_path):
    code, errors = run(tmp_path, spec={"network": {"time_steps": 0}, "training": {"epochs": -1}, "nosuch": 1})
    assert code == 2
    for named in ("network.time_steps", "training.epochs", "nosuch", "1 to 64"):
        assert named in errors
    assert run(tmp_path, spec="{")[0] == 2
    code, errors = run(tmp_path, "--nonsense")
    assert code == 2 and "nonsense" in errors


def idx(kind, sizes, payload):
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, kind, len(sizes), *sizes) + payload


@pytest.mark.parametrize("fault", ["missing", "truncated", "oversized", "magic", "labels", "gzip"])
def test_broken_data_is_named(tmp_path, fault):
    count = 64
    files = {f"{part}-{what}": content for part in ("train", "t10k") for what, content in (
        ("images-idx3-ubyte", idx(8, (count, 28, 28), bytes(count * 784))),
        ("labels-idx1-ubyte", idx(8, (count,), bytes(count))))}
    images = files["train-images-idx3-ubyte"]
    files["train-images-idx3-ubyte"] = {
        "missing": None, "truncated": images[:1000], "oversized": idx(8, (2**31, 2**16, 2**16), bytes(100)),
        "magic": b"\x01\x02" + images[2:], "labels": images, "gzip": gzip.compress(images)[:50]}[fault]
    if fault == "labels":
        files["train-labels-idx1-ubyte"] = idx(8, (count,), bytes([77]) * count)
    name = "train-images-idx3-ubyte" + (".gz" if fault == "gzip" else "")
    files[name] = files.pop("train-images-idx3-ubyte")
    for file, content in files.items():
        if content is not None:
            (tmp_path / file).write_bytes(content)
    code, errors = run(tmp_path, spec={"data": {"name": "mnist"}, "training": {"epochs": 1}})
    assert code == 4, errors
    assert ("train-labels" if fault == "labels" else "train-images") in errors


def test_an_out_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("a file where a folder should be")
    code, errors = run(tmp_path)
    assert code == 2 and "out" in errors


def test_a_run_from_the_start_does_not_mix_with_another(whole):
    folder = whole[3]
    before = (folder / "out" / "events.jsonl").read_bytes()
    code, errors = run(folder)
    assert code == 2 and "--resume" in errors
    assert (folder / "out" / "events.jsonl").read_bytes() == before


def test_every_metric_is_in_the_document(whole):
    table = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text().split("## Prometheus")[0]
    told = {event["name"] for event in events(whole[3]) if event["type"] == "metric"}
    assert not [name for name in told if f"`{name}`" not in table]


def test_the_field_table_of_the_document_is_the_programs():
    printed = subprocess.run([f"{BIN}/bsnn-train", "--describe-spec"], capture_output=True, text=True, check=True).stdout
    documented = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "spec.md").read_text()
    assert not [line for line in printed.splitlines() if line not in documented]
