#include "server/api/job_streams.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/fault.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/api/job_messages.h"
#include "server/api/page_token.h"
#include "server/api/request_check.h"
#include "server/api/stream_reactor.h"
#include "server/cluster/job_states.h"
#include "wire/event.h"
#include "wire/names.h"

namespace bsnn::api {
namespace {

constexpr int kPointsPerMessage = 1000;
constexpr int kLinesPerMessage = 256;  // of at most 8 KiB: below the 4 MiB of a message
constexpr int kTailMax = 100'000;

/// The job that a stream began with. Its id may be given to another job once it is deleted.
class FollowedJob {
 public:
  FollowedJob(Backend& backend, base::JobId id) : backend_(backend), id_(std::move(id)) {}

  /// JOB_NOT_FOUND where the job is not there, or another has its id.
  absl::StatusOr<scheduler::JobView> Look() {
    ASSIGN_OR_RETURN(auto view, backend_.scheduler.GetJob(backend_.Now(), id_));
    if (sequence_ == 0) sequence_ = view.record.sequence;
    if (view.record.sequence == sequence_) return view;
    return base::WithReason(absl::NotFoundError(fmt::format("job {} was deleted", id_.value())),
                            {"JOB_NOT_FOUND", {{"job", id_.value()}}});
  }

  const base::JobId& id() const { return id_; }

 private:
  Backend& backend_;
  const base::JobId id_;
  int64_t sequence_ = 0;  // 0 before the first look
};

/// Knows when a job has ended and all that it ever reported can be read from the store.
class EndGuard {
 public:
  EndGuard(Backend& backend, std::weak_ptr<Listener> listener)
      : backend_(backend), listener_(std::move(listener)) {}

  /// Before a page is read: whether that page, if it is the last, is the end. Where the job has
  /// ended but its last data are not durable yet, arranges a Wake for when they are.
  bool IsComplete(const scheduler::JobView& job) {
    if (!scheduler::IsFinal(job.record.status.state)) return false;
    if (!barrier_) barrier_ = backend_.scheduler.LastTicket();  // covers all that it has reported
    if (backend_.store.Durable() >= *barrier_) return true;
    backend_.store.WhenDurable(*barrier_, [listener = listener_] {
      if (const auto alive = listener.lock()) alive->Wake();
    });
    return false;
  }

 private:
  Backend& backend_;
  const std::weak_ptr<Listener> listener_;
  std::optional<store::Ticket> barrier_;
};

class WatchSource {
 public:
  using Message = v1::Job;
  using Request = v1::WatchJobRequest;

  WatchSource(Backend& backend, const base::JobId& job, std::weak_ptr<Listener>, const Request&)
      : backend_(backend), job_(backend, job) {}

  absl::StatusOr<Step> operator()(Message& message) {
    if (ended_) return Step::kEnd;
    // Its place in the queue changes with other jobs. Asked for before the look, so that no change
    // falls in between.
    if (queued_) backend_.hub.WakeWhenQueueMoves(job_.id());
    ASSIGN_OR_RETURN(const auto view, job_.Look());
    queued_ = view.record.status.state == store::JobState::kQueued;
    message = ToProto(view);
    std::string text = message.SerializeAsString();
    ended_ = scheduler::IsFinal(view.record.status.state);
    if (text == sent_) return ended_ ? Step::kEnd : Step::kWait;
    sent_ = std::move(text);
    return Step::kSend;
  }

 private:
  Backend& backend_;
  FollowedJob job_;
  std::string sent_;
  bool queued_ = true;  // as far as is known
  bool ended_ = false;
};

struct PageRead {
  int64_t cursor = 0;  // where the next page begins, also after an empty one
  bool empty = false;
};

/// A job's metric points, as a history that Follow reads.
struct Metrics {
  using Message = v1::StreamMetricsResponse;
  using Request = v1::StreamMetricsRequest;

  static std::string ScopeOf(const Request& request) { return "StreamMetrics " + request.metric(); }
  /// Writes the page after `after` into the message.
  static absl::StatusOr<PageRead> Read(const store::HistoryStore& histories, const base::JobId& job,
                                       int64_t after, const Request& request, Message& message) {
    ASSIGN_OR_RETURN(const auto page,
                     histories.ListMetrics(job, {after, kPointsPerMessage, request.metric(), ""}));
    for (const auto& point : page.points) *message.add_points() = wire::ToProto(point);
    return PageRead{page.cursor, page.points.empty()};
  }
};

/// A job's log lines.
struct Logs {
  using Message = v1::StreamLogsResponse;
  using Request = v1::StreamLogsRequest;

  static std::string ScopeOf(const Request&) { return "StreamLogs"; }
  static absl::StatusOr<PageRead> Read(const store::HistoryStore& histories, const base::JobId& job,
                                       int64_t after, const Request& request, Message& message) {
    const int tail = after == 0 ? request.tail() : 0;
    ASSIGN_OR_RETURN(const auto page, histories.ListLogs(job, {after, kLinesPerMessage, tail}));
    for (const auto& line : page.lines) *message.add_entries() = ToProto(line);
    return PageRead{page.cursor, page.lines.empty()};
  }
};

/// Sends a history from a cursor on, page by page; with follow, until the job has ended.
template <class History>
class Follow {
 public:
  using Message = typename History::Message;
  using Request = typename History::Request;

  Follow(Backend& backend, const base::JobId& job, std::weak_ptr<Listener> listener,
         const Request& request)
      : backend_(backend),
        job_(backend, job),
        end_(backend, std::move(listener)),
        request_(request) {}

  absl::StatusOr<Step> operator()(Message& message) {
    ASSIGN_OR_RETURN(const auto view, job_.Look());
    if (scope_.empty()) RETURN_IF_ERROR(Open(view));
    const bool complete = end_.IsComplete(view);
    ASSIGN_OR_RETURN(const PageRead page,
                     History::Read(backend_.histories, job_.id(), after_, request_, message));
    // The store knows ids only: had the job been replaced before the page was read, it is seen now.
    RETURN_IF_ERROR(job_.Look().status());
    after_ = page.cursor;
    if (page.empty) return complete || !request_.follow() ? Step::kEnd : Step::kWait;
    message.set_cursor(MakePageToken(scope_, std::to_string(after_)));
    return Step::kSend;
  }

 private:
  /// Reads the cursor, which is bound to this very job.
  absl::Status Open(const scheduler::JobView& view) {
    scope_ = fmt::format("{} {}#{}", History::ScopeOf(request_), job_.id().value(),
                         view.record.sequence);
    ASSIGN_OR_RETURN(after_, ReadNumberToken("cursor", scope_, request_.cursor()));
    return absl::OkStatus();
  }

  Backend& backend_;
  FollowedJob job_;
  EndGuard end_;
  const Request request_;
  std::string scope_;  // of its cursors; "" before the first page
  int64_t after_ = 0;
};

absl::StatusOr<base::JobId> Check(const v1::WatchJobRequest& request) {
  return wire::ParseJobName("name", request.name());
}

absl::StatusOr<base::JobId> Check(const v1::StreamMetricsRequest& request) {
  RequestCheck check;
  base::JobId job = check.Take(wire::ParseJobName("parent", request.parent()));
  check.Require(request.metric().size() <= base::kMetricTextBytesMax, "metric", request.metric(),
                "at most 64 characters");
  if (!check.ok()) return check.status();
  return job;
}

absl::StatusOr<base::JobId> Check(const v1::StreamLogsRequest& request) {
  RequestCheck check;
  base::JobId job = check.Take(wire::ParseJobName("parent", request.parent()));
  check.Require(request.tail() >= 0 && request.tail() <= kTailMax, "tail",
                std::to_string(request.tail()), "0 to 100000");
  check.Require(request.tail() <= 0 || request.cursor().empty(), "tail",
                std::to_string(request.tail()), "0 with a cursor");
  if (!check.ok()) return check.status();
  return job;
}

/// Enters the stream and starts it on the request's job.
template <class Source>
grpc::ServerWriteReactor<typename Source::Message>* Start(Gate& gate,
                                                          const typename Source::Request& request) {
  using Message = typename Source::Message;
  if (const absl::Status status = gate.EnterStream(); !status.ok()) {
    return new RefusedStream<Message>(status);
  }
  const auto job = Check(request);
  if (!job.ok()) {
    gate.LeaveStream();
    return new RefusedStream<Message>(job.status());
  }
  const auto stream = StreamReactor<Message>::Make(gate, gate.backend().history, *job);
  // Shared, for std::function copies what it holds.
  const auto source = std::make_shared<Source>(gate.backend(), *job, stream, request);
  stream->Start([source](Message& message) { return (*source)(message); });
  return stream.get();
}

}  // namespace

grpc::ServerWriteReactor<v1::Job>* StartWatch(Gate& gate, const v1::WatchJobRequest& request) {
  return Start<WatchSource>(gate, request);
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StartMetrics(
    Gate& gate, const v1::StreamMetricsRequest& request) {
  return Start<Follow<Metrics>>(gate, request);
}

grpc::ServerWriteReactor<v1::StreamLogsResponse>* StartLogs(Gate& gate,
                                                            const v1::StreamLogsRequest& request) {
  return Start<Follow<Logs>>(gate, request);
}

}  // namespace bsnn::api
