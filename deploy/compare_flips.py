#!/usr/bin/env python3
"""Prints each layer's flip ratio as Prometheus has it beside the trainer's own; exit code 1 if one differs.

usage: compare_flips.py PROMETHEUS_URL JOB TRAINER_METRICS_JSON
"""
import json
import sys
import time
import urllib.parse
import urllib.request


def from_prometheus(url, job):
    query = urllib.parse.urlencode({"query": f'bsnn_job_sign_flip_ratio{{training_job="{job}"}}'})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as reply:
        result = json.load(reply)["data"]["result"]
    return {series["metric"]["layer"]: float(series["value"][1]) for series in result}


def from_trainer(path):
    with open(path, encoding="utf-8") as file:
        points = json.load(file)["points"]
    newest = {}
    for point in points:  # in the order of arrival
        if point["name"] == "sign_flip_ratio":
            newest[point["layer"]] = float(point["value"])
    return newest


def main():
    url, job, path = sys.argv[1:]
    job = job.removeprefix("jobs/")
    trainer, prometheus = from_trainer(path), {}
    for _ in range(50):  # a scrape is due each second
        prometheus = from_prometheus(url, job)
        if trainer and prometheus == trainer:
            break
        time.sleep(0.2)
    print(f"{'layer':<24} {'Prometheus':>22} {'trainer':>22}")
    for layer in sorted(trainer.keys() | prometheus.keys()):
        print(f"{layer:<24} {prometheus.get(layer, 'absent')!s:>22} {trainer.get(layer, 'absent')!s:>22}")
    if not trainer or prometheus != trainer:
        print("Prometheus and the trainer differ", file=sys.stderr)
        return 1
    print("equal in every layer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
