#include "server/store/sqlite/sqlite_job_store.h"

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include <deque>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"
#include "server/store/batch_size.h"
#include "server/store/durability.h"
#include "server/store/sqlite/history_reader.h"
#include "server/store/sqlite/history_writer.h"
#include "server/store/sqlite/load.h"
#include "server/store/sqlite/mutations.h"
#include "server/store/sqlite/reader_pool.h"
#include "server/store/sqlite/schema.h"

namespace bsnn::store {
namespace {

class SqliteJobStore final : public Store {
 public:
  explicit SqliteJobStore(SqliteOptions options)
      : options_(std::move(options)), readers_(options_.file.string()) {}

  absl::Status Open() {
    ASSIGN_OR_RETURN(writer_, Database::Open(options_.file.string(), /*read_only=*/false));
    RETURN_IF_ERROR(PrepareDatabase(writer_, options_.file.string()));
    ASSIGN_OR_RETURN(histories_, HistoryWriter::Make(writer_));
    ASSIGN_OR_RETURN(mutations_, Mutations::Make(writer_, *histories_));
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
    return readers_.With([](Database& database) { return Load(database); });
  }

  absl::StatusOr<MetricsPage> ListMetrics(const base::JobId& job,
                                          const MetricsQuery& query) const override {
    return readers_.With([&](Database& database) { return ReadMetrics(database, job, query); });
  }

  absl::StatusOr<LogsPage> ListLogs(const base::JobId& job, const LogsQuery& query) const override {
    return readers_.With([&](Database& database) { return ReadLogs(database, job, query); });
  }

 private:
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !queue_.empty() || closing_; }

  void Run() {
    Ticket written = 0;
    int busy_commits = 0;  // since a slice of dead histories went
    while (true) {
      std::deque<Batch> batches;
      const bool has_dead = histories_->has_dead_jobs();
      {
        absl::MutexLock lock(&mutex_);
        if (!has_dead) mutex_.Await(absl::Condition(this, &SqliteJobStore::HasWork));
        if (queue_.empty() && closing_) return;
        batches.swap(queue_);
      }
      const bool drops = has_dead && (batches.empty() || ++busy_commits >= kBusyCommitsPerSlice);
      if (drops) busy_commits = 0;
      if (const absl::Status status = Write(batches, drops); !status.ok()) {
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

  absl::Status Write(const std::deque<Batch>& batches, bool drops) {
    RETURN_IF_ERROR(writer_.Execute("BEGIN IMMEDIATE"));
    for (const Batch& batch : batches) {
      for (const Mutation& mutation : batch) RETURN_IF_ERROR(mutations_->Apply(mutation));
    }
    RETURN_IF_ERROR(mutations_->Finish());
    if (drops) RETURN_IF_ERROR(histories_->DropSlice());
    return writer_.Execute("COMMIT");
  }

  /// Under load, every so many commits take a slice of dead histories along.
  static constexpr int kBusyCommitsPerSlice = 32;

  const SqliteOptions options_;
  // The writer thread's, once it runs. Statements go before their connection.
  Database writer_;
  std::unique_ptr<HistoryWriter> histories_;
  std::unique_ptr<Mutations> mutations_;
  const ReaderPool readers_;

  mutable absl::Mutex mutex_;
  std::deque<Batch> queue_ ABSL_GUARDED_BY(mutex_);
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Ticket last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  Durability durability_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> MakeSqliteJobStore(SqliteOptions options) {
  auto store = std::make_unique<SqliteJobStore>(std::move(options));
  RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace bsnn::store
