"""A data folder of an older version opens, and the API says of it what the older one said."""
import json
import math
import pathlib
import shutil
import sys

import pytest

DATA = pathlib.Path(__file__).parents[1] / "regression" / "data"
sys.path.insert(0, str(DATA))
FOLDERS = sorted(path.name for path in DATA.iterdir() if (path / "replies.json").exists())
# Said in words that may change, or true only for a moment.
PASSING = {"stateMessage", "queuePosition"}


def differences(old, new, path=""):
    """What `old` has and `new` lacks or says otherwise. A newer program may say more."""
    if isinstance(old, dict):
        for key, value in old.items():
            if key not in PASSING:
                yield from differences(value, new.get(key) if isinstance(new, dict) else None, f"{path}.{key}")
    elif isinstance(old, list):
        if not isinstance(new, list) or len(old) != len(new):
            yield f"{path}: {old} is now {new}"
            return
        for i, (a, b) in enumerate(zip(old, new)):
            yield from differences(a, b, f"{path}[{i}]")
    elif old != new and not (isinstance(old, float) and math.isnan(old)):
        yield f"{path}: {old!r} is now {new!r}"


@pytest.mark.parametrize("version", FOLDERS)
def test_a_data_folder_of_an_older_version_is_taken_over_whole(tmp_path, version):
    from fill import LONG, ask
    from service import Service
    shutil.copytree(DATA / version, tmp_path / "coordinator")
    replies = json.loads((tmp_path / "coordinator" / "replies.json").read_text())
    service = Service(tmp_path)
    try:
        for start in ("migrated", "opened again"):
            service.start_coordinator(*LONG)
            now = ask(service)
            # Its back-off has ended by now: where it stands is the newer program's affair.
            backing_off = [i for i, job in enumerate(replies["jobs"]) if job["name"] == "jobs/backing-off"]
            for i in backing_off:
                for key in ("state", "attempts", "etag", "updateTime", "stateMessage"):
                    now["jobs"][i][key] = replies["jobs"][i].get(key)
            assert list(differences(replies["jobs"], now["jobs"], "jobs")) == [], start
            for kind in ("checkpoints", "files", "metrics", "logs"):
                assert list(differences(replies[kind], now[kind], kind)) == [], start
            assert [worker["name"] for worker in now["workers"]] == [worker["name"] for worker in replies["workers"]]
            assert service.coordinator.kill(15) == 0
    finally:
        service.stop()


def test_folders_are_there():
    assert FOLDERS
