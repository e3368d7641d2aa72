// Holds the adapters of libs/blob/blob_store.h to its contract.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "artifact/digest.h"
#include "base/fault.h"
#include "blob/file/file_blob_store.h"
#include "blob/memory/memory_blob_store.h"

namespace bsnn::blob {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Key At(const std::string& text) { return *Key::Parse(text); }

struct BlobsUnderTest {
  std::string name;
  std::function<std::unique_ptr<BlobStore>(const std::filesystem::path&)> open;
};

class BlobStoreContract : public testing::TestWithParam<BlobsUnderTest> {
 protected:
  BlobStoreContract()
      : folder_(std::filesystem::path(testing::TempDir()) /
                ("blobs-" + std::to_string(::getpid()) + "-" + std::to_string(++count_))),
        blobs_(GetParam().open(folder_)) {}
  ~BlobStoreContract() override { std::filesystem::remove_all(folder_); }

  void Publish(const std::string& key, const std::string& bytes) {
    if (!bytes.empty()) {
      ASSERT_EQ(*blobs_->Append(At(key), 0, bytes), bytes.size());
    }
    const absl::Status status = blobs_->Commit(At(key), bytes.size(), artifact::Sha256Hex(bytes));
    ASSERT_TRUE(status.ok()) << status;
  }

  static int count_;
  const std::filesystem::path folder_;
  std::unique_ptr<BlobStore> blobs_;
};
int BlobStoreContract::count_ = 0;

TEST_P(BlobStoreContract, StagesInPiecesThenPublishes) {
  EXPECT_EQ(*blobs_->StagedSize(At("job/c/model")), 0u);
  EXPECT_EQ(*blobs_->Append(At("job/c/model"), 0, "abc"), 3u);
  EXPECT_EQ(*blobs_->Append(At("job/c/model"), 3, "def"), 6u);
  EXPECT_EQ(*blobs_->StagedSize(At("job/c/model")), 6u);
  EXPECT_TRUE(absl::IsNotFound(blobs_->Read(At("job/c/model"), 0, 10).status()));
  ASSERT_TRUE(blobs_->Commit(At("job/c/model"), 6, artifact::Sha256Hex("abcdef")).ok());
  EXPECT_EQ(*blobs_->Read(At("job/c/model"), 0, 10), "abcdef");
  EXPECT_EQ(*blobs_->Read(At("job/c/model"), 4, 1), "e");
  EXPECT_EQ(*blobs_->Read(At("job/c/model"), 6, 10), "");
  EXPECT_TRUE(absl::IsOutOfRange(blobs_->Read(At("job/c/model"), 7, 1).status()));
}

TEST_P(BlobStoreContract, AppendsOnlyAtTheEnd) {
  ASSERT_TRUE(blobs_->Append(At("a"), 0, "abc").ok());
  for (const uint64_t offset : {0, 2, 4}) {
    const auto status = blobs_->Append(At("a"), offset, "x").status();
    EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("3"));
  }
  EXPECT_EQ(*blobs_->StagedSize(At("a")), 3u);
}

TEST_P(BlobStoreContract, RefusesWrongContentAndDropsIt) {
  ASSERT_TRUE(blobs_->Append(At("a"), 0, "abc").ok());
  const auto status = blobs_->Commit(At("a"), 3, artifact::Sha256Hex("abd"));
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_EQ(base::ReasonOf(status).reason, "DIGEST_MISMATCH");
  EXPECT_EQ(*blobs_->StagedSize(At("a")), 0u);
  EXPECT_TRUE(absl::IsNotFound(blobs_->Stat(At("a")).status()));
  ASSERT_TRUE(blobs_->Append(At("a"), 0, "abc").ok());
  EXPECT_TRUE(absl::IsDataLoss(blobs_->Commit(At("a"), 4, artifact::Sha256Hex("abc"))));
}

TEST_P(BlobStoreContract, PublishedBlobsNeverChange) {
  Publish("a/b", "abc");
  EXPECT_TRUE(absl::IsAlreadyExists(blobs_->Append(At("a/b"), 3, "d").status()));
  EXPECT_TRUE(blobs_->Commit(At("a/b"), 3, artifact::Sha256Hex("abc")).ok()) << "repeats are fine";
  EXPECT_EQ(*blobs_->StagedSize(At("a/b")), 3u);
  EXPECT_EQ(*blobs_->Read(At("a/b"), 0, 9), "abc");
}

TEST_P(BlobStoreContract, AnEmptyBlobNeedsNoAppend) {
  Publish("a/empty", "");
  EXPECT_EQ(*blobs_->Read(At("a/empty"), 0, 5), "");
  EXPECT_EQ(blobs_->Stat(At("a/empty"))->size_bytes, 0u);
}

TEST_P(BlobStoreContract, ListsAndDeletesSubtrees) {
  Publish("job/c1/model", "1");
  Publish("job/c2/model", "22");
  Publish("job2/c1/model", "333");
  ASSERT_TRUE(blobs_->Append(At("job/c1/training"), 0, "4444").ok());
  EXPECT_THAT(*blobs_->List(At("job")), ElementsAre(BlobInfo{At("job/c1/model"), 1, true},
                                                    BlobInfo{At("job/c1/training"), 4, false},
                                                    BlobInfo{At("job/c2/model"), 2, true}));
  EXPECT_EQ(blobs_->List(Key())->size(), 4u);
  ASSERT_TRUE(blobs_->Delete(At("job/c1")).ok());
  EXPECT_EQ(blobs_->List(At("job"))->size(), 1u);
  ASSERT_TRUE(blobs_->Delete(At("job")).ok());
  EXPECT_THAT(*blobs_->List(At("job")), IsEmpty());
  EXPECT_EQ(blobs_->List(Key())->size(), 1u) << "job2 is not below job";
  EXPECT_TRUE(blobs_->Delete(At("nothing")).ok());
  EXPECT_FALSE(blobs_->Delete(Key()).ok());
}

TEST_P(BlobStoreContract, StatTellsStagedFromPublished) {
  EXPECT_TRUE(absl::IsNotFound(blobs_->Stat(At("a/b")).status()));
  ASSERT_TRUE(blobs_->Append(At("a/b"), 0, "abc").ok());
  EXPECT_EQ(*blobs_->Stat(At("a/b")), (BlobInfo{At("a/b"), 3, false}));
  ASSERT_TRUE(blobs_->Commit(At("a/b"), 3, artifact::Sha256Hex("abc")).ok());
  EXPECT_EQ(*blobs_->Stat(At("a/b")), (BlobInfo{At("a/b"), 3, true}));
  EXPECT_TRUE(absl::IsNotFound(blobs_->Stat(At("a")).status())) << "a folder is no blob";
}

TEST_P(BlobStoreContract, APublishedBlobIsNotCommittedWithAnotherSize) {
  Publish("a/b", "abc");
  const auto status = blobs_->Commit(At("a/b"), 4, artifact::Sha256Hex("abcd"));
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(*blobs_->Read(At("a/b"), 0, 9), "abc") << "and it stays";
}

TEST_P(BlobStoreContract, ADroppedUploadBeginsAnew) {
  ASSERT_TRUE(blobs_->Append(At("a/b"), 0, "abx").ok());
  ASSERT_TRUE(absl::IsDataLoss(blobs_->Commit(At("a/b"), 3, artifact::Sha256Hex("abc"))));
  Publish("a/b", "abc");
  EXPECT_EQ(*blobs_->Read(At("a/b"), 0, 9), "abc");
}

TEST_P(BlobStoreContract, ADeletedBlobIsGoneAndItsKeyFree) {
  Publish("a/b", "abc");
  ASSERT_TRUE(blobs_->Delete(At("a/b")).ok());
  EXPECT_TRUE(absl::IsNotFound(blobs_->Read(At("a/b"), 0, 1).status()));
  EXPECT_EQ(*blobs_->StagedSize(At("a/b")), 0u);
  Publish("a/b", "other");
  EXPECT_EQ(*blobs_->Read(At("a/b"), 0, 9), "other");
}

TEST_P(BlobStoreContract, ListIsSortedByKey) {
  for (const char* key : {"a-b/x", "a/x", "a.b/x", "a/b/x", "a0/x"}) Publish(key, "1");
  const auto infos = *blobs_->List(Key());
  ASSERT_EQ(infos.size(), 5u);
  EXPECT_TRUE(std::is_sorted(infos.begin(), infos.end(),
                             [](const auto& a, const auto& b) { return a.key < b.key; }));
  EXPECT_EQ(blobs_->List(At("a"))->size(), 2u);
  EXPECT_EQ(blobs_->List(At("a/x"))->size(), 1u) << "a blob is at its own key";
}

TEST_P(BlobStoreContract, BytesOfAnyValueAndSizeComeBack) {
  std::string bytes(300'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31);
  Publish("a", bytes);
  EXPECT_EQ(*blobs_->Read(At("a"), 0, 1 << 20), bytes);
  EXPECT_EQ(*blobs_->Read(At("a"), 299'999, 1 << 20), bytes.substr(299'999));
}

// What retention does while the next checkpoint comes in.
TEST_P(BlobStoreContract, DeletingANeighbourDisturbsNoUpload) {
  constexpr int kRounds = 1000;
  std::thread remover([this] {
    for (int i = 0; i < kRounds; ++i) {
      const absl::Status status = blobs_->Delete(At("job/old/model"));
      EXPECT_TRUE(status.ok()) << status;
      (void)blobs_->Append(At("job/old/model"), 0, "x");
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    const Key key = At("job/new/model");
    const auto size = blobs_->Append(key, 0, "abc");
    EXPECT_TRUE(size.ok()) << size.status();
    const absl::Status status = blobs_->Commit(key, 3, artifact::Sha256Hex("abc"));
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(blobs_->Delete(key).ok());
    if (HasFailure()) break;
  }
  remover.join();
}

INSTANTIATE_TEST_SUITE_P(
    Adapters, BlobStoreContract,
    testing::Values(BlobsUnderTest{"file",
                                   [](const auto& folder) -> std::unique_ptr<BlobStore> {
                                     return *FileBlobStore::Make(folder);
                                   }},
                    BlobsUnderTest{"memory",
                                   [](const auto&) -> std::unique_ptr<BlobStore> {
                                     return std::make_unique<MemoryBlobStore>();
                                   }}),
    [](const auto& suite) { return suite.param.name; });

TEST(FileBlobStore, GoesOnAfterARestart) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("blobs-restart-" + std::to_string(::getpid()));
  {
    auto blobs = *FileBlobStore::Make(folder);
    ASSERT_TRUE(blobs->Append(At("a/b/c"), 0, "abc").ok());
  }
  auto blobs = *FileBlobStore::Make(folder);
  EXPECT_EQ(*blobs->StagedSize(At("a/b/c")), 3u);
  EXPECT_EQ(*blobs->Append(At("a/b/c"), 3, "d"), 4u);
  EXPECT_TRUE(blobs->Commit(At("a/b/c"), 4, artifact::Sha256Hex("abcd")).ok());
  std::filesystem::remove_all(folder);
}

TEST(Key, RefusesWhatIsNoPathOfOurs) {
  for (const char* text : {"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "A", "a b",
                           "a/b/c/d/e", "\xc3\xa9", "a\n"}) {
    EXPECT_FALSE(Key::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Key::Parse(std::string(64, 'a')).ok());
  EXPECT_TRUE(Key::Parse("job-1/a1-step-00000020/model.safetensors").ok());
}

}  // namespace
}  // namespace bsnn::blob
