#include "artifact/checkpoint_folder.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "base/file.h"

namespace bsnn::artifact {
namespace {

namespace fs = std::filesystem;

class CheckpointFolder : public testing::Test {
 protected:
  CheckpointFolder() {
    std::string name = testing::TempDir() + "/checkpoint_XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~CheckpointFolder() override { fs::remove_all(folder_); }

  absl::StatusOr<VerifiedCheckpoint> Write(int64_t step, const std::string& model) {
    const auto content = [](std::string bytes) {
      return [bytes](const ByteSink& sink) { return sink(bytes); };
    };
    return WriteCheckpointFolder(
        folder_ / CheckpointFolderName(step),
        {{"training.safetensors", content("state")}, {"model.safetensors", content(model)}},
        {"full", step, 1, 0.5, "{}", {}});
  }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path folder_;
};

TEST_F(CheckpointFolder, VerifiesWhatWasWritten) {
  const auto written = Write(7, "weights");
  ASSERT_TRUE(written.ok()) << written.status();
  const auto verified = VerifyCheckpointFolder(folder_ / "step-00000007");
  ASSERT_TRUE(verified.ok()) << verified.status();
  EXPECT_EQ(verified->digest, written->digest);
  EXPECT_EQ(verified->manifest.step, 7);
  EXPECT_EQ(verified->manifest.files.size(), 2u);
  EXPECT_EQ(verified->size_bytes(), 12 + verified->manifest_text.size());
  EXPECT_EQ(Names(), std::vector<std::string>{"step-00000007"});
}

TEST_F(CheckpointFolder, RefusesEverySingleFlippedBit) {
  ASSERT_TRUE(Write(1, "weights").ok());
  const fs::path checkpoint = folder_ / "step-00000001";
  for (const char* name : {"model.safetensors", "training.safetensors", "manifest.json"}) {
    const std::string good = base::ReadFile(checkpoint / name, 1 << 20).value();
    const std::string digest = VerifyCheckpointFolder(checkpoint)->digest;
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      std::ofstream(checkpoint / name, std::ios::binary) << bad;
      const auto verified = VerifyCheckpointFolder(checkpoint);
      // A manifest can be changed into another valid one; the digest then says so.
      if (verified.ok()) {
        EXPECT_STREQ(name, "manifest.json");
        EXPECT_NE(verified->digest, digest);
      } else {
        EXPECT_EQ(verified.status().code(), absl::StatusCode::kDataLoss) << verified.status();
      }
    }
    std::ofstream(checkpoint / name, std::ios::binary) << good;
  }
}

TEST_F(CheckpointFolder, RefusesMissingCutAndLongerFiles) {
  const auto spoil = [&](auto&& change) {
    EXPECT_TRUE(Write(1, "weights").ok());
    change(folder_ / "step-00000001" / "model.safetensors");
    return VerifyCheckpointFolder(folder_ / "step-00000001").status();
  };
  EXPECT_TRUE(absl::IsDataLoss(spoil([](const fs::path& path) { fs::remove(path); })));
  EXPECT_TRUE(absl::IsDataLoss(spoil([](const fs::path& path) { fs::resize_file(path, 3); })));
  EXPECT_TRUE(absl::IsDataLoss(spoil([](const fs::path& path) { fs::resize_file(path, 8); })));
  EXPECT_TRUE(absl::IsDataLoss(
      spoil([](const fs::path& path) { fs::remove(path.parent_path() / "manifest.json"); })));
  EXPECT_TRUE(absl::IsNotFound(VerifyCheckpointFolder(folder_ / "none").status()));
}

TEST_F(CheckpointFolder, ReplacesOneThatIsThere) {
  ASSERT_TRUE(Write(1, "old").ok());
  const auto written = Write(1, "newer");
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(VerifyCheckpointFolder(folder_ / "step-00000001")->digest, written->digest);
  EXPECT_EQ(Names(), std::vector<std::string>{"step-00000001"});
}

TEST_F(CheckpointFolder, LeavesNothingWhereAWriteFails) {
  const auto fail = [](const ByteSink&) { return absl::ResourceExhaustedError("disk full"); };
  const auto written =
      WriteCheckpointFolder(folder_ / "step-00000001", {{"model.safetensors", fail}}, Manifest());
  EXPECT_EQ(written.status().message(), "disk full");
  EXPECT_TRUE(Names().empty());
}

TEST_F(CheckpointFolder, ListsNewestFirstAndOnlyWholeNames) {
  ASSERT_TRUE(Write(2, "a").ok());
  ASSERT_TRUE(Write(100'000'000, "a").ok());
  ASSERT_TRUE(Write(10, "a").ok());
  fs::create_directory(folder_ / ".new-step-00000011");
  fs::create_directory(folder_ / "step-12");
  fs::create_directory(folder_ / "other");
  EXPECT_EQ(ListCheckpointFolders(folder_),
            (std::vector<fs::path>{folder_ / "step-100000000", folder_ / "step-00000010",
                                   folder_ / "step-00000002"}));
  EXPECT_TRUE(ListCheckpointFolders(folder_ / "none").empty());
}

TEST_F(CheckpointFolder, RemovesCheckpointsAndLeftovers) {
  ASSERT_TRUE(Write(2, "a").ok());
  fs::create_directories(folder_ / ".new-step-00000011" / "x");
  fs::create_directories(folder_ / ".old-step-00000001");
  EXPECT_TRUE(RemoveCheckpointFolder(folder_ / "step-00000002").ok());
  EXPECT_TRUE(RemoveCheckpointFolder(folder_ / "step-00000002").ok());
  EXPECT_TRUE(RemoveLeftovers(folder_).ok());
  EXPECT_TRUE(Names().empty());
}

}  // namespace
}  // namespace bsnn::artifact
