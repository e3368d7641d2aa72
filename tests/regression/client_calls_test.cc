// The SDK's calls: Ctrl-C, an answer that never comes, a coordinator's restart, what is read twice.
#include <absl/synchronization/notification.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <thread>

#include "client/sdk/client.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::sdk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ClientCalls : public api::ApiFixture {};

TEST_F(ClientCalls, AStopRequestEndsAQuietWatch) {
  Create("a");
  std::stop_source stop;
  Client client(address(), {.stop = stop.get_token()});
  std::thread stopper;
  const absl::Status status = client.WatchJob("jobs/a", [&](const v1::Job&) {
    if (!stopper.joinable()) stopper = std::thread([&] { stop.request_stop(); });
    return true;  // nothing more will come: the job stays queued
  });
  stopper.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_TRUE(absl::IsCancelled(client.GetJob("jobs/a").status()));
}

TEST_F(ClientCalls, AHistoryReadWithACursorGoesOnWhereItWas) {
  StartAttempt("a");
  for (int i = 0; i < 10; ++i) Say("a", {Point("loss", i, i)});
  Client client(address());
  std::string cursor;
  std::vector<int64_t> steps;
  const auto read = [&] {
    steps.clear();
    return client.StreamMetrics("jobs/a", {.metric = "loss", .cursor = &cursor},
                                [&](const auto& page) {
                                  for (const v1::MetricPoint& point : page)
                                    steps.push_back(point.step());
                                  return true;
                                });
  };
  ASSERT_TRUE(read().ok());
  EXPECT_EQ(steps.size(), 10u);
  Say("a", {Point("loss", 10, 0.5)});
  ASSERT_TRUE(read().ok());
  EXPECT_THAT(steps, ElementsAre(10));
}

TEST_F(ClientCalls, ALayersHistoryIsOnlyThatLayers) {
  StartAttempt("a");
  Say("a", {spec::MetricPoint{"rate", "conv1", "", -1, 5, 1, 0.1},
            spec::MetricPoint{"rate", "conv2", "", -1, 5, 1, 0.2}});
  Client client(address());
  std::vector<std::string> layers;
  ASSERT_TRUE(client
                  .StreamMetrics("jobs/a", {.metric = "rate", .layer = "conv2"},
                                 [&](const auto& page) {
                                   for (const auto& point : page) layers.push_back(point.layer());
                                   return true;
                                 })
                  .ok());
  EXPECT_THAT(layers, ElementsAre("conv2"));
}

/// A coordinator whose first answers go wrong.
class FaultyJobs final : public v1::JobService::Service {
 public:
  absl::Notification end_of_test;
  std::vector<std::string> request_ids;
  int watches = 0;

  /// The first call is taken, and its answer never comes.
  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request,
                         v1::Job* reply) override {
    bool is_first = false;
    {
      const absl::MutexLock lock(&mutex_);
      is_first = request_ids.empty();
      request_ids.push_back(request->request_id());
    }
    if (is_first) end_of_test.WaitForNotification();
    reply->set_name("jobs/a");
    return grpc::Status::OK;
  }

  /// Running, cut, away, then ended: a restart.
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest*,
                        grpc::ServerWriter<v1::Job>* writer) override {
    const int watch = ++watches;
    v1::Job job;
    job.set_state(watch == 1 ? v1::Job::RUNNING : v1::Job::SUCCEEDED);
    if (watch != 2) writer->Write(job);
    return watch < 3 ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "away") : grpc::Status::OK;
  }

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest*, v1::Job*) override {
    ++gets;
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "full"};
  }
  int gets = 0;

 private:
  absl::Mutex mutex_;
};

class FaultyCoordinator : public testing::Test {
 protected:
  FaultyCoordinator() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
    builder.RegisterService(&jobs_);
    server_ = builder.BuildAndStart();
  }
  ~FaultyCoordinator() override {
    if (!jobs_.end_of_test.HasBeenNotified()) jobs_.end_of_test.Notify();
    server_->Shutdown();
  }
  std::string address() const { return "unix:" + (folder_ / "socket").string(); }

  test::TempFolder folder_;
  FaultyJobs jobs_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(FaultyCoordinator, ACreationWithoutAnAnswerIsRepeatedUnderTheSameRequestId) {
  Client client(address(),
                {.call_timeout = absl::Milliseconds(300), .retry_for = absl::ZeroDuration()});
  const auto job = client.CreateJob({});
  ASSERT_TRUE(job.ok()) << job.status();
  jobs_.end_of_test.Notify();
  ASSERT_EQ(jobs_.request_ids.size(), 2u);
  EXPECT_EQ(jobs_.request_ids[0], jobs_.request_ids[1]);
}

TEST(ClientCreation, ThatFailsForWantOfAnAnswerNamesItsRequestId) {
  test::TempFolder folder;
  Client client("unix:" + (folder / "nobody").string(), {.retry_for = absl::ZeroDuration()});
  const absl::Status status =
      client.CreateJob({.request_id = "5b0f6f2e-0000-4000-8000-000000000001"}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("5b0f6f2e-0000-4000-8000-000000000001"));
}

TEST_F(FaultyCoordinator, AWatchOutlastsARestartAndSaysSoOnce) {
  int absences = 0;
  Client client(address(), {.retry_for = absl::ZeroDuration(),
                            .on_absence = [&](const absl::Status&) { ++absences; }});
  std::vector<v1::Job::State> states;
  const absl::Status status = client.WatchJob("jobs/a", [&](const v1::Job& job) {
    states.push_back(job.state());
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(states, ElementsAre(v1::Job::RUNNING, v1::Job::SUCCEEDED));
  EXPECT_EQ(absences, 1);
}

TEST_F(FaultyCoordinator, AFullServiceIsToldAtOnce) {
  Client client(address(), {.retry_for = absl::InfiniteDuration()});
  EXPECT_TRUE(absl::IsResourceExhausted(client.GetJob("jobs/a").status()));
  EXPECT_EQ(jobs_.gets, 1);
}

TEST_F(ClientCalls, AFolderThatIsNoDownloadIsLeftAlone) {
  StartAttempt("a");
  Publish("a", 7, {{"model", "abc"}});
  std::filesystem::create_directories(folder_ / "here.part");
  test::Append(folder_ / "here.part" / "mine", "x");
  Client client(address());
  const std::string name = "jobs/a/checkpoints/a1-step-00000007";
  const auto go_on = [](const DownloadProgress&) { return true; };
  const std::string target = (folder_ / "here").string();
  EXPECT_TRUE(absl::IsFailedPrecondition(client.DownloadCheckpoint(name, target, go_on)));
  EXPECT_EQ(test::Read(folder_ / "here.part" / "mine"), "x");
  // An empty folder is what a crash at the beginning leaves.
  std::filesystem::remove(folder_ / "here.part" / "mine");
  EXPECT_TRUE(client.DownloadCheckpoint(name, target, go_on).ok());
  // A whole one without its mark is what a crash at the end leaves.
  std::filesystem::rename(folder_ / "here", folder_ / "here.part");
  EXPECT_TRUE(client.DownloadCheckpoint(name, target, go_on).ok());
}

}  // namespace
}  // namespace bsnn::sdk
