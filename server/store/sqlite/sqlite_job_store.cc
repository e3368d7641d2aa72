#include "server/store/sqlite/sqlite_job_store.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <fmt/format.h>

#include <deque>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/store/batch_size.h"
#include "server/store/durability.h"
#include "server/store/sqlite/histories.h"
#include "server/store/sqlite/mutations.h"

namespace bsnn::store {
namespace {

class SqliteJobStore final : public JobStore {
 public:
  explicit SqliteJobStore(SqliteOptions options) : options_(std::move(options)) {}

  absl::Status Open() {
    ASSIGN_OR_RETURN(writer_, Database::Open(options_.file.string(), /*read_only=*/false));
    RETURN_IF_ERROR(writer_.Execute("PRAGMA journal_mode = WAL"));
    RETURN_IF_ERROR(writer_.Execute("PRAGMA synchronous = FULL"));
    RETURN_IF_ERROR(CheckVersion());
    RETURN_IF_ERROR(writer_.Execute("BEGIN IMMEDIATE"));
    RETURN_IF_ERROR(writer_.Execute(Schema()));
    RETURN_IF_ERROR(
        writer_.Execute(fmt::format("PRAGMA user_version = {}", kSchemaVersion).c_str()));
    RETURN_IF_ERROR(writer_.Execute("COMMIT"));
    ASSIGN_OR_RETURN(mutations_, Mutations::Make(writer_));
    {
      absl::MutexLock lock(&reader_mutex_);
      ASSIGN_OR_RETURN(reader_, Database::Open(options_.file.string(), /*read_only=*/true));
    }
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  ~SqliteJobStore() override {
    {
      absl::MutexLock lock(&mutex_);
      closing_ = true;
    }
    if (thread_.joinable()) thread_.join();
  }

  Ticket Enqueue(Batch batch) override {
    BSNN_CHECK(!batch.empty());
    absl::MutexLock lock(&mutex_);
    waiting_bytes_ += BytesOf(batch);
    queue_.push_back(std::move(batch));
    return ++last_ticket_;
  }

  void WhenDurable(Ticket ticket, DurableCallback callback) override {
    durability_.When(ticket, std::move(callback));
  }
  Ticket Durable() const override { return durability_.durable(); }

  bool HasRoom() const override {
    absl::MutexLock lock(&mutex_);
    return waiting_bytes_ <= base::kStoreBacklogBytesMax;
  }

  absl::StatusOr<LoadedState> LoadAll() override {
    absl::MutexLock lock(&reader_mutex_);
    return Load(reader_);
  }

  absl::StatusOr<MetricsPage> ListMetrics(const base::JobId& job,
                                          const MetricsQuery& query) const override {
    absl::MutexLock lock(&reader_mutex_);
    return ReadMetrics(reader_, job, query);
  }

  absl::StatusOr<LogsPage> ListLogs(const base::JobId& job, const LogsQuery& query) const override {
    absl::MutexLock lock(&reader_mutex_);
    return ReadLogs(reader_, job, query);
  }

 private:
  absl::Status CheckVersion() {
    ASSIGN_OR_RETURN(Statement row, writer_.Prepare("PRAGMA user_version"));
    RETURN_IF_ERROR(row.Step().status());
    const int64_t version = row.Integer(0);
    if (version <= kSchemaVersion) return absl::OkStatus();
    return absl::FailedPreconditionError(
        fmt::format("database {} has version {}, this program knows up to {}: run the newer "
                    "program that wrote it",
                    options_.file.string(), version, kSchemaVersion));
  }

  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !queue_.empty() || closing_; }

  void Run() {
    Ticket written = 0;
    while (true) {
      std::deque<Batch> batches;
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(this, &SqliteJobStore::HasWork));
        if (queue_.empty()) return;
        batches.swap(queue_);
      }
      if (const absl::Status status = Write(batches); !status.ok()) {
        options_.on_fatal(status);
        return;
      }
      written += static_cast<Ticket>(batches.size());
      {
        absl::MutexLock lock(&mutex_);
        for (const Batch& batch : batches) waiting_bytes_ -= BytesOf(batch);
      }
      durability_.Advance(written);
    }
  }

  absl::Status Write(const std::deque<Batch>& batches) {
    RETURN_IF_ERROR(writer_.Execute("BEGIN IMMEDIATE"));
    for (const Batch& batch : batches) {
      for (const Mutation& mutation : batch) RETURN_IF_ERROR(mutations_->Apply(mutation));
    }
    return writer_.Execute("COMMIT");
  }

  const SqliteOptions options_;
  // The writer thread's, once it runs. Statements go before their connection.
  Database writer_;
  std::unique_ptr<Mutations> mutations_;
  mutable absl::Mutex reader_mutex_;
  mutable Database reader_ ABSL_GUARDED_BY(reader_mutex_);

  mutable absl::Mutex mutex_;
  std::deque<Batch> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Ticket last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  Durability durability_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> MakeSqliteJobStore(SqliteOptions options) {
  auto store = std::make_unique<SqliteJobStore>(std::move(options));
  RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<JobStore>(std::move(store));
}

}  // namespace bsnn::store
