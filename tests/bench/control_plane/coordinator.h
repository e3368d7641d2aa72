/// A real bsnn-coordinator in a folder of its own, and what its process uses.
#pragma once

#include <absl/time/time.h>
#include <grpcpp/channel.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace bsnn::bench {

/// Thread-compatible. The destructor kills the process.
class Coordinator {
 public:
  /// Starts `program` on `data` and waits until it serves; ends this program where it does not.
  Coordinator(const std::filesystem::path& program, const std::filesystem::path& data);
  ~Coordinator();
  Coordinator(const Coordinator&) = delete;
  Coordinator& operator=(const Coordinator&) = delete;

  /// A new connection each time.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  const std::string& metrics_address() const { return metrics_address_; }

  absl::Duration start_time() const { return start_time_; }  ///< from exec to serving
  absl::Duration ProcessorTime() const;                      ///< user and system, so far
  int64_t ResidentBytes() const;

 private:
  pid_t pid_ = 0;
  std::string address_;
  std::string metrics_address_;
  absl::Duration start_time_;
};

/// Body of an HTTP GET of /metrics.
std::string Scrape(const std::string& address);

}  // namespace bsnn::bench
