#include "tests/contract/job_store_contract.h"

#include <absl/synchronization/notification.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/limits.h"
#include "server/store/memory/memory_job_store.h"
#include "server/store/sqlite/sqlite_job_store.h"

namespace bsnn::store {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

base::JobId Job(const std::string& id) { return *base::JobId::Make(id); }

JobRecord SomeJob(const std::string& id, int64_t sequence) {
  JobRecord job;
  job.id = Job(id);
  job.sequence = sequence;
  job.id_wanted = true;
  job.request_id = "request-" + id;
  job.display_name = "a \"name\" \xc3\xa9";
  job.labels = PackedLabels::Map{{"team", "vision"}, {"empty", ""}};
  spec::JobSpec spec;
  spec.network.time_steps = 4;
  spec.scheduling.priority = -7;
  job.spec = spec::SharedSpec(spec);
  job.create_time = absl::FromUnixNanos(1'700'000'000'123'456'789);
  JobStatus& status = job.status;
  status.state = JobState::kRunning;
  status.version = 9;
  status.newest_epoch = 3;
  status.restart_count = 2;
  status.not_before = absl::FromUnixSeconds(5);
  status.start_time = absl::FromUnixSeconds(6);
  status.update_time = absl::FromUnixSeconds(8);
  status.progress = {10, 20, 1, 2, 1234.5, 6.75, absl::FromUnixSeconds(9)};
  status.result = JobResult{std::numeric_limits<double>::quiet_NaN(), 20,
                            *base::CheckpointId::Make("a3-step-00000020"), std::string(64, 'a')};
  status.failure_class = FailureClass::kHang;
  status.message = "why";
  status.metric_points = 77;
  status.metric_points_dropped = 5;
  return job;
}

AttemptRecord SomeAttempt(int32_t epoch) {
  AttemptRecord attempt;
  attempt.epoch = epoch;
  attempt.worker = *base::WorkerId::Make("w1");
  attempt.incarnation = "abc";
  attempt.slot = 1;
  attempt.start_time = absl::FromUnixSeconds(100 + epoch);
  attempt.failure_class = FailureClass::kWorkerLost;
  attempt.message = "lost";
  attempt.resumed_from_step = 40;
  attempt.acknowledged_sequence = 12;
  attempt.finished = true;
  return attempt;
}

CheckpointRecord SomeCheckpoint(const std::string& job, int32_t attempt_epoch, int64_t step) {
  CheckpointRecord checkpoint;
  checkpoint.job = Job(job);
  checkpoint.id = *base::CheckpointId::Make("a" + std::to_string(attempt_epoch) + "-step-" +
                                            std::to_string(step));
  checkpoint.step = step;
  checkpoint.epoch = 2;
  checkpoint.attempt_epoch = attempt_epoch;
  checkpoint.digest = std::string(64, 'd');
  checkpoint.files = {{"manifest.json", 3, std::string(64, 'd')},
                      {"model.safetensors", 1 << 20, std::string(64, 'e')}};
  checkpoint.size_bytes = 3 + (1 << 20);
  checkpoint.accuracy_ratio = 0.1 + 0.2;
  checkpoint.pinned = true;
  checkpoint.create_time = absl::FromUnixSeconds(50);
  return checkpoint;
}

WorkerRecord SomeWorker(const std::string& id) {
  WorkerRecord worker;
  worker.id = *base::WorkerId::Make(id);
  worker.incarnation = "xyz";
  worker.slots = {{0, spec::Device::kCuda, "H100", 80LL << 30}, {1, spec::Device::kCpu, "", 0}};
  worker.version = "0.1.0";
  worker.hostname = "host";
  worker.labels = {{"rack", "r1"}};
  worker.data_sets = {{spec::DataName::kCifar10, "f1"}, {spec::DataName::kMnist, ""}};
  worker.spec_version = 2;
  worker.register_time = absl::FromUnixSeconds(1);
  worker.last_seen_time = absl::FromUnixSeconds(2);
  return worker;
}

spec::MetricPoint SomePoint(const std::string& name, int64_t step, double value) {
  return {name, "conv2", "test", 1, step, 3, value};
}

void Put(JobStore& store, Batch batch) {
  absl::Notification durable;
  const Ticket ticket = store.Enqueue(std::move(batch));
  store.WhenDurable(ticket, [&] { durable.Notify(); });
  durable.WaitForNotification();
  EXPECT_GE(store.Durable(), ticket);
}

namespace {

TEST_P(JobStoreContract, IsEmptyAtFirst) {
  const LoadedState state = Load();
  EXPECT_THAT(state.jobs, IsEmpty());
  EXPECT_THAT(state.workers, IsEmpty());
  EXPECT_EQ(state.last_sequence, 0);
  EXPECT_EQ(store_->Durable(), 0);
  EXPECT_TRUE(store_->HasRoom());
}

TEST_P(JobStoreContract, KeepsEveryFieldOfEveryRecord) {
  const JobRecord job = SomeJob("one", 4);
  Put(*store_, {CreateJob{job}, PutAttempt{job.id, SomeAttempt(3)},
                PutCheckpoint{SomeCheckpoint("one", 3, 20)}, PutWorker{SomeWorker("w1")}});
  Reopen();
  const LoadedState state = Load();
  ASSERT_THAT(state.jobs, SizeIs(1));
  const JobRecord& read = state.jobs[0].job;
  EXPECT_EQ(read.id, job.id);
  EXPECT_EQ(read.sequence, 4);
  EXPECT_EQ(read.id_wanted, job.id_wanted);
  EXPECT_EQ(read.request_id, job.request_id);
  EXPECT_EQ(read.display_name, job.display_name);
  EXPECT_EQ(read.labels, job.labels);
  EXPECT_EQ(spec::CanonicalText(read.spec.Unpack()), spec::CanonicalText(job.spec.Unpack()));
  EXPECT_EQ(read.create_time, job.create_time);
  EXPECT_EQ(read.status.state, JobState::kRunning);
  EXPECT_EQ(read.status.version, 9);
  EXPECT_EQ(read.status.newest_epoch, 3);
  EXPECT_EQ(read.status.restart_count, 2);
  EXPECT_EQ(read.status.not_before, job.status.not_before);
  EXPECT_EQ(read.status.start_time, job.status.start_time);
  EXPECT_EQ(read.status.end_time, absl::InfiniteFuture());
  EXPECT_EQ(read.status.cancel_time, absl::InfiniteFuture());
  EXPECT_EQ(read.status.update_time, job.status.update_time);
  EXPECT_EQ(read.status.progress, job.status.progress);
  ASSERT_TRUE(read.status.result.has_value());
  EXPECT_TRUE(std::isnan(read.status.result->accuracy_ratio));
  EXPECT_EQ(read.status.result->checkpoint, job.status.result->checkpoint);
  EXPECT_EQ(read.status.result->checkpoint_digest, job.status.result->checkpoint_digest);
  EXPECT_EQ(read.status.failure_class, FailureClass::kHang);
  EXPECT_EQ(read.status.message, "why");
  EXPECT_EQ(read.status.metric_points, 77);
  EXPECT_EQ(read.status.metric_points_dropped, 5);

  ASSERT_THAT(state.jobs[0].attempts, SizeIs(1));
  const AttemptRecord& attempt = state.jobs[0].attempts[0];
  EXPECT_TRUE(attempt.live());
  EXPECT_EQ(attempt.worker.value(), "w1");
  EXPECT_EQ(attempt.incarnation, "abc");
  EXPECT_EQ(attempt.slot, 1);
  EXPECT_EQ(attempt.start_time, absl::FromUnixSeconds(103));
  EXPECT_EQ(attempt.failure_class, FailureClass::kWorkerLost);
  EXPECT_EQ(attempt.resumed_from_step, 40);
  EXPECT_EQ(attempt.acknowledged_sequence, 12);
  EXPECT_TRUE(attempt.finished);

  ASSERT_THAT(state.jobs[0].checkpoints, SizeIs(1));
  const CheckpointRecord expected = SomeCheckpoint("one", 3, 20);
  const CheckpointRecord& checkpoint = state.jobs[0].checkpoints[0];
  EXPECT_EQ(checkpoint.id, expected.id);
  EXPECT_EQ(checkpoint.files, expected.files);
  EXPECT_EQ(checkpoint.accuracy_ratio, 0.1 + 0.2);
  EXPECT_TRUE(checkpoint.pinned);
  EXPECT_EQ(checkpoint.digest, expected.digest);

  ASSERT_THAT(state.workers, SizeIs(1));
  EXPECT_EQ(state.workers[0].slots, SomeWorker("w1").slots);
  EXPECT_EQ(state.workers[0].incarnation, "xyz");
  EXPECT_EQ(state.workers[0].labels, SomeWorker("w1").labels);
  EXPECT_EQ(state.workers[0].data_sets, SomeWorker("w1").data_sets);
  EXPECT_EQ(state.workers[0].spec_version, 2);
}

TEST_P(JobStoreContract, CallsBackInTheOrderOfTheTickets) {
  std::vector<int> called;
  absl::Mutex mutex;
  absl::Notification done;
  Ticket last = 0;
  for (int i = 0; i < 50; ++i) {
    const Ticket ticket = store_->Enqueue({PutWorker{SomeWorker("w" + std::to_string(i))}});
    EXPECT_EQ(ticket, ++last);
    store_->WhenDurable(ticket, [&, i] {
      const absl::MutexLock lock(&mutex);
      called.push_back(i);
      if (i == 49) done.Notify();
    });
  }
  done.WaitForNotification();
  const absl::MutexLock lock(&mutex);
  ASSERT_THAT(called, SizeIs(50));
  EXPECT_TRUE(std::is_sorted(called.begin(), called.end()));
}

TEST_P(JobStoreContract, CallsBackAtOnceForWhatIsDurable) {
  Put(*store_, {PutWorker{SomeWorker("w1")}});
  bool called = false;
  store_->WhenDurable(0, [&] { called = true; });
  EXPECT_TRUE(called);
}

TEST_P(JobStoreContract, UpdatesReplaces) {
  Put(*store_, {CreateJob{SomeJob("one", 1)}, PutAttempt{Job("one"), SomeAttempt(1)}});
  JobStatus status;
  status.state = JobState::kSucceeded;
  AttemptRecord ended = SomeAttempt(1);
  ended.end_time = absl::FromUnixSeconds(500);
  Put(*store_, {UpdateJob{Job("one"), status}, PutAttempt{Job("one"), ended}});
  Reopen();
  const LoadedState state = Load();
  EXPECT_EQ(state.jobs[0].job.status.state, JobState::kSucceeded);
  EXPECT_FALSE(state.jobs[0].job.status.result.has_value());
  ASSERT_THAT(state.jobs[0].attempts, SizeIs(1));
  EXPECT_FALSE(state.jobs[0].attempts[0].live());
}

TEST_P(JobStoreContract, LoadsTheNewestAttemptsOldestFirst) {
  Batch batch = {CreateJob{SomeJob("one", 1)}};
  for (int32_t epoch = 1; epoch <= base::kAttemptsShownMax + 3; ++epoch) {
    batch.push_back(PutAttempt{Job("one"), SomeAttempt(epoch)});
  }
  Put(*store_, std::move(batch));
  const auto attempts = Load().jobs[0].attempts;
  ASSERT_THAT(attempts, SizeIs(base::kAttemptsShownMax));
  EXPECT_EQ(attempts.front().epoch, 4);
  EXPECT_EQ(attempts.back().epoch, base::kAttemptsShownMax + 3);
}

TEST_P(JobStoreContract, DeletesWhatIsDeletedAndRemembersEpochs) {
  Put(*store_,
      {CreateJob{SomeJob("one", 1)}, CreateJob{SomeJob("two", 2)},
       PutCheckpoint{SomeCheckpoint("one", 1, 10)}, PutCheckpoint{SomeCheckpoint("one", 1, 20)},
       AppendMetrics{Job("one"), {SomePoint("loss", 1, 1)}}, PutWorker{SomeWorker("w1")}});
  Put(*store_, {DeleteCheckpoint{Job("one"), SomeCheckpoint("one", 1, 10).id},
                DeleteWorker{SomeWorker("w1").id}});
  Reopen();
  EXPECT_THAT(Load().jobs[0].checkpoints, SizeIs(1));
  EXPECT_THAT(Load().workers, IsEmpty());
  Put(*store_, {DeleteJob{Job("one"), 3}, DeleteJob{Job("two"), 0}});
  Reopen();
  const LoadedState state = Load();
  EXPECT_THAT(state.jobs, IsEmpty());
  ASSERT_THAT(state.retired, SizeIs(1));
  EXPECT_EQ(state.retired[0].job, Job("one"));
  EXPECT_EQ(state.retired[0].newest_epoch, 3);
  EXPECT_EQ(state.last_sequence, 2) << "a sequence is never given twice";
  EXPECT_THAT(Values({0, 10, "", ""}), IsEmpty());
  Put(*store_, {CreateJob{SomeJob("one", 3)}});
  EXPECT_THAT(Load().retired, IsEmpty());
}

TEST_P(JobStoreContract, JobsComeBackInTheOrderOfTheirCreation) {
  Put(*store_, {CreateJob{SomeJob("zebra", 1)}, CreateJob{SomeJob("ant", 2)},
                CreateJob{SomeJob("middle", 5)}});
  Reopen();
  const LoadedState state = Load();
  ASSERT_THAT(state.jobs, SizeIs(3));
  EXPECT_EQ(state.jobs[0].job.id, Job("zebra"));
  EXPECT_EQ(state.jobs[1].job.id, Job("ant"));
  EXPECT_EQ(state.jobs[2].job.id, Job("middle"));
  EXPECT_EQ(state.last_sequence, 5);
}

int& FolderNumber() {
  static int number = 0;
  return number;
}

std::filesystem::path SqliteFolder() {
  return std::filesystem::path(testing::TempDir()) /
         ("store-" + std::to_string(::getpid()) + "-" + std::to_string(FolderNumber()));
}

std::unique_ptr<Store> OpenSqlite(bool fresh) {
  if (fresh) ++FolderNumber();
  std::filesystem::create_directories(SqliteFolder());
  auto store = MakeSqliteJobStore(
      {.file = SqliteFolder() / "jobs.sqlite", .on_fatal = [](const auto& s) { FAIL() << s; }});
  EXPECT_TRUE(store.ok()) << store.status();
  return *std::move(store);
}

void RemoveSqlite() { std::filesystem::remove_all(SqliteFolder()); }

std::unique_ptr<Store> OpenMemory(bool) { return std::make_unique<MemoryJobStore>(); }

INSTANTIATE_TEST_SUITE_P(Stores, JobStoreContract,
                         testing::Values(StoreUnderTest{"sqlite", OpenSqlite, true, RemoveSqlite},
                                         StoreUnderTest{"memory", OpenMemory, false}),
                         [](const auto& suite) { return suite.param.name; });

}  // namespace
}  // namespace bsnn::store
