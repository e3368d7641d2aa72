#include "server/api/download.h"

#include <fstream>

#include "artifact/digest.h"
#include "base/limits.h"
#include "tests/server/api/api_fixture.h"
#include "wire/crc32c.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kName[] = "jobs/a/checkpoints/a1-step-00000001";
constexpr char kId[] = "a1-step-00000001";

class DownloadTest : public ApiFixture {
 protected:
  DownloadTest() { StartAttempt("a"); }

  static v1::DownloadCheckpointRequest RequestAt(int64_t offset, int64_t limit = 0) {
    v1::DownloadCheckpointRequest request;
    request.set_name(kName);
    request.set_file("model");
    request.set_read_offset(offset);
    request.set_read_limit(limit);
    return request;
  }
  Streamed<v1::DownloadCheckpointResponse> Download(const v1::DownloadCheckpointRequest& request) {
    grpc::ClientContext context;
    return ReadToEnd(*checkpoints_->DownloadCheckpoint(&context, request));
  }
  /// The chunks' bytes; each chunk is where it should be and has its checksum.
  static std::string BytesOf(const Streamed<v1::DownloadCheckpointResponse>& streamed,
                             int64_t offset) {
    std::string bytes;
    for (const auto& message : streamed.messages) {
      EXPECT_EQ(message.chunk().offset(), offset + static_cast<int64_t>(bytes.size()));
      EXPECT_EQ(message.chunk().crc32c(), wire::Crc32c(message.chunk().data()));
      bytes += message.chunk().data();
    }
    return bytes;
  }
  void FlipByte(const std::filesystem::path& path, int64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    const int byte = file.get();
    file.seekp(offset);
    file.put(static_cast<char>(byte ^ 1));
  }
};

TEST_F(DownloadTest, EveryOffsetGivesTheRest) {
  const std::string bytes = "sixteen bytes...";
  Publish("a", 1, {{"model", bytes}});
  for (size_t offset = 0; offset <= bytes.size(); ++offset) {
    const auto streamed = Download(RequestAt(static_cast<int64_t>(offset)));
    ASSERT_TRUE(streamed.status.ok()) << streamed.status;
    EXPECT_EQ(BytesOf(streamed, static_cast<int64_t>(offset)), bytes.substr(offset));
    EXPECT_EQ(streamed.messages[0].size_bytes(), bytes.size());
    EXPECT_EQ(streamed.messages[0].sha256(), artifact::Sha256Hex(bytes));
  }
}

TEST_F(DownloadTest, EveryLimitEndsThere) {
  Publish("a", 1, {{"model", "abcdef"}});
  for (int64_t limit = 1; limit <= 8; ++limit) {
    const auto streamed = Download(RequestAt(2, limit));
    ASSERT_TRUE(streamed.status.ok()) << streamed.status;
    EXPECT_EQ(BytesOf(streamed, 2), std::string("cdef").substr(0, static_cast<size_t>(limit)));
  }
}

TEST_F(DownloadTest, ALongFileComesInChunksWithItsFactsInTheFirst) {
  const std::string bytes(2 * base::kChunkBytes + 5, 'x');
  Publish("a", 1, {{"model", bytes}});
  const auto streamed = Download(RequestAt(0));
  ASSERT_TRUE(streamed.status.ok()) << streamed.status;
  ASSERT_EQ(streamed.messages.size(), 3u);
  EXPECT_EQ(BytesOf(streamed, 0), bytes);
  EXPECT_EQ(streamed.messages[1].size_bytes(), 0);
  EXPECT_THAT(streamed.messages[1].sha256(), IsEmpty());
  EXPECT_EQ(stats_.checkpoint_read_bytes, bytes.size());
}

TEST_F(DownloadTest, AnEmptyFileIsOneEmptyChunk) {
  Publish("a", 1, {{"model", ""}});
  const auto streamed = Download(RequestAt(0));
  ASSERT_TRUE(streamed.status.ok()) << streamed.status;
  ASSERT_EQ(streamed.messages.size(), 1u);
  EXPECT_EQ(streamed.messages[0].sha256(), artifact::Sha256Hex(""));
}

TEST_F(DownloadTest, WrongFieldsAreNamedTogether) {
  v1::DownloadCheckpointRequest request;
  request.set_name("jobs/a");
  request.set_read_offset(-1);
  request.set_read_limit(-1);
  EXPECT_THAT(FieldsOf(Download(request).status),
              ElementsAre("name", "file", "read_offset", "read_limit"));
}

TEST_F(DownloadTest, WhatIsNotThereIsSaidPrecisely) {
  Publish("a", 1, {{"model", "abc"}});
  auto request = RequestAt(4);
  const absl::Status beyond = Download(request).status;
  EXPECT_TRUE(absl::IsOutOfRange(beyond)) << beyond;
  EXPECT_EQ(ReasonOf(beyond), "OFFSET_OUT_OF_RANGE");
  request = RequestAt(0);
  request.set_file("../model");
  EXPECT_EQ(ReasonOf(Download(request).status), "CHECKPOINT_FILE_NOT_FOUND");
  request = RequestAt(0);
  request.set_if_digest_match("other");
  const absl::Status mismatch = Download(request).status;
  EXPECT_TRUE(absl::IsFailedPrecondition(mismatch)) << mismatch;
  EXPECT_EQ(ReasonOf(mismatch), "DIGEST_MISMATCH");
  request = RequestAt(0);
  request.set_name("jobs/a/checkpoints/other");
  EXPECT_EQ(ReasonOf(Download(request).status), "CHECKPOINT_NOT_FOUND");
}

TEST_F(DownloadTest, NobodyGetsTheLastChunkOfADamagedFile) {
  const std::string bytes(2 * base::kChunkBytes + 5, 'x');
  Publish("a", 1, {{"model", bytes}});
  FlipByte(PathOf("a", kId, "model"), 3);
  const auto streamed = Download(RequestAt(0));
  EXPECT_TRUE(absl::IsDataLoss(streamed.status)) << streamed.status;
  EXPECT_EQ(ReasonOf(streamed.status), "DIGEST_MISMATCH");
  EXPECT_EQ(streamed.messages.size(), 2u);
  EXPECT_EQ(stats_.checkpoint_verify_failures, 1);
}

TEST_F(DownloadTest, DamageToAFileThatWasReadBeforeIsFoundBeforeItsBlockIsSent) {
  const std::string bytes(3 * base::kChunkBytes + 5, 'x');
  Publish("a", 1, {{"model", bytes}});
  ASSERT_TRUE(Download(RequestAt(0)).status.ok());
  FlipByte(PathOf("a", kId, "model"), base::kChunkBytes + 7);
  const auto whole = Download(RequestAt(0));
  EXPECT_TRUE(absl::IsDataLoss(whole.status)) << whole.status;
  EXPECT_EQ(whole.messages.size(), 1u);
  // From the middle too, for the blocks that are read whole.
  const auto rest = Download(RequestAt(1000));
  EXPECT_TRUE(absl::IsDataLoss(rest.status)) << rest.status;
  EXPECT_EQ(BytesOf(rest, 1000), bytes.substr(1000, base::kChunkBytes - 1000));
  const auto behind = Download(RequestAt(2 * base::kChunkBytes));
  ASSERT_TRUE(behind.status.ok()) << behind.status;
  EXPECT_EQ(BytesOf(behind, 2 * base::kChunkBytes), bytes.substr(2 * base::kChunkBytes));
}

TEST(BlockSums, ForgetsTheFilesThatCameFirst) {
  BlockSums sums(5);
  sums.Put("a", {1, 2});
  sums.Put("b", {3, 4});
  sums.Put("c", {5, 6});
  EXPECT_EQ(sums.Find("a"), nullptr);
  ASSERT_NE(sums.Find("b"), nullptr);
  EXPECT_THAT(*sums.Find("c"), ElementsAre(5, 6));
  sums.Put("larger than all", {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(sums.Find("larger than all"), nullptr);
  EXPECT_NE(sums.Find("b"), nullptr);
}

TEST_F(DownloadTest, AFileOfAnotherSizeOrGoneIsDataLoss) {
  Publish("a", 1, {{"model", "abcdef"}});
  const auto path = PathOf("a", kId, "model");
  std::filesystem::resize_file(path, 5);
  EXPECT_TRUE(absl::IsDataLoss(Download(RequestAt(0)).status));
  std::filesystem::resize_file(path, 7);
  EXPECT_TRUE(absl::IsDataLoss(Download(RequestAt(0)).status));
  std::filesystem::remove(path);
  const auto gone = Download(RequestAt(0));
  EXPECT_TRUE(absl::IsDataLoss(gone.status)) << gone.status;
  EXPECT_THAT(gone.messages, IsEmpty());
  EXPECT_EQ(stats_.checkpoint_verify_failures, 3);
}

}  // namespace
}  // namespace bsnn::api
