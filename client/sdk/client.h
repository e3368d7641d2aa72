/// C++ SDK of the service: jobs, metrics, logs, checkpoints and workers, with retries and
/// resumption.
///
///   bsnn::sdk::Client client("127.0.0.1:7070");
///   v1::Job job;  job.mutable_spec()->mutable_data()->set_name("generated");
///   ASSIGN_OR_RETURN(v1::Job created, client.CreateJob({.job = job}));
///   RETURN_IF_ERROR(client.WatchJob(created.name(), [](const v1::Job& now) { ...; return true;
///   }));
///
/// Each call has a deadline and is repeated while the coordinator is unavailable, at most
/// `retry_for`. Creating a job carries a request_id, so it is also repeated once after its
/// deadline. Streams resume at their cursor after a cut. Errors are the server's, with
/// base::FaultsOf and base::ReasonOf. RESOURCE_EXHAUSTED is final: a limit does not go away within
/// `retry_for`.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "bsnn/v1/checkpoint.pb.h"
#include "bsnn/v1/job.pb.h"
#include "bsnn/v1/server.pb.h"
#include "bsnn/v1/worker.pb.h"

namespace bsnn::sdk {

struct ClientOptions {
  /// Of one unary call; above zero.
  absl::Duration call_timeout = absl::Seconds(10);
  /// How long calls and streams go on trying while the coordinator is unavailable.
  absl::Duration retry_for = absl::Seconds(5);
  /// A stop request ends every call, running or later, with Cancelled at once; from any thread.
  std::stop_token stop = {};
  /// Where set, a followed stream that has given something outlasts the coordinator's absence:
  /// after `retry_for` this is called, once an absence, and the stream goes on trying.
  std::function<void(const absl::Status&)> on_absence = {};
};

struct CreateJobOptions {
  v1::Job job;             ///< display_name, spec and labels are read
  std::string job_id;      ///< wanted id; empty lets the server choose
  std::string request_id;  ///< empty draws a UUID, so that a repeat is harmless
  bool validate_only = false;
};

struct ListJobsOptions {
  std::vector<v1::Job::State> states;  ///< empty is all
  int count_max = 0;                   ///< 0 is no limit
  bool basic = false;                  ///< without spec and attempts
};

struct MetricsOptions {
  std::string metric;   ///< only this name; empty is all
  std::string layer;    ///< only this layer; empty is all
  bool follow = false;  ///< go on until the job has ended
  /// Where set: the stream begins after this cursor (empty is the beginning), and the cursor moves
  /// behind each reply that the callback has taken.
  std::string* cursor = nullptr;
};

struct LogsOptions {
  int tail = 0;  ///< start at the last n lines; 0 is all
  bool follow = false;
};

struct DownloadProgress {
  int64_t bytes_done = 0;
  int64_t bytes_total = 0;
};

/// Callbacks return whether to go on; false ends the stream with OK.
using JobCallback = std::function<bool(const v1::Job&)>;
using PointsCallback = std::function<bool(const std::vector<v1::MetricPoint>&)>;
using LogsCallback = std::function<bool(const std::vector<v1::LogEntry>&)>;
using DownloadCallback = std::function<bool(const DownloadProgress&)>;

/// Thread-safe. Callbacks run on the calling thread.
class Client {
 public:
  explicit Client(const std::string& address, const ClientOptions& options = {},
                  const base::Clock& clock = base::RealClock(),
                  base::RandomBits bits = base::SystemRandomBits());
  ~Client();

  absl::StatusOr<v1::Job> CreateJob(const CreateJobOptions& options);
  absl::StatusOr<v1::Job> GetJob(const std::string& name);
  absl::StatusOr<std::vector<v1::Job>> ListJobs(const ListJobsOptions& options);
  absl::StatusOr<v1::Job> CancelJob(const std::string& name);
  absl::Status DeleteJob(const std::string& name);
  /// Until the job has ended.
  absl::Status WatchJob(const std::string& name, const JobCallback& callback);
  absl::Status StreamMetrics(const std::string& job, const MetricsOptions& options,
                             const PointsCallback& callback);
  absl::Status StreamLogs(const std::string& job, const LogsOptions& options,
                          const LogsCallback& callback);

  absl::StatusOr<v1::Checkpoint> GetCheckpoint(const std::string& name);
  /// Newest step first.
  absl::StatusOr<std::vector<v1::Checkpoint>> ListCheckpoints(const std::string& job);
  absl::StatusOr<v1::Checkpoint> PinCheckpoint(const std::string& name, bool pinned);
  absl::Status DeleteCheckpoint(const std::string& name);
  /// Fetches the checkpoint into `folder`, which must not exist. Bytes gather in `folder`.part, so
  /// that a cut download, also of an earlier program, goes on where it was. Every chunk's CRC-32C,
  /// every file's SHA-256 and the manifest's digest are checked; only then the folder appears.
  /// DataLoss where a byte differs; AlreadyExists where `folder` exists; FailedPrecondition where
  /// `folder`.part is not a download's; Cancelled by the callback.
  absl::Status DownloadCheckpoint(const std::string& name, const std::string& folder,
                                  const DownloadCallback& callback);

  absl::StatusOr<std::vector<v1::Worker>> ListWorkers();
  absl::StatusOr<v1::ServerInfo> GetServerInfo();

 private:
  absl::Status ListLayer(const std::string& job, const MetricsOptions& options,
                         const PointsCallback& callback);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Whether a job in this state changes no more.
bool HasEnded(v1::Job::State state);

}  // namespace bsnn::sdk
