// UploadCheckpoint as a call: its order of messages, and what a cut leaves.
#include "server/api/upload.h"

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using Request = v1::UploadCheckpointRequest;

class UploadTest : public ApiFixture {
 protected:
  UploadTest() { StartAttempt("a"); }

  struct Answer {
    std::vector<v1::UploadCheckpointResponse> replies;
    absl::Status status;
  };
  /// Sends these and half-closes; everything that comes back.
  Answer Send(const std::vector<Request>& requests) {
    grpc::ClientContext context;
    const auto stream = checkpoints_->UploadCheckpoint(&context);
    for (const Request& request : requests) {
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
    Answer answer;
    v1::UploadCheckpointResponse reply;
    while (stream->Read(&reply)) answer.replies.push_back(reply);
    answer.status = wire::FromGrpc(stream->Finish());
    return answer;
  }
  static Request Begin(const std::string& bytes) {
    Request request;
    *request.mutable_begin() = BeginOf("a", ManifestOf(1, {{"model", bytes}}));
    return request;
  }
  static Request Chunk(int64_t offset, const std::string& data) {
    Request request;
    *request.mutable_file_chunk() = ChunkOf("model", offset, data);
    return request;
  }
  static Request Finish(bool finish = true) {
    Request request;
    request.set_finish(finish);
    return request;
  }
};

TEST_F(UploadTest, AnswersWhatIsCommittedThenThatItIsPublished) {
  const Answer answer = Send({Begin("abcdef"), Chunk(0, "abc"), Chunk(3, "def"), Finish()});
  ASSERT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(answer.replies.size(), 2u);
  ASSERT_EQ(answer.replies[0].committed_size(), 1);
  EXPECT_EQ(answer.replies[0].committed(0).committed_bytes(), 0);
  EXPECT_EQ(answer.replies[1].published().name(), "jobs/a/checkpoints/a1-step-00000001");
  EXPECT_EQ(stats_.checkpoint_write_bytes, 6);
}

TEST_F(UploadTest, AStreamThatEndsEarlyKeepsWhatArrived) {
  const Answer cut = Send({Begin("abcdef"), Chunk(0, "abcd")});
  EXPECT_TRUE(absl::IsInvalidArgument(cut.status)) << cut.status;
  EXPECT_EQ(ReasonOf(cut.status), "UPLOAD_INCOMPLETE");
  const Answer rest = Send({Begin("abcdef"), Chunk(4, "ef"), Finish()});
  ASSERT_TRUE(rest.status.ok()) << rest.status;
  EXPECT_EQ(rest.replies[0].committed(0).committed_bytes(), 4);
}

TEST_F(UploadTest, ARepeatAfterPublicationAnswersAtOnce) {
  ASSERT_TRUE(Send({Begin("abc"), Chunk(0, "abc"), Finish()}).status.ok());
  const Answer again = Send({Begin("abc")});
  ASSERT_TRUE(again.status.ok()) << again.status;
  ASSERT_EQ(again.replies.size(), 1u);
  EXPECT_TRUE(again.replies[0].has_published());
}

TEST_F(UploadTest, MessagesOutOfOrderAreRefused) {
  for (const std::vector<Request>& requests :
       std::vector<std::vector<Request>>{{Chunk(0, "abc")},
                                         {Finish()},
                                         {Request()},
                                         {Begin("abc"), Begin("abc")},
                                         {Begin("abc"), Chunk(0, "abc"), Finish(false)}}) {
    EXPECT_THAT(FieldsOf(Send(requests).status), ElementsAre("kind"));
  }
  EXPECT_FALSE(scheduler_->GetCheckpoint(J("a"), C("a1-step-00000001")).ok());
}

TEST_F(UploadTest, ACallerThatGoesLeavesRoomForTheNext) {
  {
    grpc::ClientContext context;
    const auto stream = checkpoints_->UploadCheckpoint(&context);
    v1::UploadCheckpointResponse reply;
    ASSERT_TRUE(stream->Write(Begin("abcdef")));
    ASSERT_TRUE(stream->Read(&reply));
    context.TryCancel();
    EXPECT_TRUE(absl::IsCancelled(wire::FromGrpc(stream->Finish())));
  }
  EXPECT_TRUE(Send({Begin("abcdef"), Chunk(0, "abcdef"), Finish()}).status.ok());
}

TEST_F(UploadTest, WhatRetentionDropsLosesItsFiles) {
  for (const int64_t step : {1, 2, 3, 4, 5}) {
    Request begin;
    *begin.mutable_begin() = BeginOf("a", ManifestOf(step, {{"model", "abc"}}));
    const Answer answer = Send({begin, Chunk(0, "abc"), Finish()});
    ASSERT_TRUE(answer.status.ok()) << answer.status;
  }
  WaitForDisk();
  const auto page = scheduler_->ListCheckpoints(J("a"), std::nullopt, 100);
  std::vector<std::string> catalogue, stored;
  for (const auto& record : page->checkpoints) catalogue.push_back(record.id.value());
  const std::vector<blob::BlobInfo> blobs = *blobs_->List(blob::Key());
  for (const auto& info : blobs) {
    const std::string& text = info.key.text();
    if (text.ends_with("/model")) stored.push_back(text.substr(2, text.size() - 8));
  }
  EXPECT_LT(catalogue.size(), 5u);
  EXPECT_THAT(stored, testing::UnorderedElementsAreArray(catalogue));
}

}  // namespace
}  // namespace bsnn::api
