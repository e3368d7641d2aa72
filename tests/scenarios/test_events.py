"""bsnn-train on folders of event recordings: it trains, resumes to the byte, names splits and faults."""
import json
import random
import signal
import struct
import subprocess

import pytest
from test_trainer import BIN, events, history, newest, run, start, wait_for_step

DVS_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def spots(dice, label, side, count=300):
    """Events (time, x, y, polarity) around a place that the label decides, which moves in time."""
    made = []
    for time in sorted(dice.randrange(300_000) for _ in range(count)):
        x = side * (0.2 + 0.15 * (label % 5)) + side * 0.1 * time / 300_000 + dice.gauss(0, side / 20)
        y = side * (0.3 + 0.4 * (label // 5)) + dice.gauss(0, side / 20)
        made.append((time, min(side - 1, max(0, int(x))), min(side - 1, max(0, int(y))), dice.randrange(2)))
    return made


def atis(made):
    return b"".join(struct.pack(">BBI", x, y, p << 31 | t << 8)[:5] for t, x, y, p in made)


def aedat2(made):
    return b"#!AER-DAT2.0\r\n# made for a test\r\n" + b"".join(
        struct.pack(">II", (127 - x) << 8 | (127 - y) << 1 | (1 - p), t) for t, x, y, p in made)


def aedat3(made):
    return b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + struct.pack("<HHiiiiii", 1, 1, 8, 4, 0, len(made), len(made), len(made)) + \
        b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t) for t, x, y, p in made)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def messages(folder):
    return "\n".join(event["message"] for event in events(folder) if event["type"] == "log")


@pytest.fixture(scope="module")
def n_mnist(tmp_path_factory):
    folder, dice = tmp_path_factory.mktemp("data"), random.Random(1)
    for half, count in (("Train", 600), ("Test", 100)):
        for i in range(count):
            write(folder / "n_mnist" / half / str(i % 10) / f"{i:05}.bin", atis(spots(dice, i % 10, 34)))
    return folder


N_MNIST = {"data": {"name": "n_mnist"}, "network": {"time_steps": 3},
           "augmentation": {"crop_padding": 1, "roll": 1},
           "training": {"epochs": 2, "batch_size": 20, "report_every_steps": 1}, "checkpoint": {"every_steps": 7}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, n_mnist):
    folder = tmp_path_factory.mktemp("whole")
    code, errors = run(folder, spec=N_MNIST, data=n_mnist)
    assert code == 0, errors
    return folder


def test_it_learns_from_recordings_and_keeps_their_frames(whole, n_mnist):
    assert events(whole)[-1]["accuracy_ratio"] > 0.8  # ten classes
    assert len(list((n_mnist / "n_mnist" / "bsnn-frames").iterdir())) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_was_cut_ends_with_the_same_bytes(whole, n_mnist, tmp_path, seed):
    dice = random.Random(seed)
    process = start(tmp_path, spec=N_MNIST, data=n_mnist)
    wait_for_step(tmp_path, dice.randrange(1, 55), process)
    process.send_signal([signal.SIGKILL, signal.SIGTERM][seed % 2])
    process.communicate(timeout=60)
    for kept in (n_mnist / "n_mnist" / "bsnn-frames").iterdir():  # damaged meanwhile: made anew
        content = bytearray(kept.read_bytes())
        content[dice.randrange(len(content))] ^= 16
        kept.write_bytes(content)
    assert run(tmp_path, "--resume", spec=N_MNIST, data=n_mnist)[0] == 0
    assert events(tmp_path)[-1]["checkpoint_digest"] == events(whole)[-1]["checkpoint_digest"]
    assert history(tmp_path) == history(whole)


@pytest.fixture(scope="module")
def cifar10_dvs(tmp_path_factory):
    folder, dice = tmp_path_factory.mktemp("data"), random.Random(2)
    for label, name in enumerate(DVS_CLASSES):
        for i in (0, 1, 98, 99, 100, 101, 102, 103, 104, 105):
            write(folder / name / f"cifar10_{name}_{i}.aedat", aedat2(spots(dice, label, 128, 200)))
    return folder


@pytest.mark.parametrize("split,train,test", [("first_90", 90, 10), ("from_100", 60, 40), ("first_70", 70, 30)])
def test_the_split_is_in_every_report(cifar10_dvs, tmp_path, split, train, test):
    spec = {"data": {"name": "cifar10_dvs", "split": split, "frame_side": 48, "frame_values": "share_of_max"},
            "augmentation": {"flip": True, "roll": 5}, "training": {"epochs": 1, "batch_size": 30}}
    code, errors = run(tmp_path, spec=spec, data=cifar10_dvs)
    assert code == 0, errors
    start_line, end_line = [line for line in messages(tmp_path).splitlines() if "data=" in line or "epoch=1/1" in line]
    assert f"data=cifar10_dvs split={split} train_pictures={train} test_pictures={test} " in start_line
    assert f"split={split}" in end_line
    described = subprocess.run([f"{BIN}/bsnn-train", "--spec", tmp_path / "spec.json", "--describe"], capture_output=True,
                               text=True, check=True).stdout
    assert f"input 2x48x48 at each time step, 10 classes split={split}\n" in described
    evaluated = subprocess.run([f"{BIN}/bsnn-train", "--evaluate", newest(tmp_path), "--data", cifar10_dvs],
                               capture_output=True, text=True, check=True).stdout
    assert f"of {test} pictures split={split})" in evaluated
    assert json.loads((newest(tmp_path) / "manifest.json").read_text())["spec"]["data"]["split"] == split


def test_gestures_are_cut_by_their_labels(tmp_path):
    dice = random.Random(3)
    for user, half in (("user01_led", "train"), ("user24_led", "test")):
        made, rows = [], "class,startTime_usec,endTime_usec\r\n"
        for label in range(11):
            begin = label * 400_000
            made += [(begin + t, x, y, p) for t, x, y, p in spots(dice, label % 10, 128)]
            rows += f"{label + 1},{begin},{begin + 300_000}\r\n"
        write(tmp_path / "DvsGesture" / f"{user}.aedat", aedat3(made))
        write(tmp_path / "DvsGesture" / f"{user}_labels.csv", rows.encode())
        write(tmp_path / "DvsGesture" / f"trials_to_{half}.txt", f"{user}.aedat\n".encode())
    spec = {"data": {"name": "dvs_gesture", "frames_by": "duration", "frame_duration_us": 100_000},
            "training": {"epochs": 1, "batch_size": 11}}
    code, errors = run(tmp_path, spec=spec)
    assert code == 0, errors
    assert "train_pictures=11 test_pictures=11 " in messages(tmp_path)

    recording = tmp_path / "DvsGesture" / "user24_led.aedat"
    recording.write_bytes(recording.read_bytes()[:-3])
    code, errors = run(tmp_path / "again", spec=spec, data=tmp_path)
    assert code == 4 and "user24_led.aedat: offset 44: capacity is 3300 events" in errors


@pytest.mark.parametrize("fault", ["missing", "truncated", "hostile"])
def test_a_broken_recording_is_named(tmp_path, fault):
    dice = random.Random(4)
    for half in ("Train", "Test"):
        for i in range(10):
            write(tmp_path / half / str(i) / f"{i:05}.bin", atis(spots(dice, i, 34)))
    broken = tmp_path / "Test" / "6" / "00006.bin"
    if fault == "missing":
        broken.unlink()
        broken.parent.rmdir()
    else:
        content = broken.read_bytes()
        broken.write_bytes(content[:-2] if fault == "truncated" else content[:50] + b"\xff" + content[51:])
    code, errors = run(tmp_path, spec={"data": {"name": "n_mnist"}, "training": {"epochs": 1}})
    assert code == 4
    assert {"missing": "Test/6", "truncated": "Test/6/00006.bin: offset 1495: 3 bytes are left",
            "hostile": "Test/6/00006.bin: offset 50: pixel is (255, "}[fault] in errors
