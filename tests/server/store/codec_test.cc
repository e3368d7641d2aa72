// The bytes of stored records are frozen, and bytes of any content are read or refused.
#include "server/store/sqlite/codec.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace bsnn::store {
namespace {

using testing::HasSubstr;

std::string Hex(const std::string& bytes) { return absl::BytesToHexString(bytes); }

JobRecord SomeJob() {
  JobRecord job;
  job.id = *base::JobId::Make("one");
  job.id_wanted = true;
  job.request_id = "r";
  job.display_name = "n";
  job.labels = PackedLabels::Map{{"k", "v"}, {"l", ""}};
  job.create_time = absl::FromUnixNanos(1);
  return job;
}

JobStatus SomeStatus() {
  JobStatus status;
  status.state = JobState::kFailed;
  status.version = 9;
  status.newest_epoch = 3;
  status.restart_count = 2;
  status.start_time = absl::FromUnixNanos(6);
  status.failure_class = FailureClass::kHang;
  status.message = "why";
  status.metric_points = 300;
  status.progress = {10, 20, 1, 2, 0.5, 0, absl::FromUnixNanos(-1)};
  status.result = JobResult{1, 20, *base::CheckpointId::Make("a1"), "d"};
  return status;
}

AttemptRecord SomeAttempt() {
  AttemptRecord attempt;
  attempt.epoch = 3;
  attempt.worker = *base::WorkerId::Make("w");
  attempt.incarnation = "i";
  attempt.slot = 1;
  attempt.start_time = absl::FromUnixNanos(2);
  attempt.finished = true;
  return attempt;
}

CheckpointRecord SomeCheckpoint() {
  CheckpointRecord checkpoint;
  checkpoint.id = *base::CheckpointId::Make("c");
  checkpoint.step = 5;
  checkpoint.files = {{"m", 3, "d"}};
  checkpoint.accuracy_ratio = 1;
  checkpoint.pinned = true;
  checkpoint.create_time = absl::FromUnixNanos(3);
  return checkpoint;
}

WorkerRecord SomeWorker() {
  WorkerRecord worker;
  worker.id = *base::WorkerId::Make("w");
  worker.slots = {{1, spec::Device::kCuda, "H", 2}};
  worker.labels = {{"k", "v"}};
  worker.data_sets = {{spec::DataName::kCifar10, "f"}};
  worker.register_time = absl::FromUnixNanos(4);
  worker.last_seen_time = absl::FromUnixNanos(5);
  return worker;
}

TEST(Codec, RecordsHaveTheseBytes) {
  EXPECT_EQ(Hex(Encode(SomeJob())), "0106036f6e650a01720e016e120b06016b0a017606016c0a001402");
  EXPECT_EQ(Hex(Encode(SomeStatus())),
            "01041208120c061004180c280a2e0377687930d80434003a13041408280c02100415000000000000e03f1c"
            "013e1205000000000000f03f08280e0261311201644000");
  EXPECT_EQ(Hex(Encode(SomeAttempt())), "0104060a01770e0169100214041c00240028002c023000");
  EXPECT_EQ(Hex(Encode(SomeCheckpoint())),
            "010a01630c0a100014001e0a060806016d08060e0164200025000000000000f03f28022c063000");
  EXPECT_EQ(Hex(Encode(SomeWorker())),
            "010601770e0b0609040208040e014810041a0606016b0a01761e07060504060a016620022408280a2c00");
}

TEST(Codec, AQueuedJobIsSmall) {
  EXPECT_LT(Encode(SomeJob()).size() + Encode(JobStatus()).size(), 100U);
}

TEST(Codec, WhatIsAbsentIsTheDefault) {
  const auto status = DecodeStatus("\1");
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->state, JobState::kQueued);
  EXPECT_EQ(status->version, 1);
  EXPECT_EQ(status->end_time, absl::InfiniteFuture());
  EXPECT_EQ(status->not_before, absl::InfinitePast());
  EXPECT_FALSE(status->result.has_value());
  EXPECT_FALSE(DecodeWorker("\1")->data_sets.has_value());
}

TEST(Codec, SaysWhatItCannotRead) {
  EXPECT_THAT(std::string(DecodeStatus("").status().message()), HasSubstr("job status"));
  EXPECT_THAT(std::string(DecodeStatus("\2").status().message()), HasSubstr("version"));
  EXPECT_THAT(std::string(DecodeAttempt("\1\x06\1z").status().message()), HasSubstr("field 1"));
  EXPECT_TRUE(absl::IsDataLoss(DecodeStatus("\1\x04\xc8\x01").status())) << "there is no state 100";
}

/// Damages `bytes` in many ways; whatever is read can be written and read again.
template <class Decode>
void ReadDamaged(const std::string& bytes, Decode&& decode) {
  std::mt19937_64 random(1);
  int refused = 0;
  for (size_t size = 0; size < bytes.size(); ++size) (void)decode(bytes.substr(0, size));
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = bytes;
    for (uint64_t n = random() % 3 + 1; n > 0; --n) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    const auto read = decode(damaged);
    if (!read.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(read.status())) << read.status();
      ++refused;
      continue;
    }
    EXPECT_EQ(Encode(*decode(Encode(*read))), Encode(*read));
  }
  EXPECT_GT(refused, 1000);
}

TEST(Codec, SurvivesDamage) {
  ReadDamaged(Encode(SomeJob()), DecodeJob);
  ReadDamaged(Encode(SomeStatus()), DecodeStatus);
  ReadDamaged(Encode(SomeAttempt()), DecodeAttempt);
  ReadDamaged(Encode(SomeCheckpoint()), DecodeCheckpoint);
  ReadDamaged(Encode(SomeWorker()), DecodeWorker);
}

}  // namespace
}  // namespace bsnn::store
