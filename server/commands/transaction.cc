#include "server/commands/transaction.h"

namespace bsnn::commands {
namespace {

/// Puts the mutation in the place of the one before with the same key, or at the end.
template <class Key>
void Place(store::Batch& batch, std::map<Key, size_t>& places, const Key& key,
           store::Mutation mutation) {
  const auto [place, is_new] = places.try_emplace(key, batch.size());
  if (is_new) {
    batch.push_back(std::move(mutation));
  } else {
    batch[place->second] = std::move(mutation);
  }
}

}  // namespace

void Transaction::Do(store::Mutation mutation) {
  cluster::Apply(state_.facts, mutation, touched_);
  if (const auto* status = std::get_if<store::UpdateJob>(&mutation)) {
    const base::JobId job = status->job;
    Place(batch_, status_at_, job, std::move(mutation));
  } else if (const auto* attempt = std::get_if<store::PutAttempt>(&mutation)) {
    const std::pair key(attempt->job, attempt->attempt.epoch);
    Place(batch_, attempt_at_, key, std::move(mutation));
  } else {
    batch_.push_back(std::move(mutation));
  }
}

store::Batch Transaction::TakeBatch() {
  status_at_.clear();
  attempt_at_.clear();
  return std::exchange(batch_, {});
}

}  // namespace bsnn::commands
