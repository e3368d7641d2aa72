#include "tests/bench/control_plane/kept_store.h"

#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "server/store/sqlite/sqlite_job_store.h"

namespace bsnn::bench {
namespace {

store::JobRecord NewJob(int64_t sequence, std::string id) {
  store::JobRecord job;
  job.id = *base::JobId::Make(std::move(id));
  job.sequence = sequence;
  job.request_id = fmt::format("00000000-0000-4000-8000-{:012}", sequence);
  job.display_name = fmt::format("bench {}", sequence % 100);
  job.labels =
      store::PackedLabels::Map{{"team", "vision"}, {"study", fmt::format("s{}", sequence % 10)}};
  auto spec = std::make_shared<spec::JobSpec>();
  spec->training.seed = static_cast<int32_t>(sequence);
  spec->optimizer.learning_rate = 0.01;
  spec->network.name = spec::NetworkName::kBirealResnet18;
  spec->data.name = spec::DataName::kCifar10;
  job.spec = spec::SharedSpec(*spec);
  job.create_time = absl::Now();
  job.status.update_time = job.create_time;
  job.status.progress.epochs_total = spec->training.epochs;
  return job;
}

void WaitDurable(store::JobStore& store, store::Ticket ticket) {
  absl::Notification durable;
  store.WhenDurable(ticket, [&] { durable.Notify(); });
  durable.WaitForNotification();
}

void AddPoints(store::JobStore& store, const base::JobId& job, int64_t count) {
  constexpr int64_t kSeries = 500;
  constexpr int64_t kBatch = 1000;
  for (int64_t done = 0; done < count; done += kBatch) {
    std::vector<spec::MetricPoint> points;
    for (int64_t i = done; i < std::min(count, done + kBatch); ++i) {
      spec::MetricPoint point;
      point.name = fmt::format("metric{}", i % 20);
      point.layer = fmt::format("conv{}", i % kSeries / 20);
      point.step = i / kSeries + 1;
      point.epoch = 1;
      point.value = static_cast<double>(i) * 0.1;
      points.push_back(std::move(point));
    }
    const store::Ticket ticket = store.Enqueue({store::AppendMetrics{job, std::move(points)}});
    if (!store.HasRoom()) WaitDurable(store, ticket);
  }
}

}  // namespace

void FillStore(const std::filesystem::path& data, const StoreContent& content) {
  auto store = store::MakeSqliteJobStore(
      {.file = data / "coordinator.sqlite", .on_fatal = [](const absl::Status& status) {
         fmt::print(stderr, "{}\n", status.ToString());
         std::abort();
       }});
  BSNN_CHECK(store.ok());
  store::Ticket last = 0;
  int64_t sequence = 0;
  if (content.points > 0) {
    store::JobRecord job = NewJob(++sequence, "large");
    job.status.state = store::JobState::kCancelled;
    job.status.newest_epoch = 1;
    job.status.end_time = absl::Now();
    (*store)->Enqueue({store::CreateJob{job}});
    AddPoints(**store, job.id, content.points);
  }
  for (int64_t i = 0; i < content.queued; ++i) {
    ++sequence;
    last = (*store)->Enqueue(
        {store::CreateJob{NewJob(sequence, fmt::format("bench-{:08}", sequence))}});
    if (!(*store)->HasRoom()) WaitDurable(**store, last);
  }
  if (last > 0) WaitDurable(**store, last);
}

}  // namespace bsnn::bench
