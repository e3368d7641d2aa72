#include "server/api/blob_files.h"

#include <fstream>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class BlobFilesTest : public ApiFixture {
 protected:
  void Stage(const std::string& key) {
    ASSERT_TRUE(blobs_->Append(*blob::Key::Parse(key), 0, "abc").ok());
  }
  std::vector<std::string> Stored() {
    std::vector<std::string> keys;
    const std::vector<blob::BlobInfo> blobs = *blobs_->List(blob::Key());
    for (const auto& info : blobs) keys.push_back(info.key.text());
    return keys;
  }
};

TEST_F(BlobFilesTest, TheSweepKeepsTheCatalogueAndTheLiveAttemptsUpload) {
  StartAttempt("a");
  Publish("a", 1, {{"model", "abc"}});
  Stage("a/a1-step-00000002/model");  // attempt 1 is live: its upload may go on
  Stage("a/a0-step-00000002/model");  // of no live attempt
  Stage("a/other/model");
  Stage("nosuch/a1-step-00000001/model");
  SweepOrphans(*backend_);
  EXPECT_THAT(Stored(), ElementsAre("a/a1-step-00000001/manifest.json", "a/a1-step-00000001/model",
                                    "a/a1-step-00000002/model"));
  Fail("a");
  SweepOrphans(*backend_);
  EXPECT_THAT(Stored(),
              ElementsAre("a/a1-step-00000001/manifest.json", "a/a1-step-00000001/model"));
}

TEST_F(BlobFilesTest, FilesAreRemovedOnceTheTicketIsDurable) {
  Stage("a/b/model");
  Stage("a/c/model");
  EXPECT_THAT(*ListStoredCheckpoints(*blobs_, J("a")), ElementsAre(C("b"), C("c")));
  store_.Hold();
  const auto made = scheduler_->CreateJob(backend_->Now(), {.wanted_id = "x"});
  ASSERT_TRUE(made.ok());
  bool done = false;
  RemoveBlobsWhenDurable(*backend_, made->ticket, J("a"), {C("b")}, [&] { done = true; });
  WaitForDisk();
  EXPECT_FALSE(done);
  EXPECT_THAT(Stored(), ElementsAre("a/b/model", "a/c/model"));
  store_.Release();
  WaitForDisk();
  EXPECT_TRUE(done);
  EXPECT_THAT(Stored(), ElementsAre("a/c/model"));
}

TEST_F(BlobFilesTest, RemovalDoesNotDependOnRoomInTheQueue) {
  Stage("a/b/model");
  disk_.Close();
  bool done = false;
  RemoveBlobsWhenDurable(*backend_, 0, J("a"), {C("b")}, [&] { done = true; });
  EXPECT_TRUE(done);
  EXPECT_THAT(Stored(), IsEmpty());
}

TEST_F(BlobFilesTest, VerifyingFindsEveryKindOfDamage) {
  StartAttempt("a");
  const auto record = Publish("a", 1, {{"model", "abcdef"}});
  EXPECT_TRUE(VerifyStored(*blobs_, record).ok());
  const auto path = PathOf("a", record.id.value(), "model");
  for (const std::string damaged : {"abcdeX", "abcde", "abcdefg", ""}) {
    std::ofstream(path, std::ios::trunc) << damaged;
    const absl::Status status = VerifyStored(*blobs_, record);
    EXPECT_TRUE(absl::IsDataLoss(status)) << damaged << status;
    EXPECT_EQ(base::ReasonOf(status).metadata["file"], "model");
  }
  std::filesystem::remove(path);
  EXPECT_EQ(ReasonOf(VerifyStored(*blobs_, record)), "DIGEST_MISMATCH");
}

}  // namespace
}  // namespace bsnn::api
