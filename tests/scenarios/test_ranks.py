"""bsnn-train as ranks of one run: as one process would train, the same bytes each time, stopped and killed."""
import json
import signal
import subprocess
import time

import numpy
import pytest
import safetensors.numpy
from ports import free_port
from test_trainer import BIN, events, history, newest, wait_for_step

SPEC = {"data": {"name": "generated", "train_limit": 1000, "test_limit": 250},
        "training": {"epochs": 3, "batch_size": 64, "report_every_steps": 5}, "checkpoint": {"every_steps": 7}}


def spec_with(**sections):
    return {name: SPEC.get(name, {}) | sections.get(name, {}) for name in SPEC | sections}


def start(folder, rank, size, port, *extra, spec=SPEC):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"spec{rank}.json"
    path.write_text(json.dumps(spec))
    out = ["--out", folder / "out"] if rank == 0 else []
    ranks = ["--rank", str(rank), "--world-size", str(size), "--store", f"127.0.0.1:{port}"] if size > 1 else []
    return subprocess.Popen([f"{BIN}/bsnn-train", "--spec", path, "--data", folder, *out, "--device", "cpu", "--threads", "1",
                             *ranks, *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_all(folder, size, *extra, spec=SPEC):
    port = free_port()
    return [start(folder, rank, size, port, *extra, spec=spec) for rank in range(size)]


def wait_all(processes):
    errors = [process.communicate(timeout=120)[1] for process in processes]
    return [process.returncode for process in processes], errors


def run(folder, size, *extra, spec=SPEC):
    codes, errors = wait_all(start_all(folder, size, *extra, spec=spec))
    assert codes == [0] * size, errors
    return events(folder)


def model(folder, name="model.safetensors"):
    return safetensors.numpy.load_file(newest(folder) / name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run(folder, 2)[-1]["checkpoint_digest"], history(folder)


@pytest.mark.parametrize("size", (2, 3))
def test_a_step_of_many_ranks_is_a_step_of_one(tmp_path, size):
    """With batch norm over all ranks, the same mathematics: weights, statistics, meters and metrics of a step of 50 pictures."""
    spec = spec_with(data={"train_limit": 50}, training={"epochs": 1, "batch_norm_over": "all_ranks"})
    ends = [run(tmp_path / str(n), n, spec=spec) for n in (1, size)]
    for name in ("model.safetensors", "training.safetensors"):
        one, many = (model(tmp_path / str(n), name) for n in (1, size))
        assert one.keys() == many.keys()
        for key in one:
            numpy.testing.assert_allclose(many[key], one[key], rtol=2e-5, atol=2e-6, err_msg=key)
    one, many = (history(tmp_path / str(n)) for n in (1, size))
    assert one.keys() == many.keys()
    for key in one:
        numpy.testing.assert_allclose(float(many[key]), float(one[key]), rtol=1e-4, atol=1e-9, err_msg=str(key))
    assert [end[-1]["outcome"] for end in ends] == ["succeeded"] * 2


def test_parts_of_a_share_add_up(tmp_path):
    """Parts of a rank's share take their statistics alone: not the same numbers as one process, but it learns."""
    lines = run(tmp_path, 2, spec=spec_with(training={"epochs": 2, "batch_parts": 3}))
    last = {(e["name"], e["split"]): e["value"] for e in lines if e["type"] == "metric"}
    assert last["accuracy_ratio", "test"] > 0.8 and 0 < last["loss", "train"] < 1


def test_the_same_ranks_give_the_same_bytes(whole, tmp_path):
    assert run(tmp_path, 2)[-1]["checkpoint_digest"] == whole[0]
    assert history(tmp_path) == whole[1]


@pytest.mark.parametrize("asked", (0, 1))
def test_a_signal_to_one_rank_stops_all_at_the_same_step(whole, tmp_path, asked):
    processes = start_all(tmp_path, 2)
    wait_for_step(tmp_path, 10, processes[0])
    processes[asked].send_signal(signal.SIGTERM)
    codes, errors = wait_all(processes)
    assert codes == [3, 3], errors
    assert events(tmp_path)[-1]["outcome"] == "stopped"
    assert run(tmp_path, 2, "--resume")[-1]["checkpoint_digest"] == whole[0]
    assert history(tmp_path) == whole[1]


@pytest.mark.parametrize("killed", (0, 1))
def test_a_killed_rank_ends_the_others_and_the_run_goes_on_from_its_checkpoint(whole, tmp_path, killed):
    processes = start_all(tmp_path, 2)
    wait_for_step(tmp_path, 20, processes[0])
    began = time.monotonic()
    processes[killed].kill()
    codes, errors = wait_all(processes)
    assert codes[killed] == -signal.SIGKILL and codes[1 - killed] == 1, errors
    assert f"rank {1 - killed} of 2 lost another rank" in errors[1 - killed]
    assert time.monotonic() - began < 30  # the rank that is left does not sit out its patience
    assert run(tmp_path, 2, "--resume")[-1]["checkpoint_digest"] == whole[0]
    assert history(tmp_path) == whole[1]


@pytest.mark.parametrize("extra, says", [
    (("--world-size", "2"), "--store is '' (allowed: HOST:PORT"),
    (("--world-size", "2", "--store", "127.0.0.1:0"), "--store is '127.0.0.1:0' (allowed"),
    (("--world-size", "2", "--store", "127.0.0.1:1", "--rank", "2"), "--rank is 2 (allowed: 0 to 1"),
    (("--rank", "1"), "--rank is 1 (allowed: 0 to 0"),
])
def test_wrong_ranks_are_named(tmp_path, extra, says):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(SPEC))
    done = subprocess.run([f"{BIN}/bsnn-train", "--spec", path, "--out", tmp_path / "out", *extra], capture_output=True, text=True)
    assert done.returncode == 2 and says in done.stderr


@pytest.mark.parametrize("change, says", [
    ({"data": {"train_limit": 65}}, "training.batch_size"),
    ({"data": {"test_limit": 1}}, "data.test_limit"),
    ({"training": {"batch_norm_over": "all_ranks"}, "agmm": {"input": "abs"}}, "training.batch_norm_over"),
])
def test_a_spec_that_ranks_cannot_run_is_refused_by_each(tmp_path, change, says):
    codes, errors = wait_all(start_all(tmp_path, 2, spec=spec_with(**change)))
    assert codes == [2, 2] and all(says in text for text in errors), errors
