/// Serves GET /metrics over HTTP, on CivetWeb as prometheus-cpp's own Exposer does (which cannot
/// take another serialiser: exposition.h says why one is needed).
///
/// Threads: CivetWeb's, two; they call the collectable. Errors: Make fails where it cannot listen.
#pragma once

#include <absl/status/statusor.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <string>

namespace bsnn::metrics {

/// Stops serving in its destructor, which waits for scrapes under way.
class HttpServer {
 public:
  /// `address` is host:port with a numeric host; port 0 takes a free one. Borrows `collectable`.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Make(
      const std::string& address, const prometheus::Collectable& collectable);
  virtual ~HttpServer() = default;

  /// host:port as it listens.
  virtual const std::string& address() const = 0;
};

}  // namespace bsnn::metrics
