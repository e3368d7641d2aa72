"""Wheels for a benchmark, beside the LibTorch that bsnn-train was built with: both sides of a comparison run the same."""
import importlib.metadata
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "bench-venv"


def _has(wheel):
    name, version = wheel.split("==")
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False


def _torch_packages():
    """The folder of packages that LibTorch lies in: what is there is borrowed, not installed again."""
    torch = os.environ.get("BSNN_TORCH") or next(map(str, (ROOT / ".venv").glob("lib/python3*/site-packages/torch")), None)
    if torch is None or not pathlib.Path(torch, "__init__.py").exists():
        sys.exit(f"{sys.argv[0]}: no torch: set BSNN_TORCH to its folder, or run deploy/install-dependencies test first")
    return pathlib.Path(torch).resolve().parent


def enter(*wheels, alone=()):
    """Goes on where this Python has the wheels ("name==version"); else restarts the script in build/bench-venv, where
    they are installed, those of `alone` without what they ask for."""
    missing, missing_alone = [w for w in wheels if not _has(w)], [w for w in alone if not _has(w)]
    if not missing and not missing_alone:
        return
    python = VENV / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        if not python.exists():
            print(f"making {VENV}", file=sys.stderr, flush=True)
            subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        (site,) = VENV.glob("lib/python3*/site-packages")
        (site / "bsnn-torch.pth").write_text(f"{_torch_packages()}\n")
    else:
        for options, names in (([], missing), (["--no-deps"], missing_alone)):
            if names:
                print(f"installing into {VENV}: {' '.join(names)}", file=sys.stderr, flush=True)
                subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options, *names],
                               check=True, stdout=sys.stderr)
    os.execv(python, [str(python), *sys.argv])
