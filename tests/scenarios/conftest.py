"""Fixtures of the scenarios: the protos as Python modules, and a service in a folder of its own."""
import pathlib
import subprocess
import sys
import tempfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).parent))


def _generate_protos():
    out = pathlib.Path(tempfile.mkdtemp(prefix="bsnn-protos-"))
    protos = [str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto")]
    own = [path for path in protos if not path.startswith("google/rpc")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"--python_out={out}",
         f"--grpc_python_out={out}", *own],
        check=True)
    # The installed google package has protobuf's own modules; ours adds to it.
    import google
    google.__path__.append(str(out / "google"))
    import google.api  # noqa: F401  (googleapis-common-protos, or ours)
    sys.path.insert(0, str(out))


_generate_protos()


@pytest.fixture
def service(tmp_path):
    """A coordinator, started; workers are started by the test."""
    from service import Service
    made = Service(tmp_path)
    made.start_coordinator()
    try:
        yield made
    finally:
        made.stop()
