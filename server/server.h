/// The coordinator, composed: store, scheduler, blobs, gRPC, /metrics, and the thread that ticks.
///
/// Start listens first and answers UNAVAILABLE (reason STARTING) until the store is replayed. A
/// write that fails ends the process at once (exit 1): nothing is acknowledged that is not durable,
/// and the next start continues from what is.
#pragma once

#include <absl/status/statusor.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/ids.h"
#include "server/config/config.h"

namespace bsnn::server {

/// Thread-compatible.
class Server {
 public:
  /// Serves when it returns. Borrows the clock.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config,
                                                       const base::Clock& clock,
                                                       base::RandomBits bits);
  /// Drains: health goes to NOT_SERVING, streams end with UNAVAILABLE, calls under way get
  /// config.drain_seconds, and everything decided is on disk before it returns.
  virtual ~Server() = default;

  /// host:port as it listens.
  virtual const std::string& address() const = 0;
  /// Of /metrics; "" where none is served.
  virtual const std::string& metrics_address() const = 0;
};

}  // namespace bsnn::server
