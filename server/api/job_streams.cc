#include "server/api/job_streams.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

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

/// Enters the stream and starts it on `job` with a source made from it.
template <class Message, class MakeSource>
grpc::ServerWriteReactor<Message>* Start(Gate& gate, const absl::StatusOr<base::JobId>& job,
                                         MakeSource&& make_source) {
  if (const absl::Status status = gate.EnterStream(); !status.ok()) {
    return new RefusedStream<Message>(status);
  }
  if (!job.ok()) {
    gate.LeaveStream();
    return new RefusedStream<Message>(job.status());
  }
  auto stream = StreamReactor<Message>::Make(gate, gate.backend().history, *job);
  auto* reactor = stream.get();
  reactor->Start(make_source(gate.backend(), *job, std::weak_ptr<Listener>(stream)));
  return reactor;
}

/// Knows when a job has ended and all that it ever reported can be read from the store.
class EndGuard {
 public:
  EndGuard(Backend& backend, base::JobId job, std::weak_ptr<Listener> listener)
      : backend_(backend), job_(std::move(job)), listener_(std::move(listener)) {}

  /// Before a page is read: whether that page, if it is the last, is the end. Where the job has
  /// ended but its last data are not durable yet, arranges a Wake for when they are.
  absl::StatusOr<bool> IsComplete() {
    ASSIGN_OR_RETURN(const auto view, backend_.scheduler.GetJob(backend_.Now(), job_));
    if (!scheduler::IsFinal(view.record.status.state)) return false;
    if (!barrier_) {
      // Changes nothing, for the job has ended; its ticket covers all that the job has reported.
      ASSIGN_OR_RETURN(const auto same,
                       backend_.scheduler.CancelJob(backend_.Now(), job_, /*etag=*/""));
      barrier_ = same.ticket;
    }
    if (backend_.store.Durable() >= *barrier_) return true;
    backend_.store.WhenDurable(*barrier_, [listener = listener_] {
      if (const auto alive = listener.lock()) alive->Wake();
    });
    return false;
  }

 private:
  Backend& backend_;
  const base::JobId job_;
  const std::weak_ptr<Listener> listener_;
  std::optional<store::Ticket> barrier_;
};

class WatchSource {
 public:
  WatchSource(Backend& backend, base::JobId job) : backend_(backend), job_(std::move(job)) {}

  absl::StatusOr<Step> operator()(v1::Job& message) {
    if (ended_) return Step::kEnd;
    ASSIGN_OR_RETURN(const auto view, backend_.scheduler.GetJob(backend_.Now(), job_));
    message = ToProto(view);
    std::string text = message.SerializeAsString();
    ended_ = scheduler::IsFinal(view.record.status.state);
    if (text == sent_) return ended_ ? Step::kEnd : Step::kWait;
    sent_ = std::move(text);
    return Step::kSend;
  }

 private:
  Backend& backend_;
  base::JobId job_;
  std::string sent_;
  bool ended_ = false;
};

/// Where a stream of a history goes on, and whether it goes on at the end.
struct HistoryPlace {
  std::string scope;  // of its cursors
  int64_t after = 0;
  bool follow = false;
};

/// Reads the cursor once the job is known: it is bound to this very job.
absl::Status OpenPlace(Backend& backend, const base::JobId& job, std::string_view cursor,
                       HistoryPlace& place) {
  ASSIGN_OR_RETURN(const auto view, backend.scheduler.GetJob(backend.Now(), job));
  place.scope += fmt::format(" {}#{}", job.value(), view.record.sequence);
  ASSIGN_OR_RETURN(place.after, ReadNumberToken("cursor", place.scope, cursor));
  return absl::OkStatus();
}

class MetricsSource {
 public:
  MetricsSource(Backend& backend, base::JobId job, std::weak_ptr<Listener> listener,
                const v1::StreamMetricsRequest& request)
      : backend_(backend),
        job_(job),
        end_(backend, std::move(job), std::move(listener)),
        request_(request) {
    place_.scope = "StreamMetrics " + request.metric();
    place_.follow = request.follow();
  }

  absl::StatusOr<Step> operator()(v1::StreamMetricsResponse& message) {
    if (!opened_) RETURN_IF_ERROR(OpenPlace(backend_, job_, request_.cursor(), place_));
    opened_ = true;
    ASSIGN_OR_RETURN(const bool complete, end_.IsComplete());
    ASSIGN_OR_RETURN(
        const auto page,
        backend_.store.ListMetrics(job_, {place_.after, kPointsPerMessage, request_.metric(), ""}));
    place_.after = page.cursor;
    if (page.points.empty()) return complete || !place_.follow ? Step::kEnd : Step::kWait;
    for (const auto& point : page.points) *message.add_points() = wire::ToProto(point);
    message.set_cursor(MakePageToken(place_.scope, std::to_string(place_.after)));
    return Step::kSend;
  }

 private:
  Backend& backend_;
  const base::JobId job_;
  EndGuard end_;
  const v1::StreamMetricsRequest request_;
  HistoryPlace place_;
  bool opened_ = false;
};

class LogsSource {
 public:
  LogsSource(Backend& backend, base::JobId job, std::weak_ptr<Listener> listener,
             const v1::StreamLogsRequest& request)
      : backend_(backend),
        job_(job),
        end_(backend, std::move(job), std::move(listener)),
        request_(request) {
    place_.scope = "StreamLogs";
    place_.follow = request.follow();
  }

  absl::StatusOr<Step> operator()(v1::StreamLogsResponse& message) {
    if (!opened_) RETURN_IF_ERROR(OpenPlace(backend_, job_, request_.cursor(), place_));
    opened_ = true;
    ASSIGN_OR_RETURN(const bool complete, end_.IsComplete());
    const int tail = place_.after == 0 ? request_.tail() : 0;
    ASSIGN_OR_RETURN(const auto page,
                     backend_.store.ListLogs(job_, {place_.after, kLinesPerMessage, tail}));
    place_.after = page.cursor;
    if (page.lines.empty()) return complete || !place_.follow ? Step::kEnd : Step::kWait;
    for (const auto& line : page.lines) *message.add_entries() = ToProto(line);
    message.set_cursor(MakePageToken(place_.scope, std::to_string(place_.after)));
    return Step::kSend;
  }

 private:
  Backend& backend_;
  const base::JobId job_;
  EndGuard end_;
  const v1::StreamLogsRequest request_;
  HistoryPlace place_;
  bool opened_ = false;
};

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

/// A source that can be copied, as std::function asks.
template <class Message, class Source>
StreamSource<Message> Share(std::shared_ptr<Source> source) {
  return [source](Message& message) { return (*source)(message); };
}

}  // namespace

grpc::ServerWriteReactor<v1::Job>* StartWatch(Gate& gate, const v1::WatchJobRequest& request) {
  return Start<v1::Job>(gate, wire::ParseJobName("name", request.name()),
                        [](Backend& backend, const base::JobId& job, std::weak_ptr<Listener>) {
                          return Share<v1::Job>(std::make_shared<WatchSource>(backend, job));
                        });
}

grpc::ServerWriteReactor<v1::StreamMetricsResponse>* StartMetrics(
    Gate& gate, const v1::StreamMetricsRequest& request) {
  using Message = v1::StreamMetricsResponse;
  return Start<Message>(
      gate, Check(request),
      [&](Backend& backend, const base::JobId& job, std::weak_ptr<Listener> listener) {
        return Share<Message>(
            std::make_shared<MetricsSource>(backend, job, std::move(listener), request));
      });
}

grpc::ServerWriteReactor<v1::StreamLogsResponse>* StartLogs(Gate& gate,
                                                            const v1::StreamLogsRequest& request) {
  using Message = v1::StreamLogsResponse;
  return Start<Message>(
      gate, Check(request),
      [&](Backend& backend, const base::JobId& job, std::weak_ptr<Listener> listener) {
        return Share<Message>(
            std::make_shared<LogsSource>(backend, job, std::move(listener), request));
      });
}

}  // namespace bsnn::api
