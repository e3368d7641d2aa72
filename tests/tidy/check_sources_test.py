#!/usr/bin/env python3
"""check_sources.py finds what it is there to find."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import check_sources  # noqa: E402

layers = check_sources.read_layers(pathlib.Path(__file__).parents[2])
HEAD = "#pragma once\n"
GOOD = [("libs/base/x.h", HEAD + "#include <string>\n"), ("server/api/x.h", HEAD + '#include "wire/status.h"\n'),
        ("client/commands/x.h", HEAD + '#include "client/sdk/client.h"\n'),
        ("server/server.cc", '#include "server/store/sqlite/sqlite_job_store.h"\n')]
BAD = [("libs/base/x.h", "int x;\n"), ("libs/base/x.h", HEAD + '#include "spec/event.h"\n'),
       ("server/scheduler/x.cc", '#include "bsnn/v1/job.pb.h"\n'), ("server/scheduler/x.cc", "#include <grpcpp/grpcpp.h>\n"),
       ("server/api/x.cc", '#include "server/store/sqlite/sqlite_job_store.h"\n'),
       ("worker/agent/x.cc", "#include <torch/torch.h>\n"), ("worker/trainer/nn/x.cc", '#include "wire/status.h"\n'),
       ("client/sdk/x.cc", '#include "server/scheduler/types.h"\n'), ("libs/spec/x.cc", "auto t = absl::Now();\n"),
       ("libs/spec/x.cc", "std::this_thread::sleep_for(x);\n"), ("libs/spec/x.cc", "// TODO: later\n"),
       ("libs/spec/x.cc", "x" * 101 + "\n"), ("libs/spec/x.cc", "\n" * 401), ("libs/nosuch/x.cc", "\n")]
for path, text in GOOD:
    assert check_sources.check_file(path, text, layers) == [], (path, check_sources.check_file(path, text, layers))
for path, text in BAD:
    assert check_sources.check_file(path, text, layers), (path, text[:60])
print(f"{len(BAD)} faults found, {len(GOOD)} good files passed")
