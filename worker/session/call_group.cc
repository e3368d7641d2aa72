#include "worker/session/call_group.h"

#include <grpc/support/time.h>

namespace bsnn::session {

CallGroup::Scope::Scope(CallGroup& group, absl::Duration deadline) : group_(group) {
  // A time span: gRPC counts it on the steady clock.
  context_.set_deadline(gpr_time_from_millis(absl::ToInt64Milliseconds(deadline), GPR_TIMESPAN));
  const absl::MutexLock lock(&group_.mutex_);
  group_.contexts_.insert(&context_);
  if (group_.cancelled_) context_.TryCancel();
}

CallGroup::Scope::~Scope() {
  const absl::MutexLock lock(&group_.mutex_);
  group_.contexts_.erase(&context_);
}

void CallGroup::Cancel() {
  const absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
}

bool CallGroup::cancelled() const {
  const absl::MutexLock lock(&mutex_);
  return cancelled_;
}

bool CallGroup::Wait(absl::Duration duration) {
  const absl::MutexLock lock(&mutex_);
  const absl::Condition is_cancelled(&cancelled_);
  return !mutex_.AwaitWithTimeout(is_cancelled, duration);
}

}  // namespace bsnn::session
