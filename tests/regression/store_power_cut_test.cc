// Power cuts, full disks and failing disks under the real SQLite store, over a simulated disk:
// what was reported durable is there afterwards, batches are there whole or not at all, and the
// store opens.
#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "server/store/sqlite/sqlite_job_store.h"
#include "tests/support/sim_disk/sim_disk.h"

namespace bsnn::store {
namespace {

using testing::HasSubstr;
using testing_support::SimDisk;
using testing_support::SimDiskVfs;

base::JobId IdOf(int64_t job) { return *base::JobId::Make("job-" + std::to_string(job)); }

/// Batch `n` makes job n with an attempt and three points, and ends job n-1; every fifth deletes
/// job n-4. So what is there says which batches were taken.
Batch BatchOf(int64_t n) {
  JobRecord job;
  job.id = IdOf(n);
  job.sequence = n;
  job.display_name = std::string(static_cast<size_t>(n * 37 % 3000), 'x');
  job.create_time = absl::UnixEpoch();
  AttemptRecord attempt;
  attempt.epoch = 1;
  attempt.worker = *base::WorkerId::Make("w");
  attempt.start_time = absl::UnixEpoch();
  std::vector<spec::MetricPoint> points;
  for (int i = 0; i < 3; ++i) points.push_back({"loss", "", "", -1, i, 1, double(n)});
  Batch batch = {CreateJob{job}, PutAttempt{job.id, attempt}, AppendMetrics{job.id, points}};
  if (n > 1) {
    JobStatus status;
    status.state = JobState::kSucceeded;
    batch.push_back(UpdateJob{IdOf(n - 1), status});
  }
  if (n % 5 == 0) batch.push_back(DeleteJob{IdOf(n - 4), 1});
  return batch;
}

constexpr int64_t kBatches = 24;

struct Outcome {
  int64_t durable = 0;  ///< batches that were reported
  absl::Status failure;
};

absl::StatusOr<std::unique_ptr<Store>> Open(absl::Status* failure, absl::Notification* failed) {
  return MakeSqliteJobStore({.file = "/disk/jobs.sqlite", .on_fatal = [=](const absl::Status& s) {
                               *failure = s;
                               failed->Notify();
                             }});
}

/// Writes the batches in groups that `random` draws, until all are durable or the store has failed.
Outcome Write(uint64_t seed) {
  Outcome run;
  absl::Notification failed;
  auto store = Open(&run.failure, &failed);
  if (!store.ok()) {
    run.failure = store.status();
    return run;
  }
  std::mt19937_64 random(seed);
  for (int64_t n = 1; n <= kBatches && !failed.HasBeenNotified();) {
    Ticket ticket = 0;
    for (uint64_t i = random() % 4 + 1; i > 0 && n <= kBatches; --i) {
      ticket = (*store)->Enqueue(BatchOf(n++));
    }
    absl::Mutex mutex;
    bool durable = false;
    (*store)->WhenDurable(ticket, [&] {
      absl::MutexLock lock(&mutex);
      durable = true;
    });
    // Either comes: the writer thread says one or the other.
    while (true) {
      absl::MutexLock lock(&mutex);
      mutex.AwaitWithTimeout(absl::Condition(&durable), absl::Milliseconds(1));
      if (durable) run.durable = ticket;
      if (durable || failed.HasBeenNotified()) break;
    }
  }
  return run;
}

/// Opens the store and checks that it holds exactly the batches 1 to some n >= durable.
void Check(int64_t durable) {
  absl::Status failure;
  absl::Notification failed;
  auto store = Open(&failure, &failed);
  ASSERT_TRUE(store.ok()) << store.status();
  const auto state = (*store)->LoadAll();
  ASSERT_TRUE(state.ok()) << state.status();
  const int64_t taken = state->last_sequence;
  ASSERT_GE(taken, durable) << "what was reported durable is lost";
  std::set<int64_t> expected;
  for (int64_t n = 1; n <= taken; ++n) {
    expected.insert(n);
    if (n % 5 == 0) expected.erase(n - 4);
  }
  std::set<int64_t> found;
  for (const LoadedJob& job : state->jobs) {
    found.insert(job.job.sequence);
    EXPECT_EQ(job.attempts.size(), 1U);
    EXPECT_EQ(job.job.status.state == JobState::kSucceeded, job.job.sequence != taken);
    const auto page = (*store)->ListMetrics(job.job.id, {0, 10, "", ""});
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(page->points.size(), 3U);
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(std::ssize(state->retired), taken / 5);
}

class StoreOnABadDisk : public testing::Test {
 protected:
  SimDisk disk_;
  SimDiskVfs vfs_{disk_};
};

TEST_F(StoreOnABadDisk, LosesNothingThatWasDurableWhereverThePowerIsCut) {
  ASSERT_TRUE(Write(1).failure.ok());
  const int64_t operations = disk_.operations();
  ASSERT_GT(operations, 100);
  for (int64_t cut = 1; cut <= operations; ++cut) {
    SCOPED_TRACE("cut at operation " + std::to_string(cut));
    SimDisk disk;
    const SimDiskVfs vfs(disk);
    disk.CutPowerAt(cut);
    const Outcome run = Write(1);
    disk.Restart(static_cast<uint64_t>(cut));
    Check(run.durable);
    if (HasFatalFailure()) return;
  }
}

TEST_F(StoreOnABadDisk, LosesNothingThatWasDurableWhicheverOperationFails) {
  ASSERT_TRUE(Write(1).failure.ok());
  const int64_t operations = disk_.operations();
  int64_t told = 0;
  for (int64_t bad = 1; bad <= operations; ++bad) {
    SCOPED_TRACE("operation " + std::to_string(bad) + " fails");
    SimDisk disk;
    const SimDiskVfs vfs(disk);
    disk.FailOnceAt(bad);
    const Outcome run = Write(1);
    if (!run.failure.ok()) {
      ++told;
      EXPECT_THAT(std::string(run.failure.message()), HasSubstr("/disk"));
    } else {
      EXPECT_EQ(run.durable, kBatches);
    }
    disk.Restart(static_cast<uint64_t>(bad));
    Check(run.durable);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(told, operations / 2);
}

TEST_F(StoreOnABadDisk, AFullDiskEndsItWithWordsAndLosesNothing) {
  for (int64_t room = 0; room < 400'000; room += 10'000) {
    SCOPED_TRACE("room for " + std::to_string(room) + " bytes");
    SimDisk disk;
    const SimDiskVfs vfs(disk);
    disk.SetRoom(room);
    const Outcome run = Write(1);
    EXPECT_TRUE(absl::IsResourceExhausted(run.failure)) << run.failure;
    EXPECT_THAT(std::string(run.failure.message()),
                HasSubstr("the disk of /disk is full: make room"));
    disk.Restart(static_cast<uint64_t>(room));
    Check(run.durable);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace bsnn::store
