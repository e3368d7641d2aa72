// CheckpointService's unary calls.
#include "artifact/digest.h"
#include "server/api/checkpoint_messages.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CheckpointsTest : public ApiFixture {
 protected:
  CheckpointsTest() { StartAttempt("a"); }

  absl::StatusOr<v1::Checkpoint> GetCheckpoint(const std::string& name) {
    v1::GetCheckpointRequest request;
    request.set_name(name);
    return Call(*checkpoints_, &v1::CheckpointService::Stub::GetCheckpoint, request);
  }
  absl::StatusOr<v1::Checkpoint> Pin(const std::string& name, bool pinned) {
    v1::PinCheckpointRequest request;
    request.set_name(name);
    request.set_pinned(pinned);
    return Call(*checkpoints_, &v1::CheckpointService::Stub::PinCheckpoint, request);
  }
  absl::Status Delete(const std::string& name) {
    v1::DeleteCheckpointRequest request;
    request.set_name(name);
    return Call(*checkpoints_, &v1::CheckpointService::Stub::DeleteCheckpoint, request).status();
  }
};

TEST_F(CheckpointsTest, ACheckpointIsToldWithItsFiles) {
  Publish("a", 10, {{"model", "abc"}});
  const auto checkpoint = GetCheckpoint("jobs/a/checkpoints/a1-step-00000010");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->step(), 10);
  EXPECT_EQ(checkpoint->epoch(), 1);
  EXPECT_EQ(checkpoint->attempt_epoch(), 1);
  EXPECT_DOUBLE_EQ(checkpoint->accuracy_ratio(), 0.5);
  EXPECT_EQ(checkpoint->create_time().seconds(), absl::ToUnixSeconds(clock_.Now()));
  ASSERT_EQ(checkpoint->files_size(), 2);
  EXPECT_EQ(checkpoint->files(0).name(), "manifest.json");
  EXPECT_EQ(checkpoint->files(0).sha256(), checkpoint->digest());
  EXPECT_EQ(checkpoint->files(1).name(), "model");
  EXPECT_EQ(checkpoint->files(1).size_bytes(), 3);
  EXPECT_EQ(checkpoint->files(1).sha256(), artifact::Sha256Hex("abc"));
  EXPECT_EQ(checkpoint->size_bytes(), 3 + checkpoint->files(0).size_bytes());
}

TEST_F(CheckpointsTest, NamesAreParsedStrictly) {
  for (const char* name :
       {"", "jobs/a", "jobs/a/checkpoints/", "jobs/A/checkpoints/b", "jobs/a/checkpoints/b/c",
        "jobs/a/checkpoints/../b", "a/checkpoints/b"}) {
    EXPECT_THAT(FieldsOf(GetCheckpoint(name).status()), ElementsAre("name")) << name;
  }
  EXPECT_EQ(ReasonOf(GetCheckpoint("jobs/a/checkpoints/b").status()), "CHECKPOINT_NOT_FOUND");
}

TEST_F(CheckpointsTest, ListedNewestStepFirstInPages) {
  for (const int64_t step : {20, 10, 30}) {
    const auto record = Publish("a", step, {{"model", "abc"}});
    ASSERT_TRUE(Pin("jobs/a/checkpoints/" + record.id.value(), true).ok());
  }
  v1::ListCheckpointsRequest request;
  request.set_parent("jobs/a");
  request.set_page_size(2);
  std::vector<std::vector<int64_t>> pages;
  do {
    const auto reply = Call(*checkpoints_, &v1::CheckpointService::Stub::ListCheckpoints, request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    auto& page = pages.emplace_back();
    for (const auto& checkpoint : reply->checkpoints()) page.push_back(checkpoint.step());
    request.set_page_token(reply->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(pages, ElementsAre(ElementsAre(30, 20), ElementsAre(10)));
}

TEST_F(CheckpointsTest, APinnedOneIsNotDeletedAnUnpinnedOneIsWithItsFiles) {
  Publish("a", 10, {{"model", "abc"}});
  const std::string name = "jobs/a/checkpoints/a1-step-00000010";
  EXPECT_TRUE(Pin(name, true)->pinned());
  EXPECT_EQ(ReasonOf(Delete(name)), "CHECKPOINT_PINNED");
  EXPECT_TRUE(std::filesystem::exists(PathOf("a", "a1-step-00000010", "model")));
  EXPECT_FALSE(Pin(name, false)->pinned());
  ASSERT_TRUE(Delete(name).ok());
  EXPECT_THAT(*blobs_->List(blob::Key()), IsEmpty());
  EXPECT_EQ(ReasonOf(Delete(name)), "CHECKPOINT_NOT_FOUND");
}

}  // namespace
}  // namespace bsnn::api
