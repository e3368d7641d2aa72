"""Packed models: what they classify, what they weigh, who reads them."""
import itertools
import json
import pathlib
import re
import struct
import subprocess
import sys

import pytest
from test_trainer import BIN, newest, run

np = pytest.importorskip("numpy")
numpy_file = pytest.importorskip("safetensors.numpy")
DOCS = pathlib.Path(__file__).parents[2] / "docs"


def job(method="standardized", kind="bsnn_agmm", ends="float", **network):
    return {"network": {"kind": kind, "ends": ends, **network}, "binarization": {"method": method},
            "data": {"name": "generated", "train_limit": 640, "test_limit": 256}, "training": {"epochs": 1}}


def call(*arguments, cwd=None, code=0):
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def evaluate(model, folder):
    """What it says without the title, and the bytes of the logits and the predictions."""
    logits, predictions = folder / "logits.safetensors", folder / "predictions.csv"
    said = call(f"{BIN}/bsnn-train", "--evaluate", model, "--device", "cpu", "--threads", "1", "--logits", logits,
                "--predictions", predictions)
    return said.split("\n", 1)[1], logits.read_bytes(), predictions.read_bytes()


def data_bytes(path):
    """Of the tensors: all behind the header."""
    content = path.read_bytes()
    return len(content) - 8 - struct.unpack("<Q", content[:8])[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The newest checkpoint of a short run, by specification."""
    done = {}

    def train(**fields):
        key = json.dumps(fields)
        if key not in done:
            folder = tmp_path_factory.mktemp("trained")
            code, errors = run(folder, spec=job(**fields))
            assert code == 0, errors
            done[key] = newest(folder)
        return done[key]

    return train


@pytest.mark.parametrize("method,kind,ends", list(itertools.product(
    ("sign", "mean_abs", "standardized"), ("bsnn", "bsnn_agmm"), ("float", "int8"))))
def test_a_packed_model_classifies_as_its_checkpoint(trained, tmp_path, method, kind, ends):
    checkpoint = trained(method=method, kind=kind, ends=ends)
    whole = evaluate(checkpoint, tmp_path)
    assert evaluate(checkpoint / "packed.safetensors", tmp_path) == whole
    logits = numpy_file.load_file(tmp_path / "logits.safetensors")["logits"]
    rows = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()[1:]]
    assert logits.shape == (256, 10) and [int(row[2]) for row in rows] == logits.argmax(1).tolist()
    # By hand it gives the bytes that training wrote, and they weigh what --describe says.
    packed = tmp_path / "model.safetensors"
    said = call(f"{BIN}/bsnn-train", "--export", "packed", "--model", checkpoint, "--out", packed)
    assert packed.read_bytes() == (checkpoint / "packed.safetensors").read_bytes()
    assert said == f"wrote {packed}: {packed.stat().st_size} bytes\n"
    (tmp_path / "spec.json").write_text(json.dumps(job(method, kind, ends)))
    described = call(f"{BIN}/bsnn-train", "--describe", "--spec", tmp_path / "spec.json")
    assert f"\n{data_bytes(packed)} bytes of tensors in a packed model" in described


@pytest.mark.parametrize("method,ends", (("sign", "float"), ("mean_abs", "int8"), ("standardized", "float")))
def test_the_documented_readers_agree(trained, tmp_path, method, ends):
    """docs/packed-format.md reads the packed file, docs/checkpoint-format.md the latent weights beside it."""
    checkpoint = trained(method=method, kind="bsnn_agmm", ends=ends)
    (tmp_path / "checkpoint").symlink_to(checkpoint)
    (tmp_path / "packed.safetensors").symlink_to(checkpoint / "packed.safetensors")
    snippets = [re.search(r"```python\n(.*?)```", (DOCS / page).read_text(), re.S)[1]
                for page in ("packed-format.md", "checkpoint-format.md")]
    check = """
for name in model:
    expected = model[name]
    if name in ("conv2.weight", "conv3.weight"):
        signs, scale = binary_weights(expected, method)
        expected = signs * scale.astype(np.float32).reshape(-1, 1, 1, 1)
    difference = np.abs(weights[name] - expected).max()
    rounded = "int8" in card["spec"] and name in ("conv1.weight", "fc.weight")
    assert weights[name].shape == expected.shape and weights[name].dtype == np.float32, name
    assert difference <= (np.abs(expected).max() / 253 if rounded else 1e-6 * np.abs(expected).max()), (name, difference)
assert set(weights) == set(model)
print("agree")
"""
    printed = call(sys.executable, "-c", "\n".join([*snippets, check]), cwd=tmp_path)
    assert printed.startswith(f"convnet bsnn_agmm T = 2 accuracy 0.") and printed.endswith("agree\n"), printed


def test_full_precision_has_nothing_to_pack(trained, tmp_path):
    checkpoint = trained(kind="snn")
    assert not (checkpoint / "packed.safetensors").exists()
    errors = call(f"{BIN}/bsnn-train", "--export", "packed", "--model", checkpoint, "--out", tmp_path / "p", code=2)
    assert "has no binary weights: network.kind is snn" in errors and not (tmp_path / "p").exists()


def rewrite(source, target, change):
    """The file with its header changed; the reference package writes no metadata of other tensors."""
    content = source.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + size])
    change(header)
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size:])
    return target


def test_what_is_no_packed_model_of_this_network_is_refused(trained, tmp_path):
    packed = trained() / "packed.safetensors"

    def fault(change):
        model = rewrite(packed, tmp_path / "changed", change)
        return call(f"{BIN}/bsnn-train", "--evaluate", model, code=2)

    def metadata(**fields):
        return lambda header: header["__metadata__"].update(fields)

    def spec(**fields):
        def change(header):
            text = json.loads(header["__metadata__"]["spec"])
            text["network"].update(fields)
            header["__metadata__"]["spec"] = json.dumps(text)
        return change

    assert "format version '2' (allowed: 1; a newer version needs a newer program)" in fault(metadata(version="2"))
    assert "is no packed model: format in its metadata is 'other'" in fault(metadata(format="other"))
    assert "network.time_steps" in fault(spec(time_steps=0))
    assert "tensor 'conv2.gate.alpha' of 2 numbers is not of this network (allowed: 4)" in fault(spec(time_steps=4))
    assert "tensor 'conv2.gate.alpha' of 2 numbers is not of this network (allowed: no such tensor)" in fault(
        spec(kind="bsnn"))
    assert "has no spec" in fault(lambda header: header["__metadata__"].pop("spec"))
    assert "tensor 'conv2.weight.signs' needs 'conv2.weight.scale', F32 of 16 numbers" in fault(
        metadata(**{"conv2.weight.shape": "16 32 3 3"}))
    assert "tensor 'conv2.weight' is Float [32, 9, 16]; allowed: Float [32, 16, 3, 3]" in fault(
        metadata(**{"conv2.weight.shape": "32 9 16"}))
    cut = tmp_path / "cut"
    cut.write_bytes(packed.read_bytes()[:-1])
    assert "tensors end at" in call(f"{BIN}/bsnn-train", "--evaluate", cut, code=2)
    model = (trained() / "model.safetensors")
    assert "is no packed model: format in its metadata is 'bsnn'" in call(f"{BIN}/bsnn-train", "--evaluate", model, code=2)
    assert "can be packed, not a packed model" in call(f"{BIN}/bsnn-train", "--export", "packed", "--model", packed, "--out", cut, code=2)
