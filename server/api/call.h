/// The shape of every call: pass the gate, check, work in memory, wait until it is durable, answer.
#pragma once

#include <absl/status/statusor.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <utility>

#include "server/api/backend.h"
#include "server/api/idle_uploads.h"

namespace bsnn::api {

struct ApiOptions {
  bool require_deadline = false;  ///< refuse unary calls that bring none
  int streams_max = 4096;         ///< streaming calls open at once
  /// An upload whose caller sends nothing for longer is ended.
  absl::Duration upload_idle_max = absl::Minutes(1);
};

/// Shut until start-up has replayed the store. Thread-safe. Every call passes it first.
class Gate {
 public:
  explicit Gate(const ApiOptions& options)
      : options_(options), idle_uploads_(options.upload_idle_max) {}

  /// From now on calls are let through to `backend`.
  void Open(Backend& backend) { backend_ = &backend; }

  /// Unavailable with reason STARTING before Open; InvalidArgument with DEADLINE_REQUIRED.
  absl::Status CheckUnary(const grpc::ServerContextBase& context) const;

  /// STARTING as above; Unavailable with LIMIT_EXCEEDED beyond streams_max. After OK, LeaveStream
  /// is due once.
  absl::Status EnterStream();
  void LeaveStream() { --streams_; }
  IdleUploads& idle_uploads() { return idle_uploads_; }

  /// After a Check that was OK.
  Backend& backend() const { return *backend_; }

 private:
  absl::Status CheckOpen() const;

  const ApiOptions options_;
  std::atomic<Backend*> backend_ = nullptr;
  std::atomic<int> streams_ = 0;
  IdleUploads idle_uploads_;
};

/// Who calls. This release knows no users: every caller may do everything.
class Caller {
 public:
  explicit Caller(const grpc::ServerContextBase& context) : context_(&context) {}
  /// Whether the call has been cancelled, or its deadline is over: its answer goes nowhere.
  bool IsGone() const { return context_->IsCancelled(); }

 private:
  const grpc::ServerContextBase* context_;
};

/// One unary call on its way to its answer. Finishes it once. A plain value; the reactor lives
/// until then.
class Answer {
 public:
  Answer(Backend& backend, grpc::ServerUnaryReactor* reactor)
      : backend_(&backend), reactor_(reactor) {}

  /// OK once `ticket` is durable (0: at once). The reply message is filled already.
  void WhenDurable(store::Ticket ticket) const;
  /// The error once it may be told (WhenTellable).
  void WithError(const absl::Status& error) const;
  /// OK now.
  void Now() const { reactor_->Finish(grpc::Status::OK); }

 private:
  Backend* backend_;
  grpc::ServerUnaryReactor* reactor_;
};

/// Finishes with an error that rests on nothing in memory.
void Refuse(grpc::ServerUnaryReactor* reactor, const absl::Status& error);

/// Tells an error: calls `tell` once everything that `error` may rest on is durable. At once where
/// the request alone explains it, or an overload.
void WhenTellable(Backend& backend, const absl::Status& error, std::function<void()> tell);

absl::Status CallerGone();
/// Unavailable with reason SERVER_BUSY: too much work is waiting.
absl::Status Busy();
/// Unavailable with reason SERVER_DRAINING: the coordinator is about to stop.
absl::Status Draining();

/// Calls `handler(Backend&)`, which fills the reply and returns StatusOr<Ticket>: what must be
/// durable before the reply goes, or 0. For work in memory.
template <class Handler>
grpc::ServerUnaryReactor* Handle(Gate& gate, grpc::CallbackServerContext* context,
                                 Handler&& handler) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (const absl::Status status = gate.CheckUnary(*context); !status.ok()) {
    Refuse(reactor, status);
  } else if (Caller(*context).IsGone()) {
    Refuse(reactor, CallerGone());
  } else {
    const Answer answer(gate.backend(), reactor);
    const absl::StatusOr<store::Ticket> ticket = handler(gate.backend());
    if (ticket.ok()) {
      answer.WhenDurable(*ticket);
    } else {
      answer.WithError(ticket.status());
    }
  }
  return reactor;
}

/// Calls `handler(Backend&, Answer)` on the pool `select_pool(Backend&)`: for work that may wait
/// for the disk. After OK the handler sees to the answer itself; an error is answered here. `name`
/// is the method's, for logs.
template <class SelectPool, class Handler>
grpc::ServerUnaryReactor* HandleOnPool(Gate& gate, grpc::CallbackServerContext* context,
                                       const char* name, SelectPool&& select_pool,
                                       Handler handler) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (const absl::Status status = gate.CheckUnary(*context); !status.ok()) {
    Refuse(reactor, status);
    return reactor;
  }
  Backend& backend = gate.backend();
  WorkPool& pool = select_pool(backend);
  const auto task = [&backend, reactor, caller = Caller(*context), handler = std::move(handler)] {
    // Whoever gave up has repeated the call, or will: what is queued twice is done once.
    if (caller.IsGone()) return Refuse(reactor, CallerGone());
    const Answer answer(backend, reactor);
    const absl::Status status = handler(backend, answer);
    if (!status.ok()) answer.WithError(status);
  };
  if (pool.IsBehind() || !pool.TrySubmit(name, task)) Refuse(reactor, Busy());
  return reactor;
}

}  // namespace bsnn::api
