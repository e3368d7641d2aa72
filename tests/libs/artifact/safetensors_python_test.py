"""The reference package writes a file, our tool reads and writes it again, the package reads that.

Usage: safetensors_python_test.py SAFETENSORS_TOOL. Exits 77 (skipped) where a package is missing.
"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def main(tool):
    rng = np.random.default_rng(1)
    tensors = {
        "f32": rng.standard_normal((3, 4, 5)).astype(np.float32),
        "f64": rng.standard_normal(7),
        "f16": rng.standard_normal((2, 2)).astype(np.float16),
        "i64": rng.integers(-9, 9, (5,)),
        "i32": rng.integers(-9, 9, (5, 1)).astype(np.int32),
        "u8": rng.integers(0, 255, (9,)).astype(np.uint8),
        "bool": np.array([True, False]),
        "scalar": np.array(1.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "näme \"quoted\"": np.ones(1, np.float32),
    }
    metadata = {"spec": '{"a": [1, 2]}', "format": "x"}
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = os.path.join(folder, "theirs"), os.path.join(folder, "ours")
        save_file(tensors, theirs, metadata)
        subprocess.run([tool, theirs, ours], check=True)
        with safe_open(ours, "np") as file:
            assert file.metadata() == metadata, file.metadata()
            assert set(file.keys()) == set(tensors), file.keys()
            for name, expected in tensors.items():
                actual = file.get_tensor(name)
                assert actual.dtype == expected.dtype and actual.shape == expected.shape, name
                assert actual.tobytes() == expected.tobytes(), name
    print(f"{len(tensors)} tensors both ways")


main(sys.argv[1])
