#include "server/commands/timers.h"

namespace bsnn::commands {

void Timers::Set(const TimerKey& key, absl::Duration at) {
  const auto found = times_.find(key);
  if (found != times_.end()) {
    order_.erase({found->second, key});
    times_.erase(found);
  }
  if (at == absl::InfiniteDuration()) return;
  times_[key] = at;
  order_.emplace(at, key);
}

std::optional<absl::Duration> Timers::Find(const TimerKey& key) const {
  const auto found = times_.find(key);
  return found == times_.end() ? std::nullopt : std::optional(found->second);
}

absl::Duration Timers::Next() const {
  return order_.empty() ? absl::InfiniteDuration() : order_.begin()->first;
}

std::optional<TimerKey> Timers::TakeDue(absl::Duration now) {
  if (Next() > now) return std::nullopt;
  TimerKey key = order_.begin()->second;
  order_.erase(order_.begin());
  times_.erase(key);
  return key;
}

}  // namespace bsnn::commands
