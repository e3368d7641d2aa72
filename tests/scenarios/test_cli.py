"""bsnnctl, command by command, against the real coordinator."""
import json
import os
import pathlib
import pty
import re
import subprocess

import pytest
from service import BIN, Program, Service, small_job

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A service with one job that has ended."""
    service = Service(tmp_path_factory.mktemp("cli"))
    service.start_coordinator()
    service.start_worker()
    spec = service.folder / "job.json"
    spec.write_text(json.dumps(small_job(epochs=2)))
    out = service.ctl("submit", spec, "--id", "first", "--name", "a first try", "--label", "team=vision", "--watch")
    assert "succeeded: test accuracy" in out
    yield service
    service.stop()


def test_show_list_and_formats(trained):
    shown = trained.ctl("show", "first")
    for word in ("a first try", "succeeded", "convnet bsnn_agmm", "digest", "attempt"):
        assert word in shown
    as_json = json.loads(trained.ctl("show", "first", "-o", "json"))
    assert as_json["name"] == "jobs/first" and as_json["state"] == "SUCCEEDED"
    assert as_json["labels"] == {"team": "vision"}
    assert 'state: "SUCCEEDED"' in trained.ctl("show", "jobs/first", "-o", "yaml")
    assert trained.ctl("list", "-o", "name").split() == ["jobs/first"]
    assert json.loads(trained.ctl("list", "-o", "json"))["jobs"][0]["name"] == "jobs/first"
    assert "first" not in trained.ctl("list", "--state", "running")


def test_logs_metrics_and_curves(trained):
    assert "epoch=2/2" in trained.ctl("logs", "first")
    assert len(trained.ctl("logs", "first", "--tail", "1").splitlines()) == 1
    assert "epoch=2/2" in trained.ctl("logs", "first", "-f")
    table = trained.ctl("metrics", "first", "--metric", "sign_flip_ratio")
    assert "conv2" in table and "conv3" in table and "all" in table
    points = json.loads(trained.ctl("metrics", "first", "--metric", "sign_flip_ratio", "-o", "json"))["points"]
    assert {p["layer"] for p in points} == {"conv2", "conv3", "all"} and len(points) == 6


def test_checkpoints(trained, tmp_path):
    listed = json.loads(trained.ctl("checkpoints", "list", "first", "-o", "json"))["checkpoints"]
    assert listed[0]["step"] == "40"
    trained.ctl("checkpoints", "download", listed[0]["name"], tmp_path / "c")
    assert listed[0]["digest"] in trained.ctl("checkpoints", "verify", tmp_path / "c")
    trained.ctl("checkpoints", "download", listed[0]["name"], f"{tmp_path}/slash/")
    assert (tmp_path / "slash" / "manifest.json").exists()
    error = trained.ctl("checkpoints", "download", listed[0]["name"], tmp_path / "c", code=5)
    assert "exist" in error
    assert "no checkpoint" in trained.ctl("checkpoints", "download", "jobs/first/checkpoints/none", tmp_path / "d", code=3)


def test_workers_and_version(trained):
    assert "w1" in trained.ctl("workers", "list")
    assert re.search(r"bsnnctl \d+\.\d+\.\d+", trained.ctl("version"))


def test_exit_codes_and_errors(trained, tmp_path):
    error = trained.ctl("submit", "--set", "network.time_steps=0", "--set", "training.epochs=-3", code=2)
    assert "network.time_steps is 0; allowed" in error and "training.epochs is -3" in error
    assert "no job nosuch" in trained.ctl("show", "nosuch", code=3)
    assert "first" in trained.ctl("submit", "--id", "first", code=5)
    trained.ctl("submit", "--nonsense", code=2)
    trained.ctl("submit", "--set", "training.epochs=1", tmp_path / "nosuch.json", code=2)
    trained.ctl("checkpoints", "download", "jobs/first/checkpoints/x", "", code=2)
    trained.ctl("submit", tmp_path / "nosuch.json", code=2)
    unreachable = subprocess.run([BIN / "bsnnctl", "--coordinator", "127.0.0.1:1", "list"], capture_output=True,
                                 text=True, timeout=60)
    assert unreachable.returncode == 4 and "127.0.0.1:1" in unreachable.stderr


def test_help_has_examples(trained):
    for command in (["submit"], ["list"], ["show"], ["watch"], ["logs"], ["metrics"], ["cancel"], ["delete"],
                    ["checkpoints", "list"], ["checkpoints", "download"], ["checkpoints", "verify"],
                    ["workers", "list"], []):
        shown = trained.ctl(*command, "--help")
        assert "bsnnctl" in shown and "xample" in shown, command


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_a_script(trained, shell, tmp_path):
    (tmp_path / "completion").write_text(trained.ctl("completion", shell))
    assert "submit" in (tmp_path / "completion").read_text()
    if shell == "bash":
        done = subprocess.run(["bash", "-c", f"source {tmp_path}/completion && complete -p bsnnctl"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_watch_draws_in_a_terminal(trained):
    submitted = trained.ctl("submit", "--data", "generated", "--epochs", "3", "--set", "data.train_limit=1280",
                            "--set", "data.test_limit=256", "-o", "name").strip()
    master, slave = pty.openpty()
    process = subprocess.Popen([BIN / "bsnnctl", "watch", submitted], stdout=slave, stderr=slave,
                               env={**os.environ, "BSNN_COORDINATOR": trained.address, "TERM": "xterm"})
    os.close(slave)
    drawn = b""
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:
            break
        if not block:
            break
        drawn += block
    assert process.wait(60) == 0
    text = drawn.decode()
    assert "\x1b[" in text and "100.0 %" in text and "sign flips" in text and "left" in text


def test_cancel_and_delete(trained):
    job = trained.ctl("submit", "--epochs", "500", "--data", "generated", "-o", "name").strip()
    trained.wait_until(job, "its training", lambda j: j.progress.step > 0)
    trained.ctl("delete", job, code=5)
    trained.ctl("cancel", job)
    trained.wait_end(job)
    assert "cancelled" in trained.ctl("watch", job, code=7)
    trained.ctl("delete", job)
    trained.ctl("show", job, code=3)


def test_watch_survives_a_restart_of_the_coordinator(trained):
    job = trained.ctl("submit", "--data", "generated", "--epochs", "8", "--set", "data.train_limit=1280",
                      "--set", "data.test_limit=256", "-o", "name").strip()
    watch = subprocess.Popen([BIN / "bsnnctl", "watch", job], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "BSNN_COORDINATOR": trained.address})
    trained.wait_until(job, "step 20", lambda j: j.progress.step >= 20)
    trained.coordinator.kill()
    trained.start_coordinator()
    out, _ = watch.communicate(timeout=90)
    assert watch.returncode == 0 and "succeeded" in out


def test_worker_says_what_is_wrong(tmp_path):
    for arguments, named in [([], "--data"), (["--data", "/nonexistent", "--work", tmp_path], "/nonexistent"),
                             (["--data", tmp_path, "--work", tmp_path / "w", "--cpu-slots", "0"], "cpu-slots")]:
        program = Program("bsnn-worker", arguments, tmp_path / "log")
        assert program.process.wait(30) in (1, 2)
        assert named in program.text()


def test_every_knob_is_documented(trained):
    documented = (ROOT / "docs" / "operations.md").read_text()
    for program in ("bsnn-coordinator", "bsnn-worker"):
        shown = subprocess.run([BIN / program, "--help"], capture_output=True, text=True).stdout
        knobs = set(re.findall(r"^ +(?:-\w,)?(--[a-z-]+)", shown, re.MULTILINE)) - {"--help", "--version"}
        assert len(knobs) > 10
        assert not [knob for knob in knobs if f"`{knob}`" not in documented]
