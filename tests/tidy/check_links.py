#!/usr/bin/env python3
"""The coordinator, the worker and bsnnctl link no LibTorch; bsnn-train links no gRPC.

usage: check_links.py FOLDER_OF_THE_PROGRAMS
"""
import pathlib
import subprocess
import sys

FORBIDDEN = {"bsnn-coordinator": ("libtorch", "libc10"), "bsnn-worker": ("libtorch", "libc10"),
             "bsnnctl": ("libtorch", "libc10"), "bsnn-train": ("libgrpc", "libprotobuf", "libsqlite3")}
folder = pathlib.Path(sys.argv[1])
faults, seen = [], 0
for program, names in FORBIDDEN.items():
    if not (folder / program).exists():
        print(f"{program} was not built here: skipped")
        continue
    seen += 1
    linked = subprocess.run(["ldd", folder / program], capture_output=True, text=True, check=True).stdout
    faults += [f"{program} links {name}" for name in names if name in linked]
print("\n".join(faults) or f"{seen} programs link what they may")
sys.exit(1 if faults or not seen else 0)
