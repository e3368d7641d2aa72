// Checkpoint folders on a disk whose n-th call fails, for every n: the last good one stays readable
// and only whole ones are ever listed.
#include <gtest/gtest.h>

#include <map>

#include "artifact/checkpoint_folder.h"
#include "tests/fault/sweep.h"

namespace bsnn::artifact {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<VerifiedCheckpoint> WriteStep(const fs::path& folder, int64_t step,
                                             const std::string& model) {
  const auto content = [](std::string bytes) {
    return [bytes](const ByteSink& sink) { return sink(bytes); };
  };
  return WriteCheckpointFolder(
      folder / CheckpointFolderName(step),
      {{"training.safetensors", content("state")}, {"model.safetensors", content(model)}},
      {"full", step, 1, 0.5, "{}", {}});
}

/// Writes a second checkpoint, writes it again, and removes the first.
class Checkpoints : public test::FaultRun {
 public:
  void Prepare(const fs::path& folder) override {
    folder_ = folder.string();
    digests_[1] = WriteStep(folder, 1, "first")->digest;
  }

  void Do(const fs::path& folder) override {
    Write(folder, 2, "second");
    Write(folder, 2, "second again");
    Remember(RemoveCheckpointFolder(folder / CheckpointFolderName(1)));
    if (last_.ok()) digests_.erase(1);
    first_may_be_gone_ = true;
    Remember(RemoveLeftovers(folder));
  }

  void Check(const fs::path& folder) override {
    for (const fs::path& path : ListCheckpointFolders(folder)) {
      EXPECT_TRUE(VerifyCheckpointFolder(path).ok()) << path << " is listed and not whole";
    }
    for (const auto& [step, digest] : digests_) {
      if (step == 1 && first_may_be_gone_) continue;
      const auto verified = VerifyCheckpointFolder(folder / CheckpointFolderName(step));
      ASSERT_TRUE(verified.ok()) << verified.status();
      EXPECT_EQ(verified->digest, digest);
    }
    EXPECT_TRUE(RemoveLeftovers(folder).ok());
    const auto third = WriteStep(folder, 3, "third");
    EXPECT_TRUE(third.ok()) << third.status();
  }

 private:
  void Write(const fs::path& folder, int64_t step, const std::string& model) {
    const auto written = WriteStep(folder, step, model);
    Remember(written.status());
    if (written.ok()) {
      digests_[step] = written->digest;
      return;
    }
    // It holds what it held, or the whole new one.
    const auto now = VerifyCheckpointFolder(folder / CheckpointFolderName(step));
    if (now.ok()) digests_[step] = now->digest;
  }

  void Remember(const absl::Status& status) {
    last_ = status;
    if (status.ok()) return;
    EXPECT_TRUE(test::SaysWhatFailed(status)) << status;
    EXPECT_NE(status.message().find(folder_), std::string::npos) << status;
  }

  std::string folder_;
  std::map<int64_t, std::string> digests_;  // of what was acknowledged
  bool first_may_be_gone_ = false;
  absl::Status last_;
};

TEST(CheckpointFaults, TheLastGoodOneStaysReadable) {
  test::Sweep([] { return std::make_unique<Checkpoints>(); }, 15);
}

}  // namespace
}  // namespace bsnn::artifact
