/// A closed loop of asynchronous calls: so many in flight, for so long.
#pragma once

#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bsnn::bench {

struct Load {
  double calls_per_second = 0;
  absl::Duration median;
  absl::Duration p99;
  absl::Duration longest;
  int64_t calls = 0;
  int64_t failures = 0;
  std::string first_failure;
};

struct LoadOptions {
  int in_flight = 128;
  absl::Duration duration = absl::Seconds(4);
  int64_t calls_max = INT64_MAX;
  /// 0: a call that ends starts the next. Else call n starts at n / this, whatever is under way.
  double calls_per_second = 0;
};

/// Starts one call, number `n` from 0, and calls `done` when it is answered.
using StartCall = std::function<void(int64_t n, std::function<void(const grpc::Status&)> done)>;

/// Keeps `in_flight` calls under way until `duration` has passed, and waits for the last.
Load RunLoad(const LoadOptions& options, const StartCall& start);

/// Starts grpc.health.v1.Health/Check: what an empty call costs in this very process.
StartCall HealthCheck(const std::shared_ptr<grpc::Channel>& channel);

/// A StartCall of `method` of an asynchronous stub; `make` makes request n.
template <class Request, class Response, class Stub, class Method, class Make>
StartCall CallOf(Stub* stub, Method method, Make make) {
  struct Call {
    grpc::ClientContext context;
    Request request;
    Response response;
  };
  return [=](int64_t n, std::function<void(const grpc::Status&)> done) {
    auto* call = new Call;
    call->request = make(n);
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    (stub->async()->*method)(&call->context, &call->request, &call->response,
                             [call, done](const grpc::Status& status) {
                               done(status);
                               delete call;
                             });
  };
}

}  // namespace bsnn::bench
