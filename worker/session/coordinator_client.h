/// The worker's calls to WorkerService, in plain values. Each call blocks until it is answered, its
/// deadline passes or its group is cancelled. Errors are what the coordinator answered, with their
/// reasons (base/fault.h), or Unavailable and DeadlineExceeded.
#pragma once

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bsnn/v1/worker.grpc.pb.h"
#include "spec/event.h"
#include "worker/agent/attempt.h"
#include "worker/session/call_group.h"

namespace bsnn::session {

/// Who this worker is. The incarnation is new at each start of the process.
struct Identity {
  base::WorkerId id;
  std::string incarnation;
  std::string version;
  std::string hostname;
  std::vector<agent::Slot> slots;
  std::string replaces_incarnation;  ///< of this worker's process before; "" where there was none
};

struct Synchronized {
  agent::Orders orders;
  absl::Duration next_call;  ///< 10 ms to 1 min
};

/// Thread-safe.
class CoordinatorClient {
 public:
  /// The stub is shared with the channel's other users. (shared_ptr: as gRPC has it.)
  CoordinatorClient(const std::shared_ptr<grpc::Channel>& channel, Identity identity,
                    absl::Duration deadline);

  /// Makes the worker known; returns its lease.
  absl::StatusOr<absl::Duration> Register(CallGroup& calls);
  absl::StatusOr<Synchronized> Synchronize(const std::vector<agent::Report>& reports, bool draining,
                                           CallGroup& calls);
  /// Returns the last sequence number that is durable. `events` are 1 to kEventsPerBatchMax.
  absl::StatusOr<int64_t> Publish(const agent::AttemptKey& key,
                                  const std::vector<spec::Event>& events, CallGroup& calls);

  const Identity& identity() const { return identity_; }

 private:
  const Identity identity_;
  const absl::Duration deadline_;
  const std::unique_ptr<v1::WorkerService::Stub> stub_;
  std::atomic<int64_t> synchronizations_ = 0;
};

/// What to do about a failed call that reports something of an attempt.
enum class Failure {
  kRetry,   ///< try again later, as it is
  kFenced,  ///< the attempt is no longer this worker's: end it
  kRefused  ///< the same again will not be taken
};
Failure FailureOf(const absl::Status& status);

/// Orders as the coordinator sends them. An order whose action this worker does not know is
/// unreadable, and logged; one with another fault says so in Order::fault.
agent::Orders OrdersFromProto(const v1::SynchronizeResponse& response);

}  // namespace bsnn::session
