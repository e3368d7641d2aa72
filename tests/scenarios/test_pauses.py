"""A coordinator that stands still judges nobody for silence that it could not hear."""
import os
import pathlib
import re
import signal
import sys
import time
import urllib.request

import pytest
from bsnn.v1 import worker_pb2
from service import Service, wait_for

LEASE = 2  # of Service


def scrape(service, name):
    text = urllib.request.urlopen(f"http://{service.metrics_address}/metrics", timeout=10).read().decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])


def workers(service):
    return service.worker_service.ListWorkers(worker_pb2.ListWorkersRequest(), timeout=10).workers


@pytest.mark.parametrize("leases", [0.9, 1.1, 1.5, 2.5])
def test_a_stopped_coordinator_loses_no_worker(service, leases):
    for number in range(6):
        service.start_worker(f"w{number}")
    wait_for("six workers", lambda: len(workers(service)) == 6, 30)
    time.sleep(0.5)
    pid = service.coordinator.process.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(leases * LEASE)
    os.kill(pid, signal.SIGCONT)
    time.sleep(LEASE + 1)  # whoever was to be lost is lost by now
    assert scrape(service, "bsnn_worker_leases_expired_total") == 0
    assert {worker.state for worker in workers(service)} == {worker_pb2.Worker.ONLINE}


def test_a_worker_is_heard_soon_after_its_network_is_back(tmp_path):
    """TCP alone would try again some 25 s after a pause of 13 s began."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "chaos"))
    from links import Links
    links = Links(["w1"])
    if not links.real:
        pytest.skip("no network namespaces here: " + links.why_not)
    service = Service(tmp_path)
    try:
        service.address = "0.0.0.0:0"
        service.start_coordinator("--allow-insecure-network")
        with links.inside("w1"):
            service.start_worker(address=f"{links.host_of('w1')}:{service.address.rsplit(':', 1)[1]}")
        wait_for("the worker", lambda: len(workers(service)) == 1, 30)
        with links.cut("w1"):
            time.sleep(13)
            assert workers(service)[0].state == worker_pb2.Worker.SILENT
        wait_for("its voice", lambda: workers(service)[0].state == worker_pb2.Worker.ONLINE, 6)
    finally:
        service.stop()
        links.close()
