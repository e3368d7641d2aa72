"""The API as a stranger's client meets it: errors that name fields, repeats, paging, hostile bytes."""
import random
import signal
import subprocess
import uuid

import grpc
import pytest
from bsnn.v1 import checkpoint_pb2, event_pb2, job_pb2, spec_pb2, worker_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from service import BIN, Program, Service, small_job, wait_for


def details(error):
    """ErrorInfo and the violations by field."""
    info, fields = None, {}
    for item in rpc_status.from_call(error).details:
        if item.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            item.Unpack(info)
        if item.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            item.Unpack(bad)
            fields = {v.field: v.description for v in bad.field_violations}
    return info, fields


def refusal(call, *arguments, **named):
    with pytest.raises(grpc.RpcError) as refused:
        reply = call(*arguments, timeout=10, **named)
        list(reply) if hasattr(reply, "__iter__") else None
    info, fields = details(refused.value)
    assert info is not None and info.domain == "bsnn.v1", refused.value
    return refused.value.code(), info.reason, fields


def test_every_wrong_field_is_named_in_one_reply(service):
    job = job_pb2.Job()
    job.spec.network.time_steps = 0
    job.spec.network.name = "resnet999"
    job.spec.training.epochs = -3
    job.spec.optimizer.learning_rate = float("nan")
    job.spec.data.name = "\x00'; DROP TABLE jobs"
    job.spec.neuron.decay = 1e300
    job.labels["BAD KEY"] = "x"
    job.spec.agmm.alpha_mode, job.spec.agmm.alpha_init = "fixed", 0
    code, reason, fields = refusal(service.jobs.CreateJob, job_pb2.CreateJobRequest(job_id="../etc", job=job))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELDS_INVALID")
    named = " ".join(fields)
    for field in ("network.time_steps", "network.name", "training.epochs", "optimizer.learning_rate", "data.name",
                  "neuron.decay", "job_id", "labels", "agmm.alpha_init"):
        assert field in named, (field, fields)
    steps = next(text for field, text in fields.items() if field.endswith("network.time_steps"))
    assert "0" in steps and "1 to 64" in steps
    assert len(service.jobs.ListJobs(job_pb2.ListJobsRequest(), timeout=5).jobs) == 0


def test_validate_only_creates_nothing(service):
    job = service.jobs.CreateJob(job_pb2.CreateJobRequest(job=job_pb2.Job(spec=spec_pb2.JobSpec()), validate_only=True), timeout=5)
    assert job.name == "" and job.spec.network.name == "convnet"
    assert len(service.jobs.ListJobs(job_pb2.ListJobsRequest(), timeout=5).jobs) == 0


def test_a_request_id_makes_one_job_even_across_a_crash(service):
    request_id = str(uuid.uuid4())
    job = service.submit(job_id="once", request_id=request_id)
    service.coordinator.kill()
    service.start_coordinator()
    wait_for("the coordinator", lambda: service.get(job.name))
    assert service.submit(job_id="once", request_id=request_id).name == job.name
    code, reason, _ = refusal(
        service.jobs.CreateJob,
        job_pb2.CreateJobRequest(job_id="other", request_id=request_id, job=job_pb2.Job(spec=spec_pb2.JobSpec())))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    code, reason, _ = refusal(service.jobs.CreateJob, job_pb2.CreateJobRequest(job_id="once", job=job_pb2.Job(spec=spec_pb2.JobSpec())))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "JOB_ID_TAKEN")


def test_pages_are_complete_and_tokens_are_checked(service):
    names = [service.submit(job_id=f"job-{i:02}").name for i in range(7)]
    seen, token = [], ""
    while True:
        page = service.jobs.ListJobs(job_pb2.ListJobsRequest(page_size=3, page_token=token), timeout=5)
        seen += [job.name for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert seen == names[::-1]
    for wrong in ("x", "AAAA", page.next_page_token + "=="):
        code, _, _ = refusal(service.jobs.ListJobs, job_pb2.ListJobsRequest(page_token=wrong))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
    code, _, fields = refusal(service.jobs.ListJobs, job_pb2.ListJobsRequest(page_size=-1))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "page_size" in fields


def test_etag_cancel_and_delete(service):
    job = service.submit(job_id="one")
    code, reason, _ = refusal(service.jobs.DeleteJob, job_pb2.DeleteJobRequest(name=job.name))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_NOT_ENDED")
    code, reason, _ = refusal(service.jobs.CancelJob, job_pb2.CancelJobRequest(name=job.name, etag="old"))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    cancelled = service.jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name, etag=job.etag), timeout=5)
    assert cancelled.state == job_pb2.Job.CANCELLED
    again = service.jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name), timeout=5)
    assert again == cancelled
    service.jobs.DeleteJob(job_pb2.DeleteJobRequest(name=job.name), timeout=5)
    code, reason, _ = refusal(service.jobs.GetJob, job_pb2.GetJobRequest(name=job.name))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


def test_priority_goes_first(service):
    low = service.submit(job_id="low")
    high = service.submit(job_id="high", scheduling__priority=5)
    assert service.get(low.name).queue_position == 2 and service.get(high.name).queue_position == 1


def test_an_old_epoch_is_fenced(service):
    worker = worker_pb2.RegisterWorkerRequest(worker_id="w9", incarnation="a",
                                              slots=[worker_pb2.Slot(index=0, device="cpu")])
    service.worker_service.RegisterWorker(worker, timeout=5)
    job = service.submit(job_id="fenced", scheduling__restart_backoff_seconds=0)
    first = service.worker_service.Synchronize(
        worker_pb2.SynchronizeRequest(worker="workers/w9", incarnation="a"), timeout=5).orders[0]
    worker.incarnation = "b"
    code, reason, _ = refusal(service.worker_service.RegisterWorker, worker)
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "WORKER_ID_IN_USE")
    worker.replaces_incarnation = "a"  # as the same worker does that starts again in its folder
    service.worker_service.RegisterWorker(worker, timeout=5)
    event = event_pb2.Event(sequence=1, log=event_pb2.LogLine(severity=event_pb2.INFO, message="late"))
    event.event_time.GetCurrentTime()
    code, reason, _ = refusal(
        service.worker_service.PublishEvents,
        worker_pb2.PublishEventsRequest(worker="workers/w9", job=job.name, epoch=first.epoch, events=[event]))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ATTEMPT_FENCED")
    code, reason, _ = refusal(service.worker_service.Synchronize,
                              worker_pb2.SynchronizeRequest(worker="workers/w9", incarnation="a"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "WORKER_UNKNOWN")


def test_health_and_reflection(service):
    health = health_pb2_grpc.HealthStub(service.channel)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == health_pb2.HealthCheckResponse.SERVING
    names = ProtoReflectionDescriptorDatabase(service.channel).get_services()
    assert {"bsnn.v1.JobService", "bsnn.v1.WorkerService", "bsnn.v1.CheckpointService",
            "bsnn.v1.ServerService"} <= set(names)


METHODS = [(service, method.name, method.client_streaming, method.input_type)
           for file in (job_pb2, worker_pb2, checkpoint_pb2)
           for service_name, descriptor in file.DESCRIPTOR.services_by_name.items()
           for service in [f"bsnn.v1.{service_name}"]
           for method in descriptor.methods]


def hostile(message_class, dice):
    """A message with random fields, of which many are wrong."""
    message = message_class()
    texts = ["", "jobs/x", "jobs/", "jobs/x/checkpoints/y", "workers/w", "\x00", "../..", "é" * 70, "a" * 5000, "-"]
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.4:
            continue
        repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            if repeated and field.message_type.GetOptions().map_entry:
                continue
            inner = hostile(field.message_type._concrete_class, dice)
            if repeated:
                getattr(message, field.name).add().CopyFrom(inner)
            else:
                getattr(message, field.name).CopyFrom(inner)
            continue
        value = {field.CPPTYPE_STRING: lambda: dice.choice(texts) if field.type == field.TYPE_STRING
                 else dice.randbytes(dice.choice([0, 1, 100])),
                 field.CPPTYPE_BOOL: lambda: dice.random() < 0.5,
                 field.CPPTYPE_DOUBLE: lambda: dice.choice([0.0, -1.0, 1e308, float("nan"), float("inf")]),
                 field.CPPTYPE_ENUM: lambda: dice.choice([0, 1, 77, -1]),
                 field.CPPTYPE_INT32: lambda: dice.choice([0, 1, -1, 2**31 - 1, -2**31]),
                 field.CPPTYPE_INT64: lambda: dice.choice([0, 1, -1, 2**63 - 1, -2**63]),
                 field.CPPTYPE_UINT32: lambda: dice.choice([0, 2**32 - 1])}[field.cpp_type]()
        if repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def test_no_input_crashes_it_or_is_answered_unknown_or_internal(service):
    dice = random.Random(11)
    service.submit(job_id="x")  # which the dice may cancel and delete
    other = service.submit(job_id="other")
    codes = {}
    for service_name, method, client_streaming, input_type in METHODS:
        path = f"/{service_name}/{method}"
        send = (lambda requests, path=path: service.channel.stream_stream(path)(iter(requests), timeout=2))
        for turn in range(40):
            count = dice.randint(0, 3) if client_streaming else 1
            requests = [dice.randbytes(dice.choice([0, 1, 10, 1000])) if turn % 4 == 0 else
                        hostile(input_type._concrete_class, dice).SerializeToString() for _ in range(count)]
            try:
                call = send(requests)
                for _ in zip(range(3), call):
                    pass
                call.cancel()
                code = grpc.StatusCode.OK
            except grpc.RpcError as error:
                code = error.code()
            codes.setdefault(code, path)
            assert code not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), (path, requests)
    assert grpc.StatusCode.INVALID_ARGUMENT in codes
    assert service.coordinator.process.poll() is None, service.coordinator.text()
    assert service.get(other.name).create_time == other.create_time


def test_a_message_that_is_too_large_is_refused(service):
    job = job_pb2.Job(display_name="x" * (5 << 20), spec=spec_pb2.JobSpec())
    with pytest.raises(grpc.RpcError) as refused:
        service.jobs.CreateJob(job_pb2.CreateJobRequest(job=job), timeout=10)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert service.jobs.ListJobs(job_pb2.ListJobsRequest(), timeout=5) is not None


def test_a_second_instance_refuses_the_folder(service, tmp_path):
    second = Program("bsnn-coordinator", ["--data", service.folder / "coordinator", "--listen", "127.0.0.1:0",
                                          "--metrics-listen", "127.0.0.1:0"], tmp_path / "second.log")
    assert second.process.wait(20) == 1
    assert f"process {service.coordinator.process.pid}" in second.text()


def test_configuration_that_is_wrong_stops_the_start(tmp_path):
    def start(*arguments, environment=None):
        return subprocess.run([BIN / "bsnn-coordinator", *map(str, arguments)], capture_output=True, text=True,
                              timeout=20, env=environment)
    (tmp_path / "config.toml").write_text(f"data = '{tmp_path}/d'\nlease-secondz = 3\n")
    for arguments, named in [(["--config", tmp_path / "config.toml"], "lease-secondz"),
                             (["--data", tmp_path, "--lease-seconds", "-1"], "lease-seconds"),
                             (["--data", tmp_path, "--nonsense"], "nonsense"),
                             (["--data", tmp_path, "--listen", "0.0.0.0:0"], "--listen"),
                             ([], "data")]:
        done = start(*arguments)
        assert done.returncode == 2 and named in done.stderr, (arguments, done.stderr)
    done = start("--data", tmp_path, environment={"BSNN_COORDINATOR_LEASE_SECONDS": "soon"})
    assert done.returncode == 2 and "BSNN_COORDINATOR_LEASE_SECONDS" in done.stderr
    done = start("--data", tmp_path, environment={"BSNN_COORDINATOR_LEASE_SECONDZ": "3"})
    assert done.returncode == 2 and "BSNN_COORDINATOR_LEASE_SECONDZ" in done.stderr
    done = start(environment={"BSNN_COORDINATOR_CONFIG": str(tmp_path / "config.toml")})
    assert done.returncode == 2 and "lease-secondz" in done.stderr


def test_sigterm_drains_and_the_next_start_goes_on(tmp_path):
    service = Service(tmp_path)
    service.start_coordinator()
    try:
        service.start_worker()
        job = service.submit(spec=small_job(epochs=6))
        service.wait_until(job.name, "step 10", lambda j: j.progress.step >= 10)
        watch = service.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=60)
        next(watch)
        assert service.coordinator.kill(signal.SIGTERM) == 0
        with pytest.raises(grpc.RpcError) as ended:
            list(watch)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        service.start_coordinator()
        ended = service.wait_end(job.name)
        assert ended.state == job_pb2.Job.SUCCEEDED and ended.restart_count == 0
    finally:
        service.stop()


def test_streams_follow_and_resume(service):
    service.start_worker()
    job = service.submit(spec=small_job(epochs=3))
    points, cursor = [], ""
    # Cut the stream after each message, and go on at its cursor.
    while True:
        stream = service.jobs.StreamMetrics(
            job_pb2.StreamMetricsRequest(parent=job.name, cursor=cursor, follow=True), timeout=60)
        reply = next(stream, None)
        if reply is None:
            break
        points += [(p.name, p.layer, p.split, p.time_step, p.step) for p in reply.points]
        cursor = reply.cursor
        stream.cancel()
    assert service.get(job.name).state == job_pb2.Job.SUCCEEDED
    kept = set(points)  # an epoch's mean replaces, and comes after, the last report of the same step
    listed = service.jobs.ListMetrics(job_pb2.ListMetricsRequest(parent=job.name, page_size=10000), timeout=10).points
    assert kept == {(p.name, p.layer, p.split, p.time_step, p.step) for p in listed}
    logs = [entry.line.message for reply in service.jobs.StreamLogs(
        job_pb2.StreamLogsRequest(parent=job.name), timeout=10) for entry in reply.entries]
    assert any("epoch=3/3" in line for line in logs)
    tail = [entry for reply in service.jobs.StreamLogs(
        job_pb2.StreamLogsRequest(parent=job.name, tail=1), timeout=10) for entry in reply.entries]
    assert len(tail) == 1
