// WatchJob, StreamMetrics and StreamLogs.
#include "server/api/job_streams.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class StreamsTest : public ApiFixture {
 protected:
  static v1::WatchJobRequest Watch(const std::string& name) {
    v1::WatchJobRequest request;
    request.set_name(name);
    return request;
  }
  static v1::StreamMetricsRequest Metrics(bool follow) {
    v1::StreamMetricsRequest request;
    request.set_parent("jobs/a");
    request.set_follow(follow);
    return request;
  }
  static v1::StreamLogsRequest Logs(bool follow) {
    v1::StreamLogsRequest request;
    request.set_parent("jobs/a");
    request.set_follow(follow);
    return request;
  }
  Streamed<v1::StreamMetricsResponse> ReadMetrics(const v1::StreamMetricsRequest& request) {
    grpc::ClientContext context;
    return ReadToEnd(*jobs_->StreamMetrics(&context, request));
  }
  Streamed<v1::StreamLogsResponse> ReadLogs(const v1::StreamLogsRequest& request) {
    grpc::ClientContext context;
    return ReadToEnd(*jobs_->StreamLogs(&context, request));
  }
  static std::vector<double> ValuesOf(const std::vector<v1::StreamMetricsResponse>& messages) {
    std::vector<double> values;
    for (const auto& message : messages) {
      for (const auto& point : message.points()) values.push_back(point.value());
    }
    return values;
  }
  static std::vector<std::string> LinesOf(const std::vector<v1::StreamLogsResponse>& messages) {
    std::vector<std::string> lines;
    for (const auto& message : messages) {
      for (const auto& entry : message.entries()) lines.push_back(entry.line().message());
    }
    return lines;
  }
  static spec::LogLine Line(const std::string& message) { return {.message = message}; }
};

TEST_F(StreamsTest, AWatchSendsTheJobNowAndAfterEachChangeToItsEnd) {
  Create("a");
  grpc::ClientContext context;
  const auto reader = jobs_->WatchJob(&context, Watch("jobs/a"));
  v1::Job job;
  ASSERT_TRUE(reader->Read(&job));
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  ASSERT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());
  ASSERT_TRUE(reader->Read(&job));
  EXPECT_EQ(job.state(), v1::Job::CANCELLED);
  EXPECT_FALSE(reader->Read(&job));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(StreamsTest, AWatchOfAnEndedJobSendsItOnce) {
  Create("a");
  ASSERT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());
  grpc::ClientContext context;
  const auto streamed = ReadToEnd(*jobs_->WatchJob(&context, Watch("jobs/a")));
  EXPECT_TRUE(streamed.status.ok());
  EXPECT_EQ(streamed.messages.size(), 1u);
}

TEST_F(StreamsTest, AWatchIsToldWhyItCannotBe) {
  grpc::ClientContext unknown, misnamed;
  EXPECT_EQ(ReasonOf(ReadToEnd(*jobs_->WatchJob(&unknown, Watch("jobs/a"))).status),
            "JOB_NOT_FOUND");
  EXPECT_THAT(FieldsOf(ReadToEnd(*jobs_->WatchJob(&misnamed, Watch("a"))).status),
              ElementsAre("name"));
}

TEST_F(StreamsTest, StreamsEndWhenTheCoordinatorStops) {
  Create("a");
  grpc::ClientContext watch_context, logs_context;
  const auto watch = jobs_->WatchJob(&watch_context, Watch("jobs/a"));
  const auto logs = jobs_->StreamLogs(&logs_context, Logs(/*follow=*/true));
  v1::Job job;
  ASSERT_TRUE(watch->Read(&job));
  hub_.Close();
  const absl::Status status = ReadToEnd(*watch).status;
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(ReasonOf(status), "SERVER_DRAINING");
  EXPECT_EQ(ReasonOf(ReadToEnd(*logs).status), "SERVER_DRAINING");
}

TEST_F(StreamsTest, WithoutFollowAStreamEndsAtWhatThereIs) {
  StartAttempt("a");
  EXPECT_THAT(ReadMetrics(Metrics(false)).messages, IsEmpty());
  Say("a", {Point("loss", 1, 3), Point("flips", 1, 8), Point("loss", 2, 2), Line("one")});
  auto request = Metrics(false);
  EXPECT_THAT(ValuesOf(ReadMetrics(request).messages), ElementsAre(3, 8, 2));
  request.set_metric("loss");
  EXPECT_THAT(ValuesOf(ReadMetrics(request).messages), ElementsAre(3, 2));
  const auto logs = ReadLogs(Logs(false));
  EXPECT_TRUE(logs.status.ok());
  EXPECT_THAT(LinesOf(logs.messages), ElementsAre("one"));
}

TEST_F(StreamsTest, AFollowedStreamGetsWhatComesAndEndsWithTheJob) {
  StartAttempt("a");
  Say("a", {Point("loss", 1, 3), Line("one")});
  grpc::ClientContext metrics_context, logs_context;
  const auto metrics = jobs_->StreamMetrics(&metrics_context, Metrics(true));
  const auto logs = jobs_->StreamLogs(&logs_context, Logs(true));
  v1::StreamMetricsResponse points;
  v1::StreamLogsResponse lines;
  ASSERT_TRUE(metrics->Read(&points));
  ASSERT_TRUE(logs->Read(&lines));
  EXPECT_THAT(ValuesOf({points}), ElementsAre(3));
  EXPECT_THAT(LinesOf({lines}), ElementsAre("one"));
  Say("a", {Point("loss", 2, 2), Line("two")});
  ASSERT_TRUE(metrics->Read(&points));
  ASSERT_TRUE(logs->Read(&lines));
  EXPECT_THAT(ValuesOf({points}), ElementsAre(2));
  EXPECT_THAT(LinesOf({lines}), ElementsAre("two"));
  Fail("a");
  EXPECT_TRUE(ReadToEnd(*metrics).status.ok());
  EXPECT_TRUE(ReadToEnd(*logs).status.ok());
}

TEST_F(StreamsTest, TheLastLinesOfAnEndedJobAreSentOnceTheyAreDurable) {
  StartAttempt("a");
  Say("a", {Line("first words")});
  store_.Hold();
  Say("a", {Line("last words")});
  Fail("a");
  grpc::ClientContext context;
  const auto reader = jobs_->StreamLogs(&context, Logs(true));  // while they are on their way
  v1::StreamLogsResponse first;
  ASSERT_TRUE(reader->Read(&first));
  EXPECT_THAT(LinesOf({first}), ElementsAre("first words"));
  ReadLogs(Logs(false));  // gives the one above time to end too early
  store_.Release();
  const auto rest = ReadToEnd(*reader);
  EXPECT_TRUE(rest.status.ok()) << rest.status;
  EXPECT_THAT(LinesOf(rest.messages), ElementsAre("last words"));
}

TEST_F(StreamsTest, ACursorGoesOnAfterWhatItCameWith) {
  StartAttempt("a");
  Say("a", {Point("loss", 1, 3), Line("one")});
  auto metrics = Metrics(false);
  auto logs = Logs(false);
  metrics.set_cursor(ReadMetrics(metrics).messages.back().cursor());
  logs.set_cursor(ReadLogs(logs).messages.back().cursor());
  Say("a", {Point("loss", 2, 2), Line("two")});
  EXPECT_THAT(ValuesOf(ReadMetrics(metrics).messages), ElementsAre(2));
  EXPECT_THAT(LinesOf(ReadLogs(logs).messages), ElementsAre("two"));
  metrics.set_metric("loss");  // another scope
  const absl::Status status = ReadMetrics(metrics).status;
  EXPECT_EQ(ReasonOf(status), "PAGE_TOKEN_INVALID");
  EXPECT_THAT(FieldsOf(status), ElementsAre("cursor"));
}

TEST_F(StreamsTest, ATailStartsAtTheLastLines) {
  StartAttempt("a");
  Say("a", {Line("one"), Line("two"), Line("three")});
  auto request = Logs(false);
  request.set_tail(2);
  EXPECT_THAT(LinesOf(ReadLogs(request).messages), ElementsAre("two", "three"));
}

TEST_F(StreamsTest, WrongFieldsAreNamedTogether) {
  auto logs = Logs(false);
  logs.set_parent("a");
  logs.set_tail(100'001);
  EXPECT_THAT(FieldsOf(ReadLogs(logs).status), ElementsAre("parent", "tail"));
  logs = Logs(false);
  logs.set_tail(1);
  logs.set_cursor("x");
  EXPECT_THAT(FieldsOf(ReadLogs(logs).status), ElementsAre("tail"));
  auto metrics = Metrics(false);
  metrics.set_metric(std::string(65, 'x'));
  EXPECT_THAT(FieldsOf(ReadMetrics(metrics).status), ElementsAre("metric"));
}

TEST_F(StreamsTest, ACallerThatGoesIsForgotten) {
  Create("a");
  {
    grpc::ClientContext context;
    const auto reader = jobs_->WatchJob(&context, Watch("jobs/a"));
    v1::Job job;
    ASSERT_TRUE(reader->Read(&job));
    context.TryCancel();
    EXPECT_TRUE(absl::IsCancelled(wire::FromGrpc(reader->Finish())));
  }
  EXPECT_TRUE(scheduler_->CancelJob(backend_->Now(), J("a"), "").ok());
}

}  // namespace
}  // namespace bsnn::api
