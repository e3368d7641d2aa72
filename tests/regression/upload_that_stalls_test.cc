// Seen: uploads of stopped workers held streams until the coordinator let nobody in any more.
// Wrong: an upload that began and sent nothing more had no limit of time.
#include <atomic>
#include <thread>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

class UploadThatStalls : public ApiFixture {};

TEST_F(UploadThatStalls, IsEnded) {
  StartAttempt("a");
  grpc::ClientContext context;
  const auto upload = checkpoints_->UploadCheckpoint(&context);
  v1::UploadCheckpointRequest begin;
  *begin.mutable_begin() = BeginOf("a", ManifestOf(1, {{"model", "abc"}}));
  ASSERT_TRUE(upload->Write(begin));
  v1::UploadCheckpointResponse reply;
  ASSERT_TRUE(upload->Read(&reply));

  std::atomic<bool> over = false;
  std::thread reader([&] {
    EXPECT_FALSE(upload->Read(&reply));
    over = true;
  });
  while (!over) {
    clock_.Advance(absl::Minutes(1));
    gate_.idle_uploads().Tick(clock_.Steady());
    std::this_thread::yield();
  }
  reader.join();
  const absl::Status status = wire::FromGrpc(upload->Finish());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "UPLOAD_IDLE");
}

}  // namespace
}  // namespace bsnn::api
