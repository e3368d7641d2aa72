// Seen: a reader's `logs -f` went on with, and could cancel, another job that had been given the id
// of the deleted one. Wrong: streams held a job's name, not the job; and they called CancelJob to
// learn which changes are to be waited for.
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

class StreamOfANewJob : public ApiFixture {
 protected:
  /// Ends and deletes "a" and creates it anew, all in one durable moment.
  void Replace() {
    store_.Hold();
    Fail("a");
    ASSERT_TRUE(scheduler_->DeleteJob(backend_->Now(), J("a"), "").ok());
    scheduler::CreateJobRequest request;
    request.wanted_id = "a";
    ASSERT_TRUE(scheduler_->CreateJob(backend_->Now(), request).ok());
    store_.Release();
  }
  static void GiveUpLater(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  }
};

TEST_F(StreamOfANewJob, LogsEndWithTheJobTheyBeganWith) {
  StartAttempt("a");
  Say("a", {spec::LogLine{.message = "of the old job"}});
  grpc::ClientContext context;
  GiveUpLater(context);
  v1::StreamLogsRequest request;
  request.set_parent("jobs/a");
  request.set_follow(true);
  const auto reader = jobs_->StreamLogs(&context, request);
  v1::StreamLogsResponse lines;
  ASSERT_TRUE(reader->Read(&lines));
  Replace();
  EXPECT_EQ(ReasonOf(ReadToEnd(*reader).status), "JOB_NOT_FOUND");
  EXPECT_EQ(Get("a").wish(), v1::Job::RUN);  // nobody cancelled the new one
}

TEST_F(StreamOfANewJob, AWatchEndsWithTheJobItBeganWith) {
  StartAttempt("a");
  grpc::ClientContext context;
  GiveUpLater(context);
  v1::WatchJobRequest request;
  request.set_name("jobs/a");
  const auto reader = jobs_->WatchJob(&context, request);
  v1::Job job;
  ASSERT_TRUE(reader->Read(&job));
  Replace();
  const auto rest = ReadToEnd(*reader);
  EXPECT_TRUE(rest.messages.empty()) << rest.messages[0].DebugString();
  EXPECT_EQ(ReasonOf(rest.status), "JOB_NOT_FOUND");
}

}  // namespace
}  // namespace bsnn::api
