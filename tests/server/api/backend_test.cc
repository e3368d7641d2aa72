// The gate, the work pool, the hub, and the counter of calls.
#include <absl/synchronization/notification.h>
#include <grpcpp/generic/generic_stub.h>

#include "base/logging.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;

TEST(Gate, IsShutUntilItIsOpened) {
  Gate gate({});
  const absl::Status status = gate.EnterStream();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), "STARTING");
}

class GateTest : public ApiFixture {
 protected:
  GateTest() : ApiFixture({.require_deadline = true, .streams_max = 2}) {}
};

TEST_F(GateTest, LetsAsManyStreamsInAsAllowed) {
  ASSERT_TRUE(gate_.EnterStream().ok());
  ASSERT_TRUE(gate_.EnterStream().ok());
  const absl::Status status = gate_.EnterStream();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), "LIMIT_EXCEEDED");
  gate_.LeaveStream();
  EXPECT_TRUE(gate_.EnterStream().ok());
}

TEST_F(GateTest, AStreamBeyondTheLimitIsToldSo) {
  ASSERT_TRUE(gate_.EnterStream().ok());
  ASSERT_TRUE(gate_.EnterStream().ok());
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name("jobs/a");
  EXPECT_EQ(ReasonOf(ReadToEnd(*jobs_->WatchJob(&context, request)).status), "LIMIT_EXCEEDED");
}

TEST_F(GateTest, ACallWithoutADeadlineIsRefusedWhereOneIsRequired) {
  v1::ListJobsRequest request;
  const auto refused = Call(*jobs_, &v1::JobService::Stub::ListJobs, request);
  EXPECT_TRUE(absl::IsInvalidArgument(refused.status()));
  EXPECT_EQ(ReasonOf(refused.status()), "DEADLINE_REQUIRED");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
  v1::ListJobsResponse reply;
  EXPECT_TRUE(jobs_->ListJobs(&context, request, &reply).ok());
}

TEST(WorkPool, DeclinesWhenFullAndRunsWhatIsQueuedWhenClosed) {
  absl::Notification started, go;
  size_t done = 0;  // of the one thread
  test::FakeClock clock;
  WorkPool pool("pool", 1, clock);
  ASSERT_TRUE(pool.TrySubmit("task", [&] {
    started.Notify();
    go.WaitForNotification();
  }));
  started.WaitForNotification();
  for (size_t i = 0; i < kWorkQueueMax; ++i) ASSERT_TRUE(pool.TrySubmit("task", [&] { ++done; }));
  EXPECT_FALSE(pool.TrySubmit("task", [&] { ++done; }));
  go.Notify();
  pool.Close();
  EXPECT_EQ(done, kWorkQueueMax);
  EXPECT_FALSE(pool.TrySubmit("task", [&] { ++done; }));
}

TEST(WorkPool, IsBehindWhileTheOldestTaskHasWaitedTooLong) {
  test::FakeClock clock;
  absl::Notification started, go;
  WorkPool pool("pool", 1, clock);
  EXPECT_FALSE(pool.IsBehind());
  ASSERT_TRUE(pool.TrySubmit("first", [&] {
    started.Notify();
    go.WaitForNotification();
  }));
  started.WaitForNotification();
  clock.Advance(kWorkWaitMax);
  EXPECT_FALSE(pool.IsBehind());  // nobody waits
  ASSERT_TRUE(pool.TrySubmit("second", [] {}));
  EXPECT_FALSE(pool.IsBehind());
  clock.Advance(kWorkWaitMax);
  EXPECT_TRUE(pool.IsBehind());
  go.Notify();
  pool.Close();
  EXPECT_FALSE(pool.IsBehind());
}

TEST(WorkPoolDeathTest, ATaskThatThrowsEndsTheProgramUnderItsName) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto throw_on_a_pool = [] {
    (void)base::StartLogging("test", "info");  // to standard error
    test::FakeClock clock;
    WorkPool pool("pool", 1, clock);
    pool.TrySubmit("fragile", [] { throw std::runtime_error("why"); });
  };
  EXPECT_DEATH(throw_on_a_pool(), "task_threw task=fragile error=\"why\"");
}

class CountingListener : public Listener {
 public:
  void Wake() override { ++wakes; }
  int wakes = 0;
};

class HubTest : public ApiFixture {};

TEST_F(HubTest, WakesFollowersOfTheJobOnceTheChangeIsDurable) {
  Create("a");
  Create("b");
  const auto of_a = std::make_shared<CountingListener>();
  const auto of_b = std::make_shared<CountingListener>();
  hub_.Subscribe(J("a"), of_a);
  hub_.Subscribe(J("b"), of_b);
  store_.Hold();
  ASSERT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());
  EXPECT_EQ(of_a->wakes, 0);
  store_.Release();
  EXPECT_EQ(of_a->wakes, 1);
  EXPECT_EQ(of_b->wakes, 0);
  hub_.Unsubscribe(J("b"), of_b.get());
  hub_.Close();
  EXPECT_TRUE(hub_.closing());
  EXPECT_EQ(of_a->wakes, 2);
  EXPECT_EQ(of_b->wakes, 0);
}

TEST_F(HubTest, QueuedJobsHearOfTheQueueAtABoundedRate) {
  Create("a");
  Create("b");
  const auto of_b = std::make_shared<CountingListener>();
  hub_.Subscribe(J("b"), of_b);
  hub_.Tick(absl::Seconds(1));  // takes the changes so far
  hub_.WakeWhenQueueMoves(J("b"));
  ASSERT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());
  hub_.Tick(absl::Seconds(10));
  EXPECT_EQ(of_b->wakes, 1);
  Create("c");
  hub_.Tick(absl::Seconds(20));
  EXPECT_EQ(of_b->wakes, 1);  // it did not ask again
  hub_.WakeWhenQueueMoves(J("b"));
  hub_.Tick(absl::Seconds(20) + ChangeHub::kQueueNewsEvery / 2);
  EXPECT_EQ(of_b->wakes, 2);  // the news of "c" waited for someone to ask
  hub_.WakeWhenQueueMoves(J("b"));
  Create("d");
  hub_.Tick(absl::Seconds(20) + ChangeHub::kQueueNewsEvery);
  EXPECT_EQ(of_b->wakes, 2);  // too soon after the last
  hub_.Tick(absl::Seconds(21) + ChangeHub::kQueueNewsEvery);
  EXPECT_EQ(of_b->wakes, 3);
}

TEST_F(HubTest, AnErrorThatRestsOnAChangeIsToldOnceThatIsDurable) {
  store_.Hold();
  ASSERT_TRUE(scheduler_->CreateJob(backend_->Now(), {.wanted_id = "a"}).ok());
  std::vector<std::string> told;
  WhenTellable(*backend_, absl::AbortedError(""), [&] { told.push_back("aborted"); });
  WhenTellable(*backend_, absl::NotFoundError(""), [&] { told.push_back("not found"); });
  WhenTellable(*backend_, absl::InvalidArgumentError(""), [&] { told.push_back("invalid"); });
  EXPECT_THAT(told, ElementsAre("invalid"));
  store_.Release();
  EXPECT_THAT(told, ElementsAre("invalid", "aborted", "not found"));
}

class CounterTest : public ApiFixture {
 protected:
  int64_t CountOf(const std::string& method, const std::string& code) {
    for (const HandledCalls& calls : counter_.Counts()) {
      if (calls.method == method && calls.code == code) return calls.count;
    }
    return -1;
  }

  /// Calls `method` with these bytes as the request.
  absl::Status CallRaw(const std::string& method, const std::string& bytes) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    return wire::FromGrpc(status);
  }
};

TEST_F(CounterTest, CountsByMethodAndCode) {
  Create("a");
  Call(*jobs_, &v1::JobService::Stub::CreateJob, RequestFor("a")).IgnoreError();
  Get("a");
  EXPECT_EQ(CountOf("CreateJob", "OK"), 1);
  EXPECT_EQ(CountOf("CreateJob", "ALREADY_EXISTS"), 1);
  EXPECT_EQ(CountOf("GetJob", "OK"), 1);
  EXPECT_EQ(CountOf("ListJobs", "OK"), 0);
  EXPECT_EQ(CountOf("ListJobs", "NOT_FOUND"), -1);
}

TEST_F(CounterTest, AMessageThatDoesNotParseIsAnInvalidArgument) {
  const absl::Status status = CallRaw("/bsnn.v1.JobService/GetJob", "\xff\xff\xff");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(ReasonOf(status), "REQUEST_MALFORMED");
  EXPECT_EQ(CountOf("GetJob", "INVALID_ARGUMENT"), 1);
}

}  // namespace
}  // namespace bsnn::api
