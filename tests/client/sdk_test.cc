// The SDK against the coordinator's services in this process.
#include <fmt/format.h>

#include "client/sdk/client.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::sdk {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

class SdkTest : public api::ApiFixture {
 protected:
  v1::Job SomeJob() {
    v1::Job job;
    job.mutable_spec();
    return job;
  }

  Client client_{address()};
};

TEST_F(SdkTest, AJobIsCreatedUnderARequestIdOfItsOwn) {
  const auto job = client_.CreateJob({.job = SomeJob(), .job_id = "a"});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "jobs/a");
  const auto view = scheduler_->GetJob(backend_->Now(), api::J("a"));
  EXPECT_THAT(view->record.request_id,
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
}

TEST_F(SdkTest, ListsWalkEveryPage) {
  for (int i = 0; i < 120; ++i) Create(fmt::format("job-{}", i));
  EXPECT_EQ(client_.ListJobs({})->size(), 120u);
  const auto some = client_.ListJobs({.count_max = 75});
  ASSERT_EQ(some->size(), 75u);
  EXPECT_EQ(some->front().name(), "jobs/job-119");
  EXPECT_EQ(some->back().name(), "jobs/job-45");
}

TEST_F(SdkTest, ErrorsKeepTheirReasonAndFields) {
  EXPECT_EQ(api::ReasonOf(client_.GetJob("jobs/nosuch").status()), "JOB_NOT_FOUND");
  EXPECT_THAT(api::FieldsOf(client_.GetJob("nosuch").status()), ElementsAre("name"));
}

TEST_F(SdkTest, AWatchEndsWithTheJobOrWhenItsCallbackSaysSo) {
  Create("a");
  int seen = 0;
  EXPECT_TRUE(client_.WatchJob("jobs/a", [&](const v1::Job&) { return ++seen < 1; }).ok());
  EXPECT_EQ(seen, 1);
  std::vector<v1::Job::State> states;
  const absl::Status status = client_.WatchJob("jobs/a", [&](const v1::Job& job) {
    states.push_back(job.state());
    if (states.size() == 1) {
      EXPECT_TRUE(client_.CancelJob("jobs/a").ok());
    }
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(states, ElementsAre(v1::Job::QUEUED, v1::Job::CANCELLED));
}

TEST_F(SdkTest, HistoriesAreReadToTheirEnd) {
  StartAttempt("a");
  for (int i = 0; i < 900; ++i) {
    Say("a", {spec::LogLine{.message = std::to_string(i)}, Point("loss", i, i)});
  }
  std::vector<std::string> lines;
  ASSERT_TRUE(client_
                  .StreamLogs("jobs/a", {},
                              [&](const auto& entries) {
                                for (const auto& entry : entries) {
                                  lines.push_back(entry.line().message());
                                }
                                return true;
                              })
                  .ok());
  ASSERT_EQ(lines.size(), 900u);  // more than one message holds
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i], std::to_string(i));
  size_t points = 0;
  ASSERT_TRUE(client_
                  .StreamMetrics("jobs/a", {.metric = "loss"},
                                 [&](const auto& page) {
                                   points += page.size();
                                   return true;
                                 })
                  .ok());
  EXPECT_EQ(points, 900u);
}

TEST_F(SdkTest, ACheckpointIsDownloadedAsItWasUploaded) {
  StartAttempt("a");
  std::string bytes(3 << 20, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761 >> 24);
  Publish("a", 7, {{"model", bytes}, {"empty", ""}});
  const auto target = folder_ / "checkpoint";
  const absl::Status status = client_.DownloadCheckpoint(
      "jobs/a/checkpoints/a1-step-00000007", target.string(), [](const auto&) { return true; });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(test::Read(target / "model"), bytes);
  EXPECT_EQ(std::filesystem::file_size(target / "empty"), 0u);
}

TEST(SdkRetry, WithoutTimeToRetryAnAbsentCoordinatorIsToldAtOnce) {
  test::TempFolder folder;
  Client client("unix:" + (folder / "nobody").string(), {.retry_for = absl::ZeroDuration()});
  EXPECT_TRUE(absl::IsUnavailable(client.GetJob("jobs/a").status()));
}

}  // namespace
}  // namespace bsnn::sdk
