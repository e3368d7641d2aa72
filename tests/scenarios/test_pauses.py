"""A coordinator that stands still judges nobody for silence that it could not hear."""
import os
import re
import signal
import time
import urllib.request

import pytest
from bsnn.v1 import worker_pb2
from service import wait_for

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
