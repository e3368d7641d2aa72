/// Checkpoints on their way, without a worker around them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/checkpoint_folder.h"
#include "tests/worker/session/fake_coordinator.h"
#include "tests/worker/support/temp_folder.h"
#include "wire/channel.h"
#include "worker/session/checkpoint_restore.h"
#include "worker/session/checkpoint_upload.h"

namespace bsnn::test {
namespace {

using session::UploadEnd;
using testing::Contains;

class TransferTest : public testing::Test {
 protected:
  TransferTest()
      : coordinator_("unix:" + (folder_ / "socket").string()),
        channel_(wire::MakeChannel(coordinator_.address())) {}

  session::Upload MakeUpload(const std::string& content) {
    const auto written = artifact::WriteCheckpointFolder(
        folder_ / "step-00000007",
        {{"model.safetensors", [&](const artifact::ByteSink& sink) { return sink(content); }}},
        {.step = 7, .epoch = 1, .accuracy_ratio = 0.5, .spec = "{}", .files = {}});
    EXPECT_TRUE(written.ok()) << written.status();
    session::Upload upload;
    upload.worker = *base::WorkerId::Make("worker-a");
    upload.key = {.job = *base::JobId::Make("job-a"), .epoch = 1};
    upload.folder = written->path;
    upload.checkpoint.digest = written->digest;
    upload.checkpoint.step = 7;
    upload.checkpoint.accuracy_ratio = 0.5;
    return upload;
  }
  session::Restore MakeRestore(const std::vector<std::string>& ids) {
    session::Restore restore;
    restore.job = *base::JobId::Make("job-a");
    for (const std::string& id : ids) {
      restore.checkpoints.push_back(*base::CheckpointId::Make(id));
    }
    restore.folder = folder_.path();
    restore.backoff = {.first = absl::Milliseconds(1), .max = absl::Milliseconds(5)};
    restore.bits = [] { return uint64_t{0}; };
    restore.check_free = [](uint64_t) { return absl::OkStatus(); };
    restore.warn = [this](const std::string& text) { warnings_.push_back(text); };
    return restore;
  }
  void Store(const StoredCheckpoint& checkpoint) {
    coordinator_.With(
        [&](FakeState& state) { state.checkpoints[checkpoint.facts.name()] = checkpoint; });
  }

  TempFolder folder_;
  FakeCoordinator coordinator_;
  std::shared_ptr<grpc::Channel> channel_;
  session::CallGroup calls_;
  std::vector<std::string> warnings_;
};

TEST_F(TransferTest, AnUploadedCheckpointArrivesWhole) {
  const std::string content(2'500'000, 'w');
  const auto result = session::UploadCheckpoint(channel_, MakeUpload(content), calls_);
  EXPECT_EQ(result.end, UploadEnd::kPublished) << result.status;
  coordinator_.With([&](FakeState& state) {
    ASSERT_EQ(state.checkpoints.size(), 1);
    EXPECT_EQ(state.checkpoints.begin()->second.files["model.safetensors"], content);
  });
}

TEST_F(TransferTest, AFolderThatIsGoneIsGone) {
  auto upload = MakeUpload("x");
  std::filesystem::remove_all(upload.folder);
  EXPECT_EQ(session::UploadCheckpoint(channel_, upload, calls_).end, UploadEnd::kGone);
}

TEST_F(TransferTest, AFolderThatIsNotWhatWasReportedIsDamaged) {
  auto upload = MakeUpload("x");
  upload.checkpoint.digest[0] ^= 1;
  EXPECT_EQ(session::UploadCheckpoint(channel_, upload, calls_).end, UploadEnd::kDamaged);
  upload = MakeUpload(std::string(100, 'x'));
  std::filesystem::resize_file(upload.folder / "model.safetensors", 50);
  const auto result = session::UploadCheckpoint(channel_, upload, calls_);
  EXPECT_EQ(result.end, UploadEnd::kDamaged) << result.status;
}

TEST_F(TransferTest, ACutAtAnyChunkIsResumedThere) {
  const std::string content(12'345, 'r');
  Store(MakeCheckpoint("job-a", "a1-step-00000009", 9, content));
  for (int64_t cut = 0; cut < 12'345; cut += 1000) {
    coordinator_.With([cut](FakeState& state) {
      state.download_cut_after = cut;
      state.download_offsets.clear();
    });
    const auto path = session::RestoreNewest(channel_, MakeRestore({"a1-step-00000009"}), calls_);
    ASSERT_TRUE(path.ok()) << path.status();
    ASSERT_EQ(path->filename(), "step-00000009");
    EXPECT_TRUE(artifact::VerifyCheckpointFolder(*path).ok());
    EXPECT_EQ(Read(*path / "model.safetensors"), content);
    coordinator_.With([cut](FakeState& state) {
      EXPECT_THAT(state.download_offsets, Contains(cut)) << cut;
      EXPECT_EQ(state.download_offsets.size(), 3) << cut;
    });
    std::filesystem::remove_all(*path);
  }
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(TransferTest, EveryFlippedByteOfAFileIsNoticed) {
  const auto good = MakeCheckpoint("job-a", "a1-step-00000009", 9, "a small model");
  for (const std::string file : {"manifest.json", "model.safetensors"}) {
    for (size_t i = 0; i < good.files.at(file).size(); i += 7) {
      auto bad = good;
      bad.files[file][i] ^= 1;
      Store(bad);
      const auto path = session::RestoreNewest(channel_, MakeRestore({"a1-step-00000009"}), calls_);
      ASSERT_TRUE(path.ok()) << path.status();
      EXPECT_TRUE(path->empty()) << file << " byte " << i;
    }
  }
  EXPECT_FALSE(warnings_.empty());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "step-00000009"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / ".new-restore"));
}

TEST_F(TransferTest, AFullDiskIsAnErrorAndNoOlderCheckpointIsTried) {
  Store(MakeCheckpoint("job-a", "a1-step-00000009", 9, "x"));
  auto restore = MakeRestore({"a1-step-00000009", "a1-step-00000008"});
  restore.check_free = [](uint64_t) { return absl::ResourceExhaustedError("disk is full"); };
  const auto path = session::RestoreNewest(channel_, restore, calls_);
  EXPECT_TRUE(absl::IsResourceExhausted(path.status())) << path.status();
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(TransferTest, ACancelledGroupEndsARestoreThatWaitsForItsCoordinator) {
  coordinator_.Stop();
  calls_.Cancel();
  const auto path = session::RestoreNewest(channel_, MakeRestore({"a1-step-00000009"}), calls_);
  EXPECT_TRUE(absl::IsCancelled(path.status())) << path.status();
}

}  // namespace
}  // namespace bsnn::test
