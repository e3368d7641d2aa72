/// The calls of one owner (an attempt, the worker): with deadlines, and ended together.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <grpcpp/client_context.h>

#include <set>

namespace bsnn::session {

/// Thread-safe. Outlives its scopes.
class CallGroup {
 public:
  /// One call's context, for as long as the call lasts. Confined to its thread.
  class Scope {
   public:
    Scope(CallGroup& group, absl::Duration deadline);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    grpc::ClientContext& context() { return context_; }

   private:
    CallGroup& group_;
    grpc::ClientContext context_;
  };

  /// Ends the calls under way with CANCELLED, and each later one as it begins. For good.
  void Cancel();
  bool cancelled() const;
  /// Waits that long; false, at once, when the group is cancelled.
  bool Wait(absl::Duration duration);

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::session
