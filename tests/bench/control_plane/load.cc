#include "tests/bench/control_plane/load.h"

#include <absl/time/clock.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace bsnn::bench {
namespace {

/// The state of one RunLoad. Every call that ends starts the next.
class Loop {
 public:
  Loop(const LoadOptions& options, const StartCall& start)
      : start_(start), options_(options), begin_(absl::Now()), end_(begin_ + options.duration) {}

  /// False: no more calls are to be started.
  bool StartNext() {
    int64_t number = 0;
    {
      absl::MutexLock lock(&mutex_);
      if (started_ >= options_.calls_max || absl::Now() >= end_) return false;
      number = started_++;
    }
    const absl::Time begin = absl::Now();
    start_(number, [this, begin](const grpc::Status& status) { EndCall(begin, status); });
    return true;
  }

  Load Wait() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &Loop::AllEnded));
    Load load;
    load.calls = std::ssize(times_);
    load.failures = failures_;
    load.first_failure = first_failure_;
    if (times_.empty()) return load;
    load.calls_per_second =
        static_cast<double>(times_.size()) / absl::ToDoubleSeconds(last_ - begin_);
    std::sort(times_.begin(), times_.end());
    load.median = times_[times_.size() / 2];
    load.p99 = times_[times_.size() * 99 / 100];
    load.longest = times_.back();
    return load;
  }

 private:
  void EndCall(absl::Time begin, const grpc::Status& status) {
    if (options_.calls_per_second == 0) StartNext();
    absl::MutexLock lock(&mutex_);
    last_ = absl::Now();
    times_.push_back(last_ - begin);
    if (status.ok()) return;
    if (failures_++ == 0)
      first_failure_ =
          fmt::format("{}: {}", static_cast<int>(status.error_code()), status.error_message());
  }
  bool AllEnded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::ssize(times_) == started_ &&
           (started_ >= options_.calls_max || absl::Now() >= end_);
  }

  const StartCall& start_;
  const LoadOptions options_;
  const absl::Time begin_;
  const absl::Time end_;
  absl::Mutex mutex_;
  int64_t started_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t failures_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string first_failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<absl::Duration> times_ ABSL_GUARDED_BY(mutex_);
  absl::Time last_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

Load RunLoad(const LoadOptions& options, const StartCall& start) {
  Loop loop(options, start);
  if (options.calls_per_second == 0) {
    for (int i = 0; i < options.in_flight; ++i) loop.StartNext();
  } else {
    const absl::Time begin = absl::Now();
    for (int64_t n = 0; loop.StartNext(); ++n) {
      absl::SleepFor(begin + absl::Seconds(static_cast<double>(n) / options.calls_per_second) -
                     absl::Now());
    }
  }
  return loop.Wait();
}

StartCall HealthCheck(const std::shared_ptr<grpc::Channel>& channel) {
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };
  // An empty HealthCheckRequest is an empty message.
  auto stub = std::make_shared<grpc::GenericStub>(std::shared_ptr<grpc::ChannelInterface>(channel));
  return [stub](int64_t, std::function<void(const grpc::Status&)> done) {
    auto* call = new Call;
    const grpc::Slice empty;
    call->request = grpc::ByteBuffer(&empty, 1);
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stub->UnaryCall(&call->context, "/grpc.health.v1.Health/Check", {}, &call->request,
                    &call->response, [call, done](const grpc::Status& status) {
                      done(status);
                      delete call;
                    });
  };
}

}  // namespace bsnn::bench
