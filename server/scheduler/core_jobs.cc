#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/scheduler/core.h"

namespace bsnn::scheduler {
namespace {

absl::Status EtagMismatch(const base::JobId& job, const std::string& current) {
  return base::WithReason(
      absl::AbortedError(fmt::format("job {} has changed: its etag is {} now; read it again",
                                     job.value(), current)),
      {"ETAG_MISMATCH", {{"job", job.value()}, {"etag", current}}});
}

absl::Status StoreBusy() {
  return base::WithReason(
      absl::UnavailableError("the coordinator's store is behind; try again shortly"),
      {"STORE_BUSY", {}});
}

/// "MNIST, first try" as "mnist-first-try": the readable part of an id.
std::string Slug(std::string_view text) {
  constexpr size_t kBytesMax = 40;
  std::string slug;
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (upper) slug += static_cast<char>(c - 'A' + 'a');
    if (kept) slug += c;
    if (!upper && !kept && !slug.empty() && slug.back() != '-') slug += '-';
    if (slug.size() == kBytesMax) break;
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
  return slug;
}

}  // namespace

absl::StatusOr<JobView> Core::Repeated(Instant now, const Job& job,
                                       const CreateJobRequest& request) const {
  const store::JobRecord& record = job.record;
  const bool same = record.wanted_id == request.wanted_id &&
                    record.display_name == request.display_name &&
                    record.labels == request.labels &&
                    spec::CanonicalText(*record.spec) == spec::CanonicalText(request.spec);
  if (same) return ViewOf(now, job);
  return base::WithReason(
      absl::AlreadyExistsError(fmt::format("request_id {} was used for job {} with another request",
                                           request.request_id, record.id.value())),
      {"REQUEST_ID_REUSED", {{"job", record.id.value()}}});
}

absl::StatusOr<base::JobId> Core::ChooseId(const CreateJobRequest& request) {
  if (!request.wanted_id.empty()) {
    auto id = base::JobId::Make(request.wanted_id);
    if (!id.ok()) {
      return base::InvalidFields({{"job_id", base::Shorten("'" + request.wanted_id + "'", 128),
                                   "[a-z0-9-]{1,63}, or empty for an id of the server's choice"}});
    }
    if (!by_id_.contains(*id)) return id;
    return base::WithReason(
        absl::AlreadyExistsError(fmt::format("there is a job {} already", id->value())),
        {"JOB_ID_TAKEN", {{"job", id->value()}}});
  }
  std::string prefix = Slug(request.display_name);
  if (prefix.empty()) prefix = "job";
  while (true) {
    ASSIGN_OR_RETURN(base::JobId id, base::JobId::Make(base::MakeIdText(prefix, bits_)));
    if (!by_id_.contains(id) && !retired_.contains(id)) return id;
  }
}

absl::StatusOr<JobView> Core::CreateJob(Instant now, const CreateJobRequest& request) {
  if (!request.request_id.empty()) {
    const auto found = by_request_.find(request.request_id);
    if (found != by_request_.end()) return Repeated(now, jobs_.at(found->second), request);
  }
  if (!store_.HasRoom()) return StoreBusy();
  if (std::ssize(jobs_) >= base::kJobsMax) {
    return base::WithReason(absl::ResourceExhaustedError(fmt::format(
                                "{} jobs are kept; delete some that have ended", base::kJobsMax)),
                            {"LIMIT_EXCEEDED", {{"limit", "jobs"}}});
  }
  ASSIGN_OR_RETURN(base::JobId id, ChooseId(request));
  const int64_t sequence = ++last_sequence_;
  Job& job = jobs_[sequence];
  store::JobRecord& record = job.record;
  record.id = id;
  record.sequence = sequence;
  record.wanted_id = request.wanted_id;
  record.request_id = request.request_id;
  record.display_name = request.display_name;
  record.labels = request.labels;
  record.spec = std::make_shared<spec::JobSpec>(request.spec);
  record.create_time = now.wall;
  record.status.update_time = now.wall;
  record.status.progress.epochs_total = request.spec.training.epochs;
  if (const auto retired = retired_.extract(id)) record.status.newest_epoch = retired.mapped();
  by_id_[id] = sequence;
  if (!request.request_id.empty()) by_request_[request.request_id] = sequence;
  ++jobs_by_state_[static_cast<size_t>(JobState::kQueued)];
  ++counters_.jobs_created;
  ++counters_.transitions[static_cast<size_t>(JobState::kQueued)];
  Write(job, store::CreateJob{record});
  ChangeOf(job).status = true;

  job.deadline = absl::InfiniteDuration();  // counts from its first start
  job.due = now.steady;
  job.ready = true;
  job.ready_since = now.steady;
  ready_.Insert(EntryOf(job));
  Place(now);
  return ViewOf(now, job);
}

absl::StatusOr<JobView> Core::GetJob(Instant now, const base::JobId& job) const {
  ASSIGN_OR_RETURN(const Job* const found, Get(job));
  return ViewOf(now, *found);
}

ListJobsPage Core::ListJobs(Instant now, const ListJobsRequest& request) const {
  ListJobsPage page;
  auto item = request.before == 0 ? jobs_.end() : jobs_.lower_bound(request.before);
  while (item != jobs_.begin()) {
    --item;
    const Job& job = item->second;
    if (!request.states.empty() && std::find(request.states.begin(), request.states.end(),
                                             job.status().state) == request.states.end()) {
      continue;
    }
    if (std::ssize(page.jobs) == request.limit) {
      page.next_before = page.jobs.back().record.sequence;
      break;
    }
    page.jobs.push_back(ViewOf(now, job));
  }
  return page;
}

absl::Status Core::CheckEtag(const Job& job, std::string_view etag) const {
  if (etag.empty() || etag == EtagOf(job)) return absl::OkStatus();
  return EtagMismatch(job.record.id, EtagOf(job));
}

absl::StatusOr<JobView> Core::CancelJob(Instant now, const base::JobId& id, std::string_view etag) {
  ASSIGN_OR_RETURN(Job* const job, Get(id));
  RETURN_IF_ERROR(CheckEtag(*job, etag));
  const JobState state = job->status().state;
  if (state == JobState::kQueued) {
    EndJob(now, *job, Trigger::kCancel, FailureClass::kNone, "cancelled before it had a slot");
  } else if (state == JobState::kStarting || state == JobState::kRunning) {
    job->record.status.cancel_time = now.wall;
    Enter(now, *job, Trigger::kCancel);
    SetDue(*job, now.steady + absl::Seconds(job->record.spec->scheduling.grace_seconds) +
                     options_.cancel_margin);
  }
  return ViewOf(now, *job);
}

absl::StatusOr<Nothing> Core::DeleteJob(Instant, const base::JobId& id, std::string_view etag) {
  ASSIGN_OR_RETURN(Job* const job, Get(id));
  RETURN_IF_ERROR(CheckEtag(*job, etag));
  if (!IsFinal(job->status().state)) {
    return base::WithReason(
        absl::FailedPreconditionError(
            fmt::format("job {} is {}; cancel it first", id.value(), ToWord(job->status().state))),
        {"JOB_NOT_ENDED",
         {{"job", id.value()}, {"state", std::string(ToWord(job->status().state))}}});
  }
  const int32_t newest_epoch = job->status().newest_epoch;
  batch_.push_back(store::DeleteJob{id, newest_epoch});
  JobChange change;
  change.job = id;
  change.deleted = change.status = true;
  deleted_.push_back(std::move(change));
  if (newest_epoch > 0) retired_[id] = newest_epoch;
  const int64_t sequence = job->record.sequence;
  --jobs_by_state_[static_cast<size_t>(job->status().state)];
  by_request_.erase(job->record.request_id);
  exposed_.erase(sequence);
  by_id_.erase(id);
  jobs_.erase(sequence);
  return Nothing();
}

// ---- Views ---------------------------------------------------------------------------------

std::string Core::EtagOf(const Job& job) {
  return fmt::format("{:x}-{:x}", job.record.sequence, job.status().version);
}

JobView Core::ViewOf(Instant now, const Job& job) const {
  JobView view;
  view.record = job.record;
  view.attempts.assign(job.attempts.begin(), job.attempts.end());
  view.state_message = MessageOf(now, job);
  if (job.status().state == JobState::kQueued) {
    view.queue_position = ready_.PositionOf(EntryOf(job));
  }
  view.etag = EtagOf(job);
  return view;
}

std::string Core::WaitMessage(const Job& job) const {
  const spec::Device wanted = job.record.spec->resources.device;
  const auto fits = [&](const store::Slot& slot) {
    return wanted == spec::Device::kAny || wanted == slot.device;
  };
  const bool possible = std::any_of(workers_.begin(), workers_.end(), [&](const auto& item) {
    const Worker& worker = item.second;
    const auto& slots = worker.record.slots;
    return !worker.lost && !worker.draining && std::any_of(slots.begin(), slots.end(), fits);
  });
  const std::string kind =
      wanted == spec::Device::kAny ? "" : fmt::format("{} ", spec::ToWord(wanted));
  if (!possible) return fmt::format("waits for a worker: none with a {}slot is online", kind);
  const int32_t before = ready_.PositionOf(EntryOf(job)) - 1;
  return fmt::format("waits for a free {}slot; {} {} before it", kind, before,
                     before == 1 ? "job is" : "jobs are");
}

std::string Core::MessageOf(Instant now, const Job& job) const {
  const store::JobStatus& status = job.status();
  const store::AttemptRecord* live = job.live();
  switch (status.state) {
    case JobState::kQueued:
      if (!job.ready && job.due > now.steady) {
        return fmt::format("starts again in {:.0f} s: {}",
                           absl::ToDoubleSeconds(job.due - now.steady), status.message);
      }
      return WaitMessage(job);
    case JobState::kStarting:
      return fmt::format("attempt {} starts on worker {}", live->epoch, live->worker.value());
    case JobState::kRunning:
      if (status.restart_count == 0) return "trains on worker " + live->worker.value();
      return fmt::format("trains on worker {}; restarted {} times, last because: {}",
                         live->worker.value(), status.restart_count, status.message);
    case JobState::kCancelling:
      return fmt::format("cancelling: worker {} has been asked to stop it", live->worker.value());
    default:
      return status.message;
  }
}

}  // namespace bsnn::scheduler
