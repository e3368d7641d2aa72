#include "server/server.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <fmt/format.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "base/logging.h"
#include "base/status.h"
#include "blob/file/file_blob_store.h"
#include "server/api/blob_sweeper.h"
#include "server/api/call.h"
#include "server/api/checkpoint_service.h"
#include "server/api/job_service.h"
#include "server/api/rpc_counter.h"
#include "server/api/server_service.h"
#include "server/api/worker_service.h"
#include "server/data_folder.h"
#include "server/metrics/collectable.h"
#include "server/metrics/http_server.h"
#include "server/store/sqlite/sqlite_job_store.h"
#include "wire/channel.h"

namespace bsnn::server {
namespace {

scheduler::Options SchedulerOptions(const Config& config) {
  scheduler::Options options;
  options.lease = absl::Seconds(config.lease_seconds);
  options.lost_after = absl::Seconds(config.lost_after_seconds);
  options.next_call = absl::Seconds(config.next_call_seconds);
  options.next_call_busy = absl::Seconds(config.next_call_busy_seconds);
  options.start_limit = absl::Seconds(config.start_limit_seconds);
  options.hang_limit = absl::Seconds(config.hang_limit_seconds);
  options.hang_steps = config.hang_steps;
  options.cancel_margin = absl::Seconds(config.cancel_margin_seconds);
  options.series_linger = absl::Seconds(config.metrics_finished_job_retention_seconds);
  options.worker_linger = absl::Seconds(config.worker_retention_seconds);
  return options;
}

/// Calls Scheduler::Tick ten times a second, for its clock of attention is to be looked at, and
/// what else has something to do now and then.
class Ticker {
 public:
  Ticker(api::Backend& backend, api::Gate& gate)
      : backend_(backend), gate_(gate), thread_([this] { Run(); }) {}
  ~Ticker() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }

 private:
  void Run() {
    constexpr absl::Duration kNap = absl::Milliseconds(100);
    while (true) {
      {
        absl::MutexLock lock(&mutex_);
        if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kNap)) return;
      }
      backend_.scheduler.Tick(backend_.Now());
      backend_.hub.Tick(backend_.clock.Steady());
      gate_.idle_uploads().Tick(backend_.clock.Steady());
    }
  }

  api::Backend& backend_;
  api::Gate& gate_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

/// What /metrics shows: nothing until the coordinator serves.
class ExposedMetrics final : public prometheus::Collectable {
 public:
  void Open(const prometheus::Collectable& metrics) { metrics_ = &metrics; }
  std::vector<prometheus::MetricFamily> Collect() const override {
    const prometheus::Collectable* metrics = metrics_;
    return metrics == nullptr ? std::vector<prometheus::MetricFamily>() : metrics->Collect();
  }

 private:
  std::atomic<const prometheus::Collectable*> metrics_ = nullptr;
};

class ServerImpl final : public Server {
 public:
  ServerImpl(const Config& config, const base::Clock& clock)
      : config_(config),
        clock_(clock),
        gate_({.require_deadline = config.require_deadline, .streams_max = config.streams_max}),
        job_service_(gate_),
        worker_service_(gate_, {.lease = absl::Seconds(config.lease_seconds)}),
        checkpoint_service_(gate_),
        server_service_({BSNN_VERSION, clock.Now(), config.streams_max}) {}

  absl::Status Open(base::RandomBits bits) {
    ASSIGN_OR_RETURN(folder_, DataFolder::Open(config_.data));
    // Both ports before the replay, which takes its time: one that is taken is told at once.
    RETURN_IF_ERROR(Listen());
    if (!config_.metrics_listen.empty()) {
      ASSIGN_OR_RETURN(metrics_, metrics::HttpServer::Make(config_.metrics_listen, exposed_));
      metrics_address_ = metrics_->address();
    }
    RETURN_IF_ERROR(Replay(std::move(bits)));
    collectable_.emplace(metrics::Collectable::Options{BSNN_VERSION, base::kJobSeriesExposedMax},
                         [this] { return TakeSample(); });
    exposed_.Open(*collectable_);
    gate_.Open(*backend_);
    ticker_.emplace(*backend_, gate_);
    grpc_server_->GetHealthCheckService()->SetServingStatus(true);
    if (!config_.metrics_address_file.empty()) {
      RETURN_IF_ERROR(
          base::WriteFileDurably(config_.metrics_address_file, metrics_address_ + "\n"));
    }
    if (!config_.address_file.empty()) {
      RETURN_IF_ERROR(base::WriteFileDurably(config_.address_file, address_ + "\n"));
    }
    return absl::OkStatus();
  }

  ~ServerImpl() override {
    if (grpc_server_ != nullptr) {
      grpc_server_->GetHealthCheckService()->SetServingStatus(false);
      if (hub_) hub_->Close();
      grpc_server_->Shutdown(
          std::chrono::system_clock::now() +
          std::chrono::milliseconds(static_cast<int64_t>(config_.drain_seconds * 1000)));
    }
    metrics_.reset();
    ticker_.reset();
    if (sweeper_) sweeper_->Stop();
    if (disk_) disk_->Close();
    if (history_) history_->Close();
    store_.reset();  // writes what is queued; its last callbacks still find everything else
  }

  const std::string& address() const override { return address_; }
  const std::string& metrics_address() const override { return metrics_address_; }

 private:
  absl::Status Listen() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    wire::SetServerLimits(builder);
    int port = 0;
    builder.AddListeningPort(config_.listen, grpc::InsecureServerCredentials(), &port);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&job_service_);
    builder.RegisterService(&worker_service_);
    builder.RegisterService(&checkpoint_service_);
    builder.RegisterService(&server_service_);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> creators;
    creators.push_back(rpc_counter_.MakeFactory());
    builder.experimental().SetInterceptorCreators(std::move(creators));
    grpc_server_ = builder.BuildAndStart();
    if (grpc_server_ == nullptr || (port == 0 && !config_.listen.starts_with("unix:"))) {
      return absl::UnavailableError(fmt::format(
          "cannot listen on {}: is the port taken? --listen takes another", config_.listen));
    }
    grpc_server_->GetHealthCheckService()->SetServingStatus(false);
    address_ =
        config_.listen.starts_with("unix:")
            ? config_.listen
            : fmt::format("{}:{}", config_.listen.substr(0, config_.listen.rfind(':')), port);
    return absl::OkStatus();
  }

  absl::Status Replay(base::RandomBits bits) {
    ASSIGN_OR_RETURN(store_, store::MakeSqliteJobStore(
                                 {.file = folder_->database(), .on_fatal = [](const auto& status) {
                                    base::LogError(fmt::format("event=store_failed error=\"{}\"",
                                                               status.ToString()));
                                    std::_Exit(1);
                                  }}));
    ASSIGN_OR_RETURN(blobs_, blob::FileBlobStore::Make(folder_->checkpoints()));
    hub_.emplace(*store_, [this](const base::JobId& job) { sweeper_->Sweep(job); });
    ASSIGN_OR_RETURN(scheduler_, scheduler::Scheduler::Make(SchedulerOptions(config_), *store_,
                                                            telemetry_, &*hub_, std::move(bits)));
    // Only now: a replay takes its time, and nobody could call meanwhile.
    scheduler_->Begin({clock_.Now(), clock_.Steady()});
    disk_.emplace("disk", config_.disk_threads, clock_);
    history_.emplace("history", config_.history_threads, clock_);
    sweeper_.emplace(*scheduler_, *blobs_, clock_, api::BlobSweeper::Options{});
    backend_.emplace(api::Backend{*scheduler_, *store_, *store_, *blobs_, clock_, *disk_, *history_,
                                  *hub_, stats_, &*sweeper_});
    return absl::OkStatus();
  }

  metrics::ServiceSample TakeSample() {
    metrics::ServiceSample sample;
    sample.snapshot = scheduler_->TakeSnapshot(backend_->Now());
    sample.jobs = telemetry_.TakeSample(clock_.Steady(), base::kJobSeriesExposedMax);
    sample.checkpoint_read_bytes = stats_.checkpoint_read_bytes;
    sample.checkpoint_write_bytes = stats_.checkpoint_write_bytes;
    sample.checkpoint_verify_failures = stats_.checkpoint_verify_failures;
    sample.checkpoint_disk_full = stats_.checkpoint_disk_full;
    const auto& bounds = api::DurationCounter::kBoundsSeconds;
    sample.commits.bounds_seconds.assign(bounds.begin(), bounds.end());
    for (size_t i = 0; i <= bounds.size(); ++i) {
      sample.commits.counts.push_back(stats_.commits.count(i));
    }
    sample.commits.sum_seconds = stats_.commits.sum_seconds();
    for (auto& calls : rpc_counter_.Counts()) {
      sample.rpcs.push_back(
          {std::move(calls.service), std::move(calls.method), std::move(calls.code), calls.count});
    }
    return sample;
  }

  const Config config_;
  const base::Clock& clock_;
  std::optional<DataFolder> folder_;
  api::ApiStats stats_;
  api::RpcCounter rpc_counter_;
  api::Gate gate_;
  api::JobService job_service_;
  api::WorkerService worker_service_;
  api::CheckpointService checkpoint_service_;
  api::ServerService server_service_;
  telemetry::Telemetry telemetry_{
      {.series_per_job_max = base::kSeriesPerJobMax, .classify = metrics::Classify}};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<blob::BlobStore> blobs_;
  std::optional<api::ChangeHub> hub_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  std::optional<api::WorkPool> disk_;
  std::optional<api::WorkPool> history_;
  std::optional<api::BlobSweeper> sweeper_;
  std::optional<api::Backend> backend_;
  std::optional<Ticker> ticker_;
  std::optional<metrics::Collectable> collectable_;
  ExposedMetrics exposed_;
  std::unique_ptr<metrics::HttpServer> metrics_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::string address_;
  std::string metrics_address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config,
                                                      const base::Clock& clock,
                                                      base::RandomBits bits) {
  auto server = std::make_unique<ServerImpl>(config, clock);
  RETURN_IF_ERROR(server->Open(std::move(bits)));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace bsnn::server
