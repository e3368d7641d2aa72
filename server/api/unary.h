/// The one shape of a unary handler: check, work in memory, wait until it is durable, answer.
#pragma once

#include <absl/status/statusor.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "server/api/backend.h"
#include "wire/status.h"

namespace bsnn::api {

/// Answers OK once `ticket` is durable (0: at once). The reply message is filled already.
inline void FinishWhenDurable(Backend& backend, store::Ticket ticket,
                              grpc::ServerUnaryReactor* reactor) {
  if (ticket == 0) return reactor->Finish(grpc::Status::OK);
  const absl::Duration start = backend.clock.Steady();
  backend.store.WhenDurable(ticket, [&backend, start, reactor] {
    backend.stats.commits.Add(backend.clock.Steady() - start);
    reactor->Finish(grpc::Status::OK);
  });
}

inline void FinishWhenTellable(Backend& backend, const absl::Status& error,
                               grpc::ServerUnaryReactor* reactor) {
  WhenTellable(backend, error, [reactor, error] { reactor->Finish(wire::ToGrpc(error)); });
}

/// Calls `handler(Backend&)`, which fills the reply and returns StatusOr<Ticket>: what must be
/// durable before the reply goes, or 0.
template <class Handler>
grpc::ServerUnaryReactor* Answer(Gate& gate, grpc::CallbackServerContext* context,
                                 Handler&& handler) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (const absl::Status status = gate.CheckUnary(*context); !status.ok()) {
    reactor->Finish(wire::ToGrpc(status));
    return reactor;
  }
  const absl::StatusOr<store::Ticket> ticket = handler(gate.backend());
  if (ticket.ok()) {
    FinishWhenDurable(gate.backend(), *ticket, reactor);
  } else {
    FinishWhenTellable(gate.backend(), ticket.status(), reactor);
  }
  return reactor;
}

/// Calls `handler(Backend&, reactor)` on the pool that `select_pool(Backend&)` gives: for work that
/// may wait for the disk. After OK the handler sees to the answer itself; an error is answered
/// here.
template <class SelectPool, class Handler>
grpc::ServerUnaryReactor* AnswerOnPool(Gate& gate, grpc::CallbackServerContext* context,
                                       SelectPool&& select_pool, Handler handler) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (const absl::Status status = gate.CheckUnary(*context); !status.ok()) {
    reactor->Finish(wire::ToGrpc(status));
    return reactor;
  }
  Backend& backend = gate.backend();
  const bool taken =
      select_pool(backend).TrySubmit([&backend, reactor, handler = std::move(handler)] {
        const absl::Status status = handler(backend, reactor);
        if (!status.ok()) FinishWhenTellable(backend, status, reactor);
      });
  if (!taken) reactor->Finish(wire::ToGrpc(Busy()));
  return reactor;
}

}  // namespace bsnn::api
