/// What every handler works on, and the gate that is shut until start-up has replayed the store.
#pragma once

#include <absl/status/status.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>

#include "base/clock.h"
#include "blob/blob_store.h"
#include "server/api/api_stats.h"
#include "server/api/change_hub.h"
#include "server/api/work_pool.h"
#include "server/scheduler/scheduler.h"

namespace bsnn::api {

/// Borrowed parts, all thread-safe; the composition root owns them and outlives every call.
struct Backend {
  scheduler::Scheduler& scheduler;
  store::JobStore& store;
  blob::BlobStore& blobs;
  const base::Clock& clock;
  WorkPool& disk;     ///< checkpoint files
  WorkPool& history;  ///< metrics and logs of the store
  ChangeHub& hub;
  ApiStats& stats;

  scheduler::Instant Now() const { return {clock.Now(), clock.Steady()}; }
};

struct ApiOptions {
  bool require_deadline = false;  ///< refuse unary calls that bring none
  int streams_max = 4096;         ///< streaming calls open at once
};

/// Thread-safe. Every call passes it first.
class Gate {
 public:
  explicit Gate(const ApiOptions& options) : options_(options) {}

  /// From now on calls are let through to `backend`.
  void Open(Backend& backend) { backend_ = &backend; }

  /// Unavailable with reason STARTING before Open; InvalidArgument with DEADLINE_REQUIRED.
  absl::Status CheckUnary(const grpc::ServerContextBase& context) const;

  /// STARTING as above; ResourceExhausted with LIMIT_EXCEEDED beyond streams_max. After OK,
  /// LeaveStream is due once.
  absl::Status EnterStream();
  void LeaveStream() { --streams_; }

  /// After a Check that was OK.
  Backend& backend() const { return *backend_; }

 private:
  absl::Status CheckOpen() const;

  const ApiOptions options_;
  std::atomic<Backend*> backend_ = nullptr;
  std::atomic<int> streams_ = 0;
};

/// Tells an error: calls `tell` once everything that `error` may rest on is durable. At once where
/// the request alone explains it, or an overload.
void WhenTellable(Backend& backend, const absl::Status& error, std::function<void()> tell);

/// Unavailable with reason SERVER_BUSY: a work queue is full.
absl::Status Busy();
/// Unavailable with reason SERVER_DRAINING: the coordinator is about to stop.
absl::Status Draining();

}  // namespace bsnn::api
