#include "tests/server/scheduler/scheduler_fixture.h"

#include <algorithm>

#include "base/limits.h"

namespace bsnn::scheduler {

void SchedulerFixture::Start() { RestartAfter(absl::ZeroDuration()); }

void SchedulerFixture::RestartAfter(absl::Duration replay, absl::Duration wall_jump) {
  scheduler_.reset();
  telemetry_ = std::make_unique<telemetry::Telemetry>(telemetry::Telemetry::Options{
      .series_per_job_max = base::kSeriesPerJobMax,
      .classify = [](const telemetry::SeriesKey&) { return telemetry::Shown::kPooled; }});
  auto made =
      Scheduler::Make(options_, *store_, *telemetry_, this, [this] { return bits_++ * 7919; });
  ASSERT_TRUE(made.ok()) << made.status();
  scheduler_ = *std::move(made);
  Sleep(replay);
  now_.wall += wall_jump;
  scheduler_->Begin(now_);
}

void SchedulerFixture::Pass(absl::Duration duration) {
  // As the program's ticker does: the clock of attention is looked at all the while.
  while (duration > absl::ZeroDuration()) {
    const absl::Duration step = std::min(duration, absl::Milliseconds(500));
    Sleep(step);
    scheduler_->Tick(now_);
    duration -= step;
  }
}

void SchedulerFixture::Sleep(absl::Duration duration) {
  now_.wall += duration;
  now_.steady += duration;
}

CreateJobRequest SchedulerFixture::Request(const std::string& id) {
  CreateJobRequest request;
  request.wanted_id = id;
  return request;
}

JobView SchedulerFixture::Create(const std::string& id) { return Create(Request(id)); }

JobView SchedulerFixture::Create(const CreateJobRequest& request) {
  auto made = scheduler_->CreateJob(now_, request);
  EXPECT_TRUE(made.ok()) << made.status();
  return made->value;
}

JobView SchedulerFixture::Get(const std::string& id) {
  auto view = scheduler_->GetJob(now_, J(id));
  EXPECT_TRUE(view.ok()) << view.status();
  return *std::move(view);
}

void SchedulerFixture::AddWorker(const std::string& worker, int slots,
                                 const std::string& incarnation, spec::Device device) {
  RegisterWorkerRequest request;
  request.id = W(worker);
  request.incarnation = incarnation;
  request.replaces_incarnation = incarnations_[worker];
  incarnations_[worker] = incarnation;
  request.version = "0.1.0";
  request.hostname = "host";
  for (int32_t i = 0; i < slots; ++i) request.slots.push_back({i, device, "", 0});
  held_.erase(worker);
  ASSERT_TRUE(scheduler_->RegisterWorker(now_, request).ok());
}

std::vector<AttemptOrder> SchedulerFixture::Sync(const std::string& worker,
                                                 const std::string& incarnation, bool draining) {
  auto reply = scheduler_->Synchronize(now_, {.worker = W(worker),
                                              .incarnation = incarnation,
                                              .attempts = held_[worker],
                                              .draining = draining});
  EXPECT_TRUE(reply.ok()) << reply.status();
  if (!reply.ok()) return {};
  held_[worker].clear();
  for (const AttemptOrder& order : reply->value.orders) {
    held_[worker].push_back({order.job, order.epoch, Phase::kTraining});
  }
  return reply->value.orders;
}

EventBatch SchedulerFixture::BatchOf(const std::string& job, std::vector<Kind> kinds) {
  const store::AttemptRecord attempt = Get(job).attempts.back();
  EventBatch batch{attempt.worker, J(job), attempt.epoch, {}};
  int64_t sequence = attempt.acknowledged_sequence;
  for (Kind& kind : kinds) batch.events.push_back({++sequence, now_.wall, std::move(kind)});
  return batch;
}

absl::StatusOr<Committed<int64_t>> SchedulerFixture::Publish(const std::string& job,
                                                             std::vector<Kind> kinds) {
  return scheduler_->AcceptEvents(now_, BatchOf(job, std::move(kinds)));
}

absl::StatusOr<Committed<Published>> SchedulerFixture::Upload(const std::string& job, int64_t step,
                                                              const std::string& digest,
                                                              double accuracy) {
  const store::AttemptRecord attempt = Get(job).attempts.back();
  return scheduler_->RecordCheckpoint(now_, {.source = {attempt.worker, J(job), attempt.epoch},
                                             .step = step,
                                             .epoch = 1,
                                             .digest = digest,
                                             .files = {{"manifest.json", 10, digest}},
                                             .accuracy_ratio = accuracy});
}

}  // namespace bsnn::scheduler
