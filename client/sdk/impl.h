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
#include "bsnn/v1/server.grpc.pb.h"
#include "bsnn/v1/worker.grpc.pb.h"
#include "client/sdk/client.h"
#include "wire/channel.h"
#include "wire/status.h"

namespace bsnn::sdk {

struct Client::Impl {
  Impl(const std::string& address, const ClientOptions& client_options,
       const base::Clock& real_clock, base::RandomBits random_bits);

  /// Waits `duration` on the calling thread, or until a stop is requested.
  void Pause(absl::Duration duration) const;

  /// Runs `call(context)` with a deadline, again while it is Unavailable and time is left. A call
  /// with a request id is repeated once more after its deadline.
  template <class Call>
  absl::Status Retry(Call&& call, bool has_request_id = false) {
    base::Backoff backoff({}, bits);
    const absl::Duration end = clock.Steady() + options.retry_for;
    bool may_repeat_late = has_request_id;
    while (true) {
      const absl::Status status = CallOnce(call);
      if (options.stop.stop_requested()) return status;
      if (absl::IsDeadlineExceeded(status) && may_repeat_late) {
        may_repeat_late = false;
        continue;
      }
      if (!absl::IsUnavailable(status)) return status;
      const absl::Duration wait = backoff.Next();
      if (clock.Steady() + wait > end) return status;
      Pause(wait);
    }
  }

  /// Runs `stream(context)` (one connection's worth) again after a cut. `stream` returns the status
  /// and whether anything came: what came starts the time limit anew. `follows` is of a stream that
  /// waits for what is to come: see ClientOptions::on_absence.
  template <class Stream>
  absl::Status Resume(Stream&& stream, bool follows = false) {
    base::Backoff backoff({}, bits);
    absl::Duration end = clock.Steady() + options.retry_for;
    bool was_answered = false, told = false;
    while (true) {
      const auto [status, moved] = StreamOnce(stream);
      if (!absl::IsUnavailable(status) || options.stop.stop_requested()) return status;
      if (moved) {
        was_answered = true;
        told = false;
        backoff.Reset();
        end = clock.Steady() + options.retry_for;
      }
      const absl::Duration wait = backoff.Next();
      if (clock.Steady() + wait > end) {
        if (!follows || !was_answered || !options.on_absence) return status;
        if (!std::exchange(told, true)) options.on_absence(status);
      }
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
  const std::unique_ptr<v1::ServerService::Stub> server;

 private:
  template <class Call>
  absl::Status CallOnce(Call& call) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(clock.Now() + options.call_timeout));
    const std::stop_callback cancel(options.stop, [&] { context.TryCancel(); });
    return wire::FromGrpc(call(context));
  }

  template <class Stream>
  auto StreamOnce(Stream& stream) {
    grpc::ClientContext context;
    const std::stop_callback cancel(options.stop, [&] { context.TryCancel(); });
    return stream(context);
  }
};

}  // namespace bsnn::sdk
