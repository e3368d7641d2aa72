#include "server/api/blob_files.h"

#include <thread>

#include "server/api/blob_sweeper.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;

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

TEST_F(BlobFilesTest, WithoutRoomInTheQueueTheSweeperRemovesThem) {
  Stage("a/b/model");
  BlobSweeper sweeper(*scheduler_, *blobs_, clock_, {});
  backend_->sweeper = &sweeper;
  disk_.Close();
  bool done = false;
  RemoveBlobsWhenDurable(*backend_, 0, J("a"), {C("b")}, [&] { done = true; });
  EXPECT_TRUE(done);
  while (!Stored().empty()) std::this_thread::yield();
  backend_->sweeper = nullptr;
}

}  // namespace
}  // namespace bsnn::api
