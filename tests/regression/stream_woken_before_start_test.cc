// Seen: the coordinator ended with std::bad_function_call when a stream was opened while its job
// changed. Wrong: the stream subscribed to its job before it had a source to ask.
#include <absl/synchronization/notification.h>

#include "server/api/stream_reactor.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

class StreamWokenBeforeStart : public ApiFixture {};

TEST_F(StreamWokenBeforeStart, AsksItsSourceOnceItHasOne) {
  Create("a");
  ASSERT_TRUE(gate_.EnterStream().ok());
  const auto stream = StreamReactor<v1::Job>::Make(gate_, history_, J("a"));
  ASSERT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());  // wakes who follows "a"
  absl::Notification pool_is_done;
  ASSERT_TRUE(history_.TrySubmit("test", [&] { pool_is_done.Notify(); }));
  pool_is_done.WaitForNotification();

  absl::Notification asked;
  stream->Start([&](v1::Job&) -> absl::StatusOr<Step> {
    asked.Notify();
    return Step::kWait;
  });
  asked.WaitForNotification();
  history_.Close();
  stream->OnDone();  // gRPC never had it
}

}  // namespace
}  // namespace bsnn::api
