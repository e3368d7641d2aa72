/// A coordinator for tests of the worker: a real gRPC server on a unix socket that does what the
/// test scripts, remembers everything, and can go away and come back. Its data outlive the server.
#pragma once

#include <absl/synchronization/mutex.h>
#include <grpcpp/server.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bsnn/v1/checkpoint.grpc.pb.h"
#include "bsnn/v1/worker.grpc.pb.h"
#include "spec/event.h"

namespace bsnn::test {

struct StoredCheckpoint {
  v1::Checkpoint facts;
  std::map<std::string, std::string> files;
};

/// Everything below is guarded by FakeCoordinator's mutex; reach it through With and WaitFor.
struct FakeState {
  // What the test scripts.
  std::vector<v1::AttemptOrder> orders;
  int next_call_ms = 20;
  bool knows_worker = false;        ///< set by a registration
  int publish_replies_to_lose = 0;  ///< taken, but answered with Unavailable
  bool fence = false;               ///< PublishEvents answers ATTEMPT_FENCED
  bool require_checkpoint = true;   ///< Finished{succeeded} wants its digest in `checkpoints`
  int64_t upload_cut_after = -1;    ///< bytes of the next upload's chunks before it is cut
  absl::Status upload_status;       ///< what UploadCheckpoint answers, unless OK
  int64_t download_cut_after = -1;  ///< bytes of the next longer download before it is cut
  std::string data_loss;            ///< name of a checkpoint whose downloads answer DATA_LOSS

  // What has been seen.
  int registrations = 0;
  int synchronizations = 0;
  bool draining = false;
  v1::RegisterWorkerRequest registration;
  std::vector<v1::AttemptReport> reports;                  ///< of the last Synchronize
  std::map<std::string, std::vector<spec::Event>> events;  ///< by "job.epoch"; each once, in order
  int publishes = 0;
  int duplicates = 0;
  std::map<std::string, std::string> partial;           ///< uploaded so far, by digest/file
  std::map<std::string, StoredCheckpoint> checkpoints;  ///< by resource name
  std::vector<int64_t> upload_first_offsets;            ///< of each upload's first chunk
  std::vector<int64_t> download_offsets;                ///< of each download
  std::string order_of_ends;  ///< 'P' a checkpoint published, 'F' a Finished taken
};

class FakeCoordinator {
 public:
  explicit FakeCoordinator(std::string address);  ///< "unix:/path"
  ~FakeCoordinator();

  void Start();
  void Stop();
  const std::string& address() const { return address_; }

  template <class Call>
  auto With(Call&& call) {
    const absl::MutexLock lock(&mutex_);
    return call(state_);
  }
  /// Waits until `condition` holds; false after 30 s.
  bool WaitFor(const std::function<bool(const FakeState&)>& condition);

  // The services' insides.
  absl::Status Register(const v1::RegisterWorkerRequest& request);
  absl::Status Synchronize(const v1::SynchronizeRequest& request, v1::SynchronizeResponse& out);
  absl::StatusOr<int64_t> Publish(const v1::PublishEventsRequest& request);
  absl::Status Upload(
      grpc::ServerReaderWriter<v1::UploadCheckpointResponse, v1::UploadCheckpointRequest>& stream);
  absl::Status Download(const v1::DownloadCheckpointRequest& request,
                        grpc::ServerWriter<v1::DownloadCheckpointResponse>& writer);
  absl::StatusOr<v1::Checkpoint> Get(const std::string& name);

 private:
  class Workers;
  class Checkpoints;

  const std::string address_;
  std::unique_ptr<Workers> workers_;
  std::unique_ptr<Checkpoints> checkpoints_;
  std::unique_ptr<grpc::Server> server_;
  absl::Mutex mutex_;
  FakeState state_ ABSL_GUARDED_BY(mutex_);
};

/// An order to run `job`, on slot 0 unless said otherwise.
v1::AttemptOrder RunOrder(const std::string& job, int epoch = 1, int slot = 0);
v1::AttemptOrder StopOrder(const std::string& job, int epoch, double grace_seconds);

/// A checkpoint of `step`, with its manifest, as it would be published.
StoredCheckpoint MakeCheckpoint(const std::string& job, const std::string& id, int64_t step,
                                const std::string& content);

/// The messages of the log events among `events`.
std::vector<std::string> LogsOf(const std::vector<spec::Event>& events);
/// The Finished among them, or null.
const spec::Finished* FinishedOf(const std::vector<spec::Event>& events);

}  // namespace bsnn::test
