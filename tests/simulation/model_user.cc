#include "tests/simulation/model_user.h"

#include <fmt/format.h>

#include "base/fault.h"
#include "server/cluster/job_states.h"

namespace bsnn::simulation {

ModelUser::ModelUser(World& world, int number) : world_(world), number_(number) {
  auto& scheduling = request_.spec.scheduling;
  scheduling.priority = static_cast<int32_t>(world.Uniform(-1, 1));
  scheduling.max_restarts = static_cast<int32_t>(world.Uniform(0, 7));
  scheduling.restart_backoff_seconds = 0.25;
  scheduling.grace_seconds = static_cast<int32_t>(world.Uniform(1, 3));
  if (world.Chance(0.2)) scheduling.deadline_seconds = 30;
  request_.spec.checkpoint.keep_latest = static_cast<int32_t>(world.Uniform(1, 3));
  request_.spec.checkpoint.keep_best = static_cast<int32_t>(world.Uniform(0, 1));
  if (world.Chance(0.7)) request_.wanted_id = fmt::format("job-{}", number);
  request_.display_name = fmt::format("Job of {}", number);
}

void ModelUser::Step() {
  if (!job_) return Create();
  if (deleting_) return Delete();
  if (world_.Fault(Trouble::kUser, 0.004)) return Cancel();
  deleting_ = IsServed() && world_.Fault(Trouble::kUser, 0.02);
}

bool ModelUser::IsServed() {
  if (!job_ || deleting_ || !world_.IsUp()) return false;
  const auto view = world_.coordinator().GetJob(world_.now(), *job_);
  if (!view.ok()) {
    world_.ledger().Fault(fmt::format("job {}: {}", job_->value(), view.status().ToString()));
    return false;
  }
  return scheduler::IsFinal(view->record.status.state);
}

void ModelUser::Create() {
  request_.request_id = fmt::format("request-{}-{}", number_, generation_);
  world_.Send(create_, [this, request = request_, generation = generation_](int64_t id) -> Answer {
    // A copy so late that the job was deleted meanwhile would make it again.
    if (generation != generation_ || deleting_) return {.arrive = [] {}};
    const auto made = world_.coordinator().CreateJob(world_.now(), request);
    if (!made.ok()) {
      const bool passes = base::ReasonOf(made.status()).reason == "STORE_BUSY";
      if (!passes) world_.ledger().Fault("create: " + made.status().ToString());
      return {.arrive = [] {}};
    }
    return {
        made->ticket,
        [this, request, view = made->value] { world_.ledger().Created(request.request_id, view); },
        [this, id, view = made->value] {
          if (!World::Take(create_, id)) return;
          job_ = view.record.id;
          sequence_ = view.record.sequence;
        }};
  });
}

void ModelUser::Cancel() {
  world_.Send(cancel_, [this, job = *job_, sequence = sequence_](int64_t id) -> Answer {
    const auto done = world_.coordinator().CancelJob(world_.now(), job, "");
    const auto arrive = [this, id] { World::Take(cancel_, id); };
    if (!done.ok() || done->value.record.sequence != sequence) return {.arrive = arrive};
    return {done->ticket, [this, sequence] { world_.ledger().CancelTaken(sequence); }, arrive};
  });
}

void ModelUser::Delete() {
  world_.Send(delete_, [this, job = *job_, sequence = sequence_](int64_t id) -> Answer {
    // Late copies must not hit the next job of this id: a real user gives the etag as well.
    const auto view = world_.coordinator().GetJob(world_.now(), job);
    if (view.ok() && view->record.sequence != sequence) return {.arrive = [] {}};
    world_.ledger().DeleteAsked(sequence);
    const auto done = world_.coordinator().DeleteJob(world_.now(), job, "");
    // What it saw end was read from memory, and a crash may have undone it.
    const std::string reason = base::ReasonOf(done.status()).reason;
    const bool lives = reason == "JOB_NOT_ENDED";
    if (!done.ok() && !lives && reason != "JOB_NOT_FOUND") {
      world_.ledger().Fault("delete: " + done.status().ToString());
    }
    return {done.ok() ? done->ticket : world_.ErrorTicket(),
            [this, sequence, ok = done.ok()] {
              if (ok) world_.ledger().Deleted(sequence);
            },
            [this, id, lives] {
              if (!World::Take(delete_, id)) return;
              deleting_ = false;
              if (lives) return;
              job_.reset();
              ++generation_;
            }};
  });
}

}  // namespace bsnn::simulation
