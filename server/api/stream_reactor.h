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

#include "server/api/backend.h"
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
    if (stream->followed_) gate.backend().hub.Subscribe(*stream->followed_, stream);
    return stream;
  }

  /// Call once, after Make.
  void Start(StreamSource<Message> source) {
    source_ = std::move(source);
    Wake();
  }

  void Wake() override {
    bool refused = false;
    {
      absl::MutexLock lock(&mutex_);
      woken_ = true;
      if (busy_ || finished_) return;
      busy_ = true;
      refused = !Submit();
      if (refused) finished_ = true;
    }
    if (refused) this->Finish(wire::ToGrpc(Busy()));
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the caller is gone"));
    bool refused = false;
    {
      absl::MutexLock lock(&mutex_);
      refused = !Submit();
    }
    if (refused) End(Busy());
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      if (busy_ || finished_) return;  // whoever is busy sees it
      finished_ = true;
    }
    this->Finish(wire::ToGrpc(absl::CancelledError("the caller is gone")));
  }

  void OnDone() override {
    if (followed_) gate_.backend().hub.Unsubscribe(*followed_, this);
    gate_.LeaveStream();
    source_ = nullptr;
    self_.reset();
  }

 private:
  StreamReactor(Gate& gate, WorkPool& pool, std::optional<base::JobId> followed)
      : gate_(gate), pool_(pool), followed_(std::move(followed)) {}

  bool Submit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return pool_.TrySubmit([this] { Pump(); });
  }

  void Pump() {
    {
      absl::MutexLock lock(&mutex_);
      woken_ = false;
      if (cancelled_) {
        finished_ = true;
        // Finish below, without the lock.
      }
    }
    if (Finished()) {
      return this->Finish(wire::ToGrpc(absl::CancelledError("the caller is gone")));
    }
    message_.Clear();
    const absl::StatusOr<Step> step = source_(message_);
    if (!step.ok()) return End(step.status());
    if (*step == Step::kEnd) return End(absl::OkStatus());
    if (followed_ && gate_.backend().hub.closing()) return End(Draining());
    if (*step == Step::kSend) return this->StartWrite(&message_);
    Rest();
  }

  /// Nothing to send: sleep, or go on where a Wake came meanwhile.
  void Rest() {
    bool cancelled = false;
    bool refused = false;
    {
      absl::MutexLock lock(&mutex_);
      cancelled = cancelled_;
      if (!cancelled && !woken_) {
        busy_ = false;
        return;
      }
      if (!cancelled) refused = !Submit();
    }
    if (cancelled) return End(absl::CancelledError("the caller is gone"));
    if (refused) End(Busy());
  }

  bool Finished() {
    absl::MutexLock lock(&mutex_);
    return finished_;
  }

  /// Only by who is busy.
  void End(const absl::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      finished_ = true;
    }
    this->Finish(wire::ToGrpc(status));
  }

  Gate& gate_;
  WorkPool& pool_;
  const std::optional<base::JobId> followed_;
  StreamSource<Message> source_;
  Message message_;                      // of who is busy
  std::shared_ptr<StreamReactor> self_;  // listeners are shared with the hub

  absl::Mutex mutex_;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // queued, pumping or writing
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bsnn::api
