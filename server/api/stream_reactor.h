/// A server-streaming call: asks a source for the next message, sends it, and asks again.
///
/// One message is in flight at a time, so a slow reader slows only itself and memory is one
/// message a stream. The source runs on a work pool and may wait for the disk. A source that has
/// nothing now is asked again after Wake.
#pragma once

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "server/api/call.h"
#include "server/api/stream_states.h"
#include "wire/status.h"

namespace bsnn::api {

enum class Step {
  kSend,  ///< the message is filled: send it and ask again
  kWait,  ///< nothing now: ask again after Wake
  kEnd,   ///< the stream is complete
};

/// Fills the next message. Called by one thread at a time.
template <class Message>
using StreamSource = std::function<absl::StatusOr<Step>(Message&)>;

/// Answers a stream that cannot start.
template <class Message>
class RefusedStream : public grpc::ServerWriteReactor<Message> {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(wire::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

/// Thread-safe. Owns itself until gRPC is done with it.
template <class Message>
class StreamReactor : public grpc::ServerWriteReactor<Message>, public Listener {
 public:
  /// The gate's EnterStream was OK; the reactor calls LeaveStream. With `followed` it is woken when
  /// that job changes, and ends with UNAVAILABLE when the hub closes.
  static std::shared_ptr<StreamReactor> Make(Gate& gate, WorkPool& pool,
                                             std::optional<base::JobId> followed) {
    std::shared_ptr<StreamReactor> stream(new StreamReactor(gate, pool, std::move(followed)));
    stream->self_ = stream;
    return stream;
  }

  /// Call once, after Make.
  void Start(StreamSource<Message> source) {
    source_ = std::move(source);
    // Not before: a wake asks the source.
    if (followed_) gate_.backend().hub.Subscribe(*followed_, self_);
    Wake();
  }

  void Wake() override { React(Event::kWoken, Gone()); }

  void OnWriteDone(bool ok) override {
    if (!ok) return React(Event::kEnded, Gone());
    React(Event::kWritten, Gone());
  }

  void OnCancel() override { React(Event::kCancelled, Gone()); }

  void OnDone() override {
    if (followed_) gate_.backend().hub.Unsubscribe(*followed_, this);
    gate_.LeaveStream();
    source_ = nullptr;
    self_.reset();
  }

 private:
  using Event = StreamStates::Event;
  using Action = StreamStates::Action;

  StreamReactor(Gate& gate, WorkPool& pool, std::optional<base::JobId> followed)
      : gate_(gate), pool_(pool), followed_(std::move(followed)) {}

  static absl::Status Gone() { return CallerGone(); }

  /// Goes to the next state under the lock and acts without it. `status` is what the call ends with
  /// if this event ends it. After kFinish the reactor may be gone: nothing follows it.
  void React(Event event, const absl::Status& status) {
    Action action;
    {
      absl::MutexLock lock(&mutex_);
      action = states_.Next(event);
    }
    switch (action) {
      case Action::kNone:
        return;
      case Action::kSubmit:
        if (!pool_.TrySubmit("stream", [this] { React(Event::kBegun, Gone()); })) {
          React(Event::kRefused, Busy());
        }
        return;
      case Action::kFill:
        return Fill();
      case Action::kWrite:
        return this->StartWrite(&message_);
      case Action::kFinish:
        return this->Finish(wire::ToGrpc(status));
    }
  }

  void Fill() {
    message_.Clear();
    const absl::StatusOr<Step> step = source_(message_);
    if (!step.ok()) return React(Event::kEnded, step.status());
    if (*step == Step::kEnd) return React(Event::kEnded, absl::OkStatus());
    if (followed_ && gate_.backend().hub.closing()) return React(Event::kEnded, Draining());
    React(*step == Step::kSend ? Event::kFilled : Event::kNothing, Gone());
  }

  Gate& gate_;
  WorkPool& pool_;
  const std::optional<base::JobId> followed_;
  StreamSource<Message> source_;
  Message message_;  // of the thread that fills it, then of gRPC until it is written
  std::shared_ptr<StreamReactor> self_;  // listeners are shared with the hub

  absl::Mutex mutex_;
  StreamStates states_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bsnn::api
