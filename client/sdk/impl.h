/// Private to client/sdk: stubs, deadlines and retries.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "base/retry.h"
#include "bsnn/v1/checkpoint.grpc.pb.h"
#include "bsnn/v1/job.grpc.pb.h"
#include "bsnn/v1/worker.grpc.pb.h"
#include "client/sdk/client.h"
#include "wire/channel.h"
#include "wire/status.h"

namespace bsnn::sdk {

struct Client::Impl {
  Impl(const std::string& address, const ClientOptions& client_options,
       const base::Clock& real_clock, base::RandomBits random_bits);

  /// Waits `duration` on the calling thread.
  static void Pause(absl::Duration duration);

  /// Runs `call(context)` with a deadline, again while it is Unavailable and time is left.
  template <class Call>
  absl::Status Retry(Call&& call) {
    base::Backoff backoff({}, bits);
    const absl::Duration end = clock.Steady() + options.retry_for;
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(clock.Now() + options.call_timeout));
      const absl::Status status = wire::FromGrpc(call(context));
      if (!absl::IsUnavailable(status)) return status;
      const absl::Duration wait = backoff.Next();
      if (clock.Steady() + wait > end) return status;
      Pause(wait);
    }
  }

  /// Runs `stream()` (one connection's worth) again after a cut. `stream` returns the status and
  /// whether anything came: what came starts the time limit anew.
  template <class Stream>
  absl::Status Resume(Stream&& stream) {
    base::Backoff backoff({}, bits);
    absl::Duration end = clock.Steady() + options.retry_for;
    while (true) {
      const auto [status, moved] = stream();
      if (!absl::IsUnavailable(status)) return status;
      if (moved) {
        backoff.Reset();
        end = clock.Steady() + options.retry_for;
      }
      const absl::Duration wait = backoff.Next();
      if (clock.Steady() + wait > end) return status;
      Pause(wait);
    }
  }

  const ClientOptions options;
  const base::Clock& clock;
  const base::RandomBits bits;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::JobService::Stub> jobs;
  const std::unique_ptr<v1::CheckpointService::Stub> checkpoints;
  const std::unique_ptr<v1::WorkerService::Stub> workers;
};

}  // namespace bsnn::sdk
