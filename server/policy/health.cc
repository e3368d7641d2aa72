#include "server/policy/health.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bsnn::policy {
namespace {

template <class Places, class Place>
bool IsOpenIn(const Places& places, const Place& place, absl::Duration now) {
  const auto found = places.find(place);
  return found == places.end() || found->second.IsOpen(now);
}

template <class Places, class Place>
bool Trust(Places& places, const Place& place) {
  const auto found = places.find(place);
  if (found == places.end()) return false;
  const bool was_suspect = found->second.IsSuspect();
  places.erase(found);
  return was_suspect;
}

std::string DescribePlace(absl::Duration now, const std::string& place, const Health& health) {
  const auto pause = std::max(health.pause_ends() - now, absl::ZeroDuration());
  return fmt::format(
      "{} is suspect, next attempt {}: {}", place,
      pause == absl::ZeroDuration()
          ? "now"
          : fmt::format("in {:.0f} s", absl::ToDoubleSeconds(absl::Ceil(pause, absl::Seconds(1)))),
      health.reason());
}

}  // namespace

void Health::AddFailure(int64_t job, absl::Duration now, std::string reason) {
  if (last_job_ != job || IsSuspect()) ++failures_;
  last_job_ = job;
  reason_ = std::move(reason);
  BeginProbe(now);
}

void Health::BeginProbe(absl::Duration now) {
  if (!IsSuspect()) return;
  const int doublings = std::min(failures_ - failures_to_suspect_, 10);
  pause_ends_ = now + std::min(kPauseMax, kFirstPause * (1 << doublings));
}

void WorkerHealth::AddFailure(absl::Duration now, const Failure& failure) {
  slots_.try_emplace(failure.slot, kSlotFailuresToSuspect)
      .first->second.AddFailure(failure.job, now, failure.reason);
  if (!failure.others_train) worker_.AddFailure(failure.job, now, failure.reason);
}

void WorkerHealth::AddDataFailure(absl::Duration now, spec::DataName data, int64_t job,
                                  std::string reason) {
  data_.try_emplace(data, kDataFailuresToSuspect)
      .first->second.AddFailure(job, now, std::move(reason));
}

void WorkerHealth::BeginAttempt(absl::Duration now, int32_t slot, spec::DataName data) {
  if (const auto found = slots_.find(slot); found != slots_.end()) found->second.BeginProbe(now);
  if (const auto found = data_.find(data); found != data_.end()) found->second.BeginProbe(now);
  worker_.BeginProbe(now);
}

bool WorkerHealth::TrustPlaces(int32_t slot, spec::DataName data) {
  const bool slot_was_suspect = Trust(slots_, slot);
  const bool data_was_suspect = Trust(data_, data);
  const bool worker_was_suspect = worker_.IsSuspect();
  worker_ = Health(kWorkerFailuresToSuspect);
  return slot_was_suspect || data_was_suspect || worker_was_suspect;
}

bool WorkerHealth::IsOpen(absl::Duration now, int32_t slot) const {
  return IsOpenIn(slots_, slot, now);
}
bool WorkerHealth::IsOpen(absl::Duration now, spec::DataName data) const {
  return IsOpenIn(data_, data, now);
}

bool WorkerHealth::HasSuspect() const {
  const auto is_suspect = [](const auto& place) { return place.second.IsSuspect(); };
  return worker_.IsSuspect() || std::any_of(slots_.begin(), slots_.end(), is_suspect) ||
         std::any_of(data_.begin(), data_.end(), is_suspect);
}

std::set<spec::DataName> WorkerHealth::ClosedData(absl::Duration now) const {
  std::set<spec::DataName> closed;
  for (const auto& [name, health] : data_) {
    if (!health.IsOpen(now)) closed.insert(name);
  }
  return closed;
}

absl::Duration WorkerHealth::NextOpening(absl::Duration now) const {
  absl::Duration next = absl::InfiniteDuration();
  const auto look = [&](const Health& health) {
    if (!health.IsOpen(now)) next = std::min(next, health.pause_ends());
  };
  for (const auto& [slot, health] : slots_) look(health);
  for (const auto& [name, health] : data_) look(health);
  look(worker_);
  return next;
}

std::string WorkerHealth::Describe(absl::Duration now) const {
  if (worker_.IsSuspect()) return DescribePlace(now, "the worker", worker_);
  std::string text;
  const auto add = [&](const std::string& place, const Health& health) {
    if (!health.IsSuspect()) return;
    text += (text.empty() ? "" : "; ") + DescribePlace(now, place, health);
  };
  for (const auto& [name, health] : data_) {
    add(fmt::format("data set {}", spec::ToWord(name)), health);
  }
  for (const auto& [slot, health] : slots_) add(fmt::format("slot {}", slot), health);
  return text;
}

}  // namespace bsnn::policy
