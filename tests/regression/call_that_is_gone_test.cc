// Seen: under load the coordinator worked through calls whose callers had given up and come again.
// Wrong: a queued call was done without asking whether anybody waits for it.
#include <absl/synchronization/notification.h>

#include <thread>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

class CallThatIsGone : public ApiFixture {};

TEST_F(CallThatIsGone, IsNotDone) {
  Create("a");
  ASSERT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());
  absl::Notification busy, go;
  ASSERT_TRUE(disk_.TrySubmit("busy", [&] {
    busy.Notify();
    go.WaitForNotification();
  }));
  busy.WaitForNotification();

  grpc::ClientContext context;
  std::thread caller([&] {
    v1::DeleteJobRequest request;
    request.set_name("jobs/a");
    google::protobuf::Empty reply;
    EXPECT_EQ(jobs_->DeleteJob(&context, request, &reply).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  while (!disk_.IsBehind()) clock_.Advance(kWorkWaitMax);  // until the call is in the queue
  context.TryCancel();
  caller.join();
  // Behind the cancellation on the same connection: what is answered here comes after it.
  for (int i = 0; i < 20; ++i) Get("a");
  go.Notify();
  WaitForDisk();
  EXPECT_EQ(Get("a").state(), v1::Job::CANCELLED);
}

}  // namespace
}  // namespace bsnn::api
