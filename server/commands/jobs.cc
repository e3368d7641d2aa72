#include "server/commands/jobs.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/commands/attempts.h"

namespace bsnn::commands {
namespace {

using cluster::Job;

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

absl::StatusOr<int64_t> CheckRepeat(const Job& job, const CreateJobRequest& request) {
  const store::JobRecord& record = job.record;
  if (request.wanted_id == (record.id_wanted ? record.id.value() : "") &&
      record.display_name == request.display_name &&
      record.labels == store::PackedLabels(request.labels) &&
      record.spec == spec::SharedSpec(request.spec)) {
    return record.sequence;
  }
  return base::WithReason(
      absl::AlreadyExistsError(fmt::format("request_id {} was used for job {} with another request",
                                           request.request_id, record.id.value())),
      {"REQUEST_ID_REUSED", {{"job", record.id.value()}}});
}

absl::StatusOr<base::JobId> ChooseId(Transaction& tx, const CreateJobRequest& request) {
  const cluster::Facts& facts = tx.facts();
  if (!request.wanted_id.empty()) {
    auto id = base::JobId::Make(request.wanted_id);
    if (!id.ok()) {
      return base::InvalidFields({{"job_id", base::Shorten("'" + request.wanted_id + "'", 128),
                                   "[a-z0-9-]{1,63}, or empty for an id of the server's choice"}});
    }
    if (facts.FindJob(*id) == nullptr) return id;
    return base::WithReason(
        absl::AlreadyExistsError(fmt::format("there is a job {} already", id->value())),
        {"JOB_ID_TAKEN", {{"job", id->value()}}});
  }
  std::string prefix = Slug(request.display_name);
  if (prefix.empty()) prefix = "job";
  while (true) {
    ASSIGN_OR_RETURN(base::JobId id, base::JobId::Make(base::MakeIdText(prefix, tx.bits())));
    if (facts.FindJob(id) == nullptr && facts.retired.Find(id) == 0) return id;
  }
}

absl::Status CheckEtag(const Job& job, std::string_view etag) {
  const std::string current = EtagOf(job);
  if (etag.empty() || etag == current) return absl::OkStatus();
  return base::WithReason(
      absl::AbortedError(fmt::format("job {} has changed: its etag is {} now; read it again",
                                     job.record.id.value(), current)),
      {"ETAG_MISMATCH", {{"job", job.record.id.value()}, {"etag", current}}});
}

}  // namespace

absl::Status StoreBusy() {
  return base::WithReason(
      absl::UnavailableError("the coordinator's store is behind; try again shortly"),
      {"STORE_BUSY", {}});
}

absl::StatusOr<const Job*> GetJob(const cluster::Facts& facts, const base::JobId& job) {
  if (const Job* const found = facts.FindJob(job)) return found;
  return base::WithReason(absl::NotFoundError(fmt::format("there is no job {}", job.value())),
                          {"JOB_NOT_FOUND", {{"job", job.value()}}});
}

std::string EtagOf(const Job& job) {
  return fmt::format("{:x}-{:x}", job.record.sequence, job.status().version);
}

absl::StatusOr<int64_t> CreateJob(Transaction& tx, const CreateJobRequest& request,
                                  bool store_has_room) {
  if (!request.request_id.empty()) {
    const auto found = tx.facts().jobs_by_request.find(request.request_id);
    if (found != tx.facts().jobs_by_request.end()) {
      return CheckRepeat(*tx.facts().FindJob(found->second), request);
    }
  }
  if (!store_has_room) return StoreBusy();
  if (std::ssize(tx.facts().jobs) >= base::kJobsMax) {
    return base::WithReason(absl::ResourceExhaustedError(fmt::format(
                                "{} jobs are kept; delete some that have ended", base::kJobsMax)),
                            {"LIMIT_EXCEEDED", {{"limit", "jobs"}}});
  }
  store::JobRecord record;
  ASSIGN_OR_RETURN(record.id, ChooseId(tx, request));
  record.sequence = tx.facts().last_sequence + 1;
  record.id_wanted = !request.wanted_id.empty();
  record.request_id = request.request_id;
  record.display_name = request.display_name;
  record.labels = request.labels;
  record.spec = tx.Share(request.spec);
  record.create_time = tx.now().wall;
  record.status.update_time = tx.now().wall;
  record.status.progress.epochs_total = request.spec.training.epochs;
  record.status.newest_epoch = tx.facts().retired.Find(record.id);
  ++tx.counters().transitions[static_cast<size_t>(JobState::kQueued)];
  const int64_t sequence = record.sequence;
  tx.Do(store::CreateJob{std::move(record)});
  return sequence;
}

absl::Status CancelJob(Transaction& tx, const base::JobId& id, std::string_view etag) {
  ASSIGN_OR_RETURN(const Job* const job, GetJob(tx.facts(), id));
  RETURN_IF_ERROR(CheckEtag(*job, etag));
  const JobState state = job->status().state;
  if (state == JobState::kQueued) {
    EndJob(tx, *job, Trigger::kCancel, FailureClass::kNone, "cancelled before it had a slot");
  } else if (state == JobState::kStarting || state == JobState::kRunning) {
    StopAttempt(tx, *job, StopReason::kCancel);
  }
  return absl::OkStatus();
}

absl::Status DeleteJob(Transaction& tx, const base::JobId& id, std::string_view etag) {
  ASSIGN_OR_RETURN(const Job* const job, GetJob(tx.facts(), id));
  RETURN_IF_ERROR(CheckEtag(*job, etag));
  const std::string state(cluster::ToWord(job->status().state));
  if (!cluster::IsFinal(job->status().state)) {
    return base::WithReason(absl::FailedPreconditionError(
                                fmt::format("job {} is {}; cancel it first", id.value(), state)),
                            {"JOB_NOT_ENDED", {{"job", id.value()}, {"state", state}}});
  }
  tx.Do(store::DeleteJob{id, job->status().newest_epoch});
  return absl::OkStatus();
}

}  // namespace bsnn::commands
