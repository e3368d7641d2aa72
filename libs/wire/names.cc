#include "wire/names.h"

#include "base/fault.h"
#include "base/status.h"

namespace bsnn::wire {
namespace {

constexpr std::string_view kJobs = "jobs/";
constexpr std::string_view kWorkers = "workers/";
constexpr std::string_view kCheckpoints = "/checkpoints/";

absl::Status BadName(std::string_view field, std::string_view name, std::string_view form) {
  return base::InvalidFields({{std::string(field), "'" + base::Shorten(name, 128) + "'",
                               std::string(form) + ", each id [a-z0-9-] of 1 to 63 characters"}});
}

}  // namespace

std::string JobName(const base::JobId& job) { return std::string(kJobs) + job.value(); }

std::string WorkerName(const base::WorkerId& worker) {
  return std::string(kWorkers) + worker.value();
}

std::string CheckpointName(const base::JobId& job, const base::CheckpointId& checkpoint) {
  return JobName(job) + std::string(kCheckpoints) + checkpoint.value();
}

absl::StatusOr<base::JobId> ParseJobName(std::string_view field, std::string_view name) {
  if (name.starts_with(kJobs)) {
    if (auto id = base::JobId::Make(name.substr(kJobs.size())); id.ok()) return id;
  }
  return BadName(field, name, "jobs/{job}");
}

absl::StatusOr<base::WorkerId> ParseWorkerName(std::string_view field, std::string_view name) {
  if (name.starts_with(kWorkers)) {
    if (auto id = base::WorkerId::Make(name.substr(kWorkers.size())); id.ok()) return id;
  }
  return BadName(field, name, "workers/{worker}");
}

absl::StatusOr<CheckpointRef> ParseCheckpointName(std::string_view field, std::string_view name) {
  const size_t split = name.find(kCheckpoints);
  if (split != std::string_view::npos && name.starts_with(kJobs)) {
    auto job = base::JobId::Make(name.substr(kJobs.size(), split - kJobs.size()));
    auto checkpoint = base::CheckpointId::Make(name.substr(split + kCheckpoints.size()));
    if (job.ok() && checkpoint.ok()) return CheckpointRef{*job, *checkpoint};
  }
  return BadName(field, name, "jobs/{job}/checkpoints/{checkpoint}");
}

}  // namespace bsnn::wire
