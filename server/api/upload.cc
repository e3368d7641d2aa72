#include "server/api/upload.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <memory>
#include <utility>

#include "base/fault.h"
#include "base/status.h"
#include "server/api/blob_files.h"
#include "server/api/checkpoint_messages.h"
#include "server/api/upload_session.h"
#include "wire/status.h"

namespace bsnn::api {
namespace {

using Request = v1::UploadCheckpointRequest;
using Reply = v1::UploadCheckpointResponse;
using Reactor = grpc::ServerBidiReactor<Request, Reply>;

absl::Status OutOfOrder(std::string value, std::string allowed) {
  return base::InvalidFields({{"kind", std::move(value), std::move(allowed)}});
}

absl::Status Idle() {
  return base::WithReason(
      absl::UnavailableError("nothing has come for too long; begin again to go on"),
      {"UPLOAD_IDLE", {}});
}

absl::Status CutOff() {
  return base::WithReason(
      absl::InvalidArgumentError("the stream ended before finish; begin again to go on"),
      {"UPLOAD_INCOMPLETE", {}});
}

class RefusedUpload : public Reactor {
 public:
  explicit RefusedUpload(const absl::Status& status) { Finish(wire::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

/// One operation is under way at any time: a read, a task on the pool, a wait for the store, or a
/// write; whoever completes it starts the next or finishes. Only a read can be cut short, by
/// EndIfIdleSince. Owns itself until gRPC is done with it.
class UploadReactor : public Reactor, public WatchedUpload {
 public:
  static UploadReactor* Start(Gate& gate) {
    std::shared_ptr<UploadReactor> upload(new UploadReactor(gate));
    upload->self_ = upload;
    gate.idle_uploads().Add(upload);
    upload->ReadNext();
    return upload.get();
  }

  void EndIfIdleSince(absl::Duration since) override {
    {
      absl::MutexLock lock(&mutex_);
      if (state_ != State::kReading || reading_since_ > since) return;
      state_ = State::kEnded;
    }
    Finish(wire::ToGrpc(Idle()));
  }

  void OnReadDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      if (state_ == State::kEnded) return;
      state_ = State::kWorking;
    }
    if (!ok) return End(CutOff());
    const bool taken = backend_.disk.TrySubmit("UploadCheckpoint", [this] {
      const absl::Status status = Handle();
      if (!status.ok()) WhenTellable(backend_, status, [this, status] { End(status); });
    });
    if (!taken) End(Busy());
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(CallerGone());
    if (reply_.has_published()) return End(absl::OkStatus());
    ReadNext();
  }

  void OnDone() override {
    gate_.idle_uploads().Remove(this);
    gate_.LeaveStream();
    self_.reset();
  }

 private:
  enum class State { kReading, kWorking, kEnded };

  explicit UploadReactor(Gate& gate)
      : gate_(gate), backend_(gate.backend()), session_(gate.backend()) {}

  void ReadNext() {
    {
      absl::MutexLock lock(&mutex_);
      state_ = State::kReading;
      reading_since_ = backend_.clock.Steady();
    }
    StartRead(&request_);
  }

  /// After OK the next operation is under way.
  absl::Status Handle() {
    switch (request_.kind_case()) {
      case Request::kBegin: {
        if (session_.begun()) return OutOfOrder("a second begin", "file_chunk, finish");
        ASSIGN_OR_RETURN(reply_, session_.Begin(request_.begin()));
        // That it is published already may have been decided a moment ago.
        backend_.store.WhenDurable(
            reply_.has_published() ? backend_.scheduler.LastTicket() : store::Ticket{0},
            [this] { StartWrite(&reply_); });
        return absl::OkStatus();
      }
      case Request::kFileChunk:
        if (!session_.begun()) return OutOfOrder("file_chunk", "begin first");
        RETURN_IF_ERROR(session_.Append(request_.file_chunk()));
        ReadNext();
        return absl::OkStatus();
      case Request::kFinish:
        if (!session_.begun()) return OutOfOrder("finish", "begin first");
        if (!request_.finish()) return OutOfOrder("finish false", "finish true");
        return Publish();
      case Request::KIND_NOT_SET:
        break;
    }
    return OutOfOrder("absent", "begin, file_chunk, finish");
  }

  absl::Status Publish() {
    ASSIGN_OR_RETURN(const auto published, session_.Finish());
    *reply_.mutable_published() = ToProto(published.value.checkpoint);
    const base::JobId job = published.value.checkpoint.job;
    if (!published.value.removed.empty()) {
      RemoveBlobsWhenDurable(backend_, published.ticket, job, published.value.removed, [] {});
    }
    backend_.store.WhenDurable(published.ticket, [this] { StartWrite(&reply_); });
    return absl::OkStatus();
  }

  void End(const absl::Status& status) { Finish(wire::ToGrpc(status)); }

  Gate& gate_;
  Backend& backend_;
  UploadSession session_;
  Request request_;
  Reply reply_;
  std::shared_ptr<UploadReactor> self_;  // shared with IdleUploads while it looks

  absl::Mutex mutex_;
  State state_ ABSL_GUARDED_BY(mutex_) = State::kWorking;
  absl::Duration reading_since_ ABSL_GUARDED_BY(mutex_);  // steady
};

}  // namespace

grpc::ServerBidiReactor<Request, Reply>* StartUpload(Gate& gate) {
  if (const absl::Status status = gate.EnterStream(); !status.ok()) {
    return new RefusedUpload(status);
  }
  return UploadReactor::Start(gate);
}

}  // namespace bsnn::api
