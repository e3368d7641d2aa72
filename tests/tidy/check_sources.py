#!/usr/bin/env python3
"""Checks the sources against cmake/Layers.cmake and docs/style.md; prints each fault, exit code 1 if there is one.

usage: check_sources.py [ROOT]
"""
import pathlib
import re
import sys

SOURCE_FOLDERS = ("libs", "server", "worker", "client")
LINES_MAX, COLUMNS_MAX = 400, 100
# Banned call: where it is allowed, and what to use.
BANNED = {
    r"absl::Now\(": ({"libs/base/clock.cc"}, "base::Clock"),
    r"system_clock::now": ({"libs/base/clock.cc", "server/server.cc"}, "base::Clock"),
    r"steady_clock::now": ({"libs/base/clock.cc"}, "base::Clock"),
    r"\bsleep_for\b|\busleep\(|absl::SleepFor": (set(), "a condition with a time limit"),
    r"\b(std::)?s?rand\(": (set(), "base::RandomBits"),
    r"\bgetenv\(": ({"server/config/config.cc", "worker/config/config.cc", "worker/trainer/nn/threads.cc"}, "config.cc"),
    r"torch::load\b": (set(), "artifact/safetensors.h"),
    r"\bthread\w*\.detach\(\)": (set(), "a thread that is joined"),
}
TODO = re.compile(r"TODO(?!\(#\d+\))|FIXME|XXX")


def read_layers(root):
    """Layer name to the layers it may use."""
    text = (root / "cmake" / "Layers.cmake").read_text()
    return {name: set(uses.replace('"', "").split())
            for name, uses in re.findall(r"set\(BSNN_MAY_USE_(\w+) ([^)]*)\)", text)}


def layer_of(path, layers):
    """The layer of a file (relative path), by its longest folder that has a row."""
    parts = path.split("/")
    if parts[0] == "libs":
        return parts[1]
    for end in range(len(parts) - 1, 0, -1):
        name = "_".join(parts[:end])
        if name in layers:
            return name
        if end == 1 or (parts[0], parts[1]) == ("client", "commands") or (parts[0], parts[1]) == ("client", "printers"):
            return parts[0] + "_root"
    return None


def layer_of_include(include, layers):
    """The layer an include names; None for what is not ours."""
    if include.startswith(("bsnn/v1/", "google/rpc/", "google/api/")):
        return "proto"
    top = include.split("/")[0]
    if top in ("server", "worker", "client"):
        return layer_of(include, layers)
    return top if top in layers else None


def check_file(path, text, layers):
    """Faults of one file; `path` is relative to the root."""
    faults = []
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        faults.append(f"{path}: {len(lines)} lines (allowed: {LINES_MAX})")
    if path.endswith(".h") and "#pragma once" not in text:
        faults.append(f"{path}: no #pragma once")
    layer = layer_of(path, layers)
    if layer not in layers:
        return [*faults, f"{path}: its folder has no row in cmake/Layers.cmake"]
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        if len(line) > COLUMNS_MAX and "http" not in line:
            faults.append(f"{where}: {len(line)} columns (allowed: {COLUMNS_MAX})")
        include = re.match(r'#include ["<]([^">]+)[">]', line)
        if include:
            used = layer_of_include(include[1], layers)
            if used is not None and used != layer and used not in layers[layer]:
                faults.append(f"{where}: {layer} must not include {include[1]} of {used}")
            if include[1].startswith(("torch/", "ATen/", "c10/")) and layer != "worker_trainer":
                faults.append(f"{where}: LibTorch belongs to worker/trainer")
            if include[1].startswith("grpc") and layer in ("worker_trainer", "spec", "base", "artifact", "blob",
                                                           "server_scheduler", "server_store"):
                faults.append(f"{where}: {layer} must not include gRPC")
        for pattern, (allowed, instead) in BANNED.items():
            if re.search(pattern, line) and path not in allowed and not line.lstrip().startswith("//"):
                faults.append(f"{where}: {pattern} is banned here; use {instead}")
        if TODO.search(line):
            faults.append(f"{where}: a TODO names its issue: TODO(#12)")
    return faults


def check(root):
    layers = read_layers(root)
    faults = []
    for folder in SOURCE_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".h", ".cc"):
                faults += check_file(str(path.relative_to(root)), path.read_text(), layers)
    for name, uses in layers.items():
        for used in uses:
            if name in layers.get(used, ()):
                faults.append(f"cmake/Layers.cmake: {name} and {used} may use each other")
    return faults


if __name__ == "__main__":
    found = check(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]))
    print("\n".join(found) or "no faults")
    sys.exit(1 if found else 0)
