// Seen: with a full disk of checkpoints jobs ended as hung, and nobody was told why; clients saw
// paths of the coordinator's machine. Wrong: a full disk was RESOURCE_EXHAUSTED like any limit,
// nothing was logged or counted, and the errors of files were passed on as they were.
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

class FullDiskOfCheckpoints : public ApiFixture {};

TEST_F(FullDiskOfCheckpoints, IsToldAsSuchAndCounted) {
  StartAttempt("a");
  const std::vector<FileToUpload> files = {{"model", "abc"}};
  UploadSession session(*backend_);
  ASSERT_TRUE(session.Begin(BeginOf("a", ManifestOf(1, files))).ok());
  const auto staged = folder_ / "blobs" / "staged" / "a" / "a1-step-00000001";
  std::filesystem::create_directories(staged);
  std::filesystem::create_symlink("/dev/full", staged / "model");
  const absl::Status status = session.Append(ChunkOf("model", 0, "abc"));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "DISK_FULL");
  EXPECT_EQ(std::string(status.message()).find(folder_.path().string()), std::string::npos)
      << status;
  EXPECT_EQ(stats_.checkpoint_disk_full, 1);

  std::filesystem::remove(staged / "model");
  EXPECT_TRUE(session.Append(ChunkOf("model", 0, "abc")).ok());
  EXPECT_FALSE(stats_.disk_is_full);
}

}  // namespace
}  // namespace bsnn::api
