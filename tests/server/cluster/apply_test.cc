// Facts that mutations made one by one are the facts that a start reads from the store.
#include "server/cluster/apply.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/cluster/job_states.h"
#include "server/store/memory/memory_job_store.h"
#include "server/store/sqlite/sqlite_job_store.h"
#include "tests/worker/support/temp_folder.h"

namespace bsnn::cluster {
namespace {

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'700'000'000 + seconds); }

constexpr size_t kJobsMax = 40;
constexpr int kJobIds = 60;  // more than jobs, so that some are used again

/// Draws mutations that a command could make of the facts as they are.
class RandomCommands {
 public:
  explicit RandomCommands(uint32_t seed) : random_(seed) {}

  /// One to three mutations, each valid after those before it.
  store::Batch Draw(const Facts& facts) {
    ++time_;
    switch (Number(0, 9)) {
      case 0:
        return {PutWorker()};
      case 1:
        return DeleteWorker(facts);
      case 2:
      case 3:
        if (facts.jobs.size() < kJobsMax) return {CreateJob(facts)};
        [[fallthrough]];
      default:
        return facts.jobs.empty() ? store::Batch{CreateJob(facts)} : ChangeJob(facts);
    }
  }

 private:
  int Number(int least, int most) { return std::uniform_int_distribution(least, most)(random_); }

  store::Mutation PutWorker() {
    store::WorkerRecord worker;
    worker.id = *base::WorkerId::Make(fmt::format("w{}", Number(0, 4)));
    worker.incarnation = std::to_string(Number(0, 9));
    for (int32_t i = 0; i < 3; ++i) worker.slots.push_back({i, spec::Device::kCpu, "", 0});
    worker.register_time = worker.last_seen_time = At(time_);
    worker.lost = Number(0, 3) == 0;
    return store::PutWorker{worker};
  }

  store::Batch DeleteWorker(const Facts& facts) {
    for (const auto& [id, worker] : facts.workers) {
      if (worker.used.empty()) return {store::DeleteWorker{id}};
    }
    return {PutWorker()};
  }

  store::Mutation CreateJob(const Facts& facts) {
    store::JobRecord job;
    do {
      job.id = *base::JobId::Make(fmt::format("j{}", Number(1, kJobIds)));
    } while (facts.FindJob(job.id) != nullptr);
    job.sequence = facts.last_sequence + 1;
    if (Number(0, 1) == 0) job.request_id = fmt::format("r{}", job.sequence);
    job.create_time = job.status.update_time = At(time_);
    job.status.newest_epoch = facts.retired.Find(job.id);
    return store::CreateJob{job};
  }

  store::Batch ChangeJob(const Facts& facts) {
    auto item = facts.jobs.begin();
    std::advance(item, Number(0, static_cast<int>(facts.jobs.size()) - 1));
    const Job& job = item->second;
    if (IsFinal(job.status().state)) {
      if (Number(0, 1) == 0) return DropCheckpoint(job);
      return {store::DeleteJob{job.record.id, job.status().newest_epoch}};
    }
    if (job.live() == nullptr) return Place(facts, job);
    return Number(0, 1) == 0 ? PutCheckpoint(job) : EndAttempt(job);
  }

  store::JobStatus StatusOf(const Job& job, store::JobState state) {
    store::JobStatus status = job.status();
    status.state = state;
    ++status.version;
    status.update_time = At(time_);
    return status;
  }

  store::Batch Place(const Facts& facts, const Job& job) {
    for (const auto& [id, worker] : facts.workers) {
      for (const store::Slot& slot : worker.record.slots) {
        if (worker.used.contains(slot.index)) continue;
        store::JobStatus status = StatusOf(job, store::JobState::kStarting);
        store::AttemptRecord attempt;
        attempt.epoch = ++status.newest_epoch;
        attempt.worker = id;
        attempt.slot = slot.index;
        attempt.start_time = At(time_);
        return {store::UpdateJob{job.record.id, status}, store::PutAttempt{job.record.id, attempt}};
      }
    }
    return {store::UpdateJob{job.record.id, StatusOf(job, store::JobState::kCancelled)}};
  }

  store::Batch EndAttempt(const Job& job) {
    store::AttemptRecord attempt = *job.live();
    attempt.acknowledged_sequence += Number(0, 5);
    if (Number(0, 2) == 0) return {store::PutAttempt{job.record.id, attempt}};
    attempt.end_time = At(time_);
    attempt.failure_class = store::FailureClass::kWorkerLost;
    const auto state = Number(0, 5) == 0 ? store::JobState::kFailed : store::JobState::kQueued;
    return {store::PutAttempt{job.record.id, attempt},
            store::UpdateJob{job.record.id, StatusOf(job, state)}};
  }

  store::Batch PutCheckpoint(const Job& job) {
    store::CheckpointRecord checkpoint;
    checkpoint.job = job.record.id;
    checkpoint.step = Number(1, 9);
    checkpoint.attempt_epoch = job.live()->epoch;
    checkpoint.id = *base::CheckpointId::Make(
        fmt::format("a{}-step-{:08}", checkpoint.attempt_epoch, checkpoint.step));
    checkpoint.pinned = Number(0, 1) == 0;
    checkpoint.create_time = At(time_);
    store::Batch batch{store::PutCheckpoint{checkpoint}};
    if (job.checkpoints.size() > 4) {
      batch.push_back(store::DeleteCheckpoint{job.record.id, job.checkpoints.begin()->second.id});
    }
    return batch;
  }

  store::Batch DropCheckpoint(const Job& job) {
    if (job.checkpoints.empty())
      return {store::DeleteJob{job.record.id, job.status().newest_epoch}};
    return {store::DeleteCheckpoint{job.record.id, job.checkpoints.rbegin()->second.id}};
  }

  std::mt19937 random_;
  int64_t time_ = 0;
};

/// Everything that is compared, as text.
std::vector<std::string> LinesOf(const Facts& facts) {
  std::vector<std::string> lines;
  for (const auto& [sequence, job] : facts.jobs) {
    const store::JobStatus& status = job.status();
    lines.push_back(fmt::format("job {} {} {} state {} version {} epoch {}", sequence,
                                job.record.id.value(), job.record.request_id, ToWord(status.state),
                                status.version, status.newest_epoch));
    for (const store::AttemptRecord& attempt : job.attempts) {
      lines.push_back(fmt::format("  attempt {} {} {} live {} acknowledged {}", attempt.epoch,
                                  attempt.worker.value(), attempt.slot, attempt.live(),
                                  attempt.acknowledged_sequence));
    }
    for (const auto& [at, checkpoint] : job.checkpoints) {
      lines.push_back(fmt::format("  checkpoint {} {} {} pinned {}", at.step, at.attempt_epoch,
                                  checkpoint.id.value(), checkpoint.pinned));
    }
    lines.push_back(fmt::format("  by id {}", facts.jobs_by_id.at(job.record.id.value())));
    if (!job.record.request_id.empty()) {
      lines.push_back(
          fmt::format("  by request {}", facts.jobs_by_request.at(job.record.request_id)));
    }
  }
  for (const auto& [id, worker] : facts.workers) {
    lines.push_back(fmt::format("worker {} {} lost {}", id.value(), worker.record.incarnation,
                                worker.record.lost));
    for (const auto& [slot, job] : worker.used) {
      lines.push_back(fmt::format("  slot {} has {}", slot, job));
    }
  }
  for (int state = 0; state < kJobStates; ++state) {
    for (const int64_t job : facts.jobs_by_state[static_cast<size_t>(state)]) {
      lines.push_back(fmt::format("state {} has {}", state, job));
    }
  }
  for (int i = 1; i <= kJobIds; ++i) {
    const auto id = *base::JobId::Make(fmt::format("j{}", i));
    lines.push_back(fmt::format("retired {} {}", id.value(), facts.retired.Find(id)));
  }
  lines.push_back(fmt::format("{} ids, {} requests, {} retired, last {}", facts.jobs_by_id.size(),
                              facts.jobs_by_request.size(), facts.retired.size(),
                              facts.last_sequence));
  return lines;
}

/// Indices say what a walk over all jobs says.
void ExpectThatIndicesHold(const Facts& facts) {
  std::array<absl::btree_set<int64_t>, kJobStates> by_state;
  std::map<std::pair<base::WorkerId, int32_t>, int64_t> used;
  for (const auto& [sequence, job] : facts.jobs) {
    by_state[static_cast<size_t>(job.status().state)].insert(sequence);
    if (job.live() != nullptr) used[{job.live()->worker, job.live()->slot}] = sequence;
  }
  EXPECT_EQ(facts.jobs_by_state, by_state);
  std::map<std::pair<base::WorkerId, int32_t>, int64_t> used_by_workers;
  for (const auto& [id, worker] : facts.workers) {
    for (const auto& [slot, job] : worker.used) used_by_workers[{id, slot}] = job;
  }
  EXPECT_EQ(used_by_workers, used);
}

void RunCommands(Facts& facts, RandomCommands& commands, store::JobStore& store, int batches) {
  for (int i = 0; i < batches; ++i) {
    store::Batch batch = commands.Draw(facts);
    Touched touched;
    for (const store::Mutation& mutation : batch) Apply(facts, mutation, touched);
    store.Enqueue(std::move(batch));
  }
}

void ExpectThatAStartReadsThem(const Facts& facts, store::JobStore& store) {
  auto loaded = store.LoadAll();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  Facts restored;
  ASSERT_TRUE(Restore(*std::move(loaded), restored).ok());
  EXPECT_EQ(LinesOf(restored), LinesOf(facts));
  ExpectThatIndicesHold(restored);
}

TEST(Apply, MakesTheFactsThatAStartReads) {
  for (uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    RandomCommands commands(seed);
    store::MemoryJobStore store;
    Facts facts;
    for (int round = 0; round < 5; ++round) {
      RunCommands(facts, commands, store, 100);
      ExpectThatIndicesHold(facts);
      ExpectThatAStartReadsThem(facts, store);
    }
    ASSERT_FALSE(HasFailure());
  }
}

TEST(Apply, MakesTheFactsThatAStartReadsFromADatabase) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    const test::TempFolder folder;
    const auto open = [&] {
      return *store::MakeSqliteJobStore(
          {.file = folder.path() / "store.sqlite",
           .on_fatal = [](const absl::Status& status) { FAIL() << status; }});
    };
    RandomCommands commands(seed);
    Facts facts;
    for (int round = 0; round < 3; ++round) {
      {
        auto store = open();
        ASSERT_TRUE(store->LoadAll().ok());
        RunCommands(facts, commands, *store, 200);
      }
      ExpectThatAStartReadsThem(facts, *open());
    }
    ASSERT_FALSE(HasFailure());
  }
}

TEST(RetiredIds, TheOldestGoBeyondTheLimit) {
  RetiredIds ids(3);
  const auto id = [](int i) { return *base::JobId::Make(fmt::format("j{}", i)); };
  for (int i = 0; i < 4; ++i) ids.Put(id(i), 10 + i);
  EXPECT_EQ(ids.size(), 3U);
  EXPECT_EQ(ids.Find(id(0)), 0);
  EXPECT_EQ(ids.Find(id(1)), 11);
  ids.Put(id(1), 21);  // used and deleted again: the newest now
  ids.Put(id(4), 14);
  EXPECT_EQ(ids.Find(id(2)), 0);
  EXPECT_EQ(ids.Find(id(1)), 21);
}

}  // namespace
}  // namespace bsnn::cluster
