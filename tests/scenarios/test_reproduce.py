"""tests/bench/reproduce at its smallest: five variants, two seeds, the report's numbers, and what is kept."""
import json
import os
import pathlib
import statistics
import subprocess
import sys

import pytest

BIN = os.environ["BSNN_BIN"]
SCRIPT = pathlib.Path(__file__).parents[1] / "bench" / "reproduce"
VARIANTS = ["bsnn", "bsnn_agmm", "bsnn_agmm_detach", "bsnn_scaled", "snn"]


def reproduce(folder, *extra):
    return subprocess.run([sys.executable, SCRIPT, "--bin", BIN, "--data", folder, "--data-name", "generated", "--work", folder / "work",
                           "--report", folder / "report.md", "--network", "convnet", "--pictures", "256", "--test-pictures", "128", "--epochs",
                           "2", "--seeds", "2", "--jobs", "2", "--threads", "1", *extra], capture_output=True, text=True, timeout=300)


def events(run):
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce")
    done = reproduce(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_variant_is_trained_with_what_makes_it_different(folder):
    runs = sorted(path.name for path in (folder / "work").iterdir() if path.is_dir())
    assert runs == sorted(f"{variant}-{seed}" for variant in VARIANTS for seed in (1, 2))
    specs = {run: json.loads((folder / "work" / run / "spec.json").read_text()) for run in runs}
    assert {run: spec["network"]["kind"] for run, spec in specs.items() if run.endswith("-2")} == {
        "bsnn-2": "bsnn", "bsnn_agmm-2": "bsnn_agmm", "bsnn_agmm_detach-2": "bsnn_agmm", "bsnn_scaled-2": "bsnn", "snn-2": "snn"}
    assert specs["bsnn_agmm_detach-1"]["agmm"] == {"gradient": "detach"}
    for seed in (1, 2):
        gates = [e["value"] for e in events(folder / "work" / f"bsnn_agmm-{seed}") if e["type"] == "metric" and e["name"] == "gate_mean" and e["layer"] != "all"]
        assert len(gates) == 4  # two layers, two epochs
        assert specs[f"bsnn_scaled-{seed}"]["optimizer"]["binary_rate_factor"] == pytest.approx(statistics.mean(gates), rel=1e-12)


def test_the_report_has_the_trainers_numbers_with_students_interval(folder):
    report = (folder / "report.md").read_text()
    for title, variant in (("plain", "bsnn"), ("AGMM", "bsnn_agmm"), ("full precision", "snn")):
        accuracy = [100 * events(folder / "work" / f"{variant}-{seed}")[-1]["accuracy_ratio"] for seed in (1, 2)]
        half = 12.7062047 * statistics.stdev(accuracy) / 2**0.5  # t of one degree of freedom
        assert f"| {title} | {statistics.mean(accuracy):.2f} ± {half:.2f} |" in report
    for name in ("accuracy", "flips", "gradient_variance", "firing_rate"):
        assert f"(report/{name}.svg)" in report
        assert (folder / "report" / f"{name}.svg").read_text().startswith("<?xml")


def test_what_is_done_is_kept_and_what_was_cut_goes_on(folder):
    report = (folder / "report.md").read_text()
    cut = folder / "work" / "bsnn-2" / "events.jsonl"
    before = cut.read_text().splitlines()
    cut.write_text("\n".join(before[:-1]) + "\n")  # its last event never arrived
    (folder / "report.md").write_text("By hand.\n" + report + "And this.\n")
    others = {path: path.stat().st_mtime_ns for path in (folder / "work").glob("*/events.jsonl") if path != cut}
    done = reproduce(folder)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in others} == others
    assert "resumed from" in cut.read_text()
    assert (folder / "report.md").read_text() == "By hand.\n" + report + "And this.\n"


def test_other_settings_do_not_mix_with_the_runs_of_a_folder(folder):
    done = reproduce(folder, "--epochs", "3")
    assert done.returncode == 1
    assert "holds runs of another spec: take another --work" in done.stderr
