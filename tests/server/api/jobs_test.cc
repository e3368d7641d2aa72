// JobService's unary calls, and ListWorkers, which pages in the same way.
#include <fmt/format.h>

#include "base/limits.h"
#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kUuid[] = "123e4567-e89b-12d3-a456-426614174000";

class JobsTest : public ApiFixture {
 protected:
  absl::StatusOr<v1::Job> TryCreate(const v1::CreateJobRequest& request) {
    return Call(*jobs_, &v1::JobService::Stub::CreateJob, request);
  }
  absl::StatusOr<v1::Job> Cancel(const std::string& id, const std::string& etag = "") {
    v1::CancelJobRequest request;
    request.set_name("jobs/" + id);
    request.set_etag(etag);
    return Call(*jobs_, &v1::JobService::Stub::CancelJob, request);
  }
  absl::Status Delete(const std::string& id, const std::string& etag = "") {
    v1::DeleteJobRequest request;
    request.set_name("jobs/" + id);
    request.set_etag(etag);
    return Call(*jobs_, &v1::JobService::Stub::DeleteJob, request).status();
  }
  absl::StatusOr<v1::ListJobsResponse> List(const v1::ListJobsRequest& request) {
    return Call(*jobs_, &v1::JobService::Stub::ListJobs, request);
  }
  absl::StatusOr<v1::ListMetricsResponse> ListMetrics(const v1::ListMetricsRequest& request) {
    return Call(*jobs_, &v1::JobService::Stub::ListMetrics, request);
  }
  static std::vector<std::string> NamesOf(const v1::ListJobsResponse& reply) {
    std::vector<std::string> names;
    for (const v1::Job& job : reply.jobs()) names.push_back(job.name());
    return names;
  }
};

TEST_F(JobsTest, ValidateOnlyAnswersWithoutANameAndCreatesNothing) {
  auto request = RequestFor("a");
  request.set_validate_only(true);
  const auto preview = TryCreate(request);
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_THAT(preview->name(), IsEmpty());
  EXPECT_TRUE(preview->has_spec());
  EXPECT_EQ(List({})->jobs_size(), 0);
}

TEST_F(JobsTest, ValidateOnlyFindsWhatCreatingWouldFind) {
  auto request = RequestFor("a");
  request.set_request_id(kUuid);
  ASSERT_TRUE(TryCreate(request).ok());
  request.set_validate_only(true);
  EXPECT_TRUE(TryCreate(request).ok());  // the same request once more
  request.clear_request_id();
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "JOB_ID_TAKEN");
  request.mutable_job()->mutable_spec()->mutable_training()->set_epochs(-1);
  EXPECT_THAT(FieldsOf(TryCreate(request).status()), ElementsAre("job.spec.training.epochs"));
}

TEST_F(JobsTest, TheSameRequestIdGivesTheSameJob) {
  auto request = RequestFor("");
  request.set_request_id(kUuid);
  const auto first = TryCreate(request);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(TryCreate(request)->name(), first->name());
  request.mutable_job()->set_display_name("other");
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "REQUEST_ID_REUSED");
}

TEST_F(JobsTest, AnOldEtagIsRefusedAndNamesTheNewOne) {
  const std::string etag = Create("a").etag();
  ASSERT_THAT(etag, testing::Not(IsEmpty()));
  const absl::Status refused = Cancel("a", "W/other").status();
  EXPECT_TRUE(absl::IsAborted(refused)) << refused;
  EXPECT_EQ(ReasonOf(refused), "ETAG_MISMATCH");
  EXPECT_EQ(base::ReasonOf(refused).metadata.at("etag"), etag);
  EXPECT_EQ(Get("a").state(), v1::Job::QUEUED);
  const auto cancelled = Cancel("a", etag);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state(), v1::Job::CANCELLED);
  EXPECT_NE(cancelled->etag(), etag);
  EXPECT_EQ(ReasonOf(Delete("a", etag)), "ETAG_MISMATCH");
  EXPECT_TRUE(Delete("a", cancelled->etag()).ok());
}

TEST_F(JobsTest, OnlyAJobThatHasEndedIsDeletedAndItsBlobsWithIt) {
  StartAttempt("a");
  Publish("a", 10, {{"model", "abc"}});
  EXPECT_EQ(ReasonOf(Delete("a")), "JOB_NOT_ENDED");
  Fail("a");
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_THAT(*blobs_->List(blob::Key()), IsEmpty());
  EXPECT_EQ(ReasonOf(Delete("a")), "JOB_NOT_FOUND");
}

TEST_F(JobsTest, NamesAreCheckedBeforeAnythingElse) {
  for (const char* id : {"", "A", "a/b", "..", "a b"}) {
    EXPECT_THAT(FieldsOf(Cancel(id).status()), ElementsAre("name")) << id;
    EXPECT_THAT(FieldsOf(Delete(id)), ElementsAre("name")) << id;
  }
  EXPECT_EQ(ReasonOf(Cancel("nosuch").status()), "JOB_NOT_FOUND");
}

TEST_F(JobsTest, PagesHoldEveryJobOnceNewestFirst) {
  for (const char* id : {"a", "b", "c", "d", "e"}) Create(id);
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::vector<std::string>> pages;
  do {
    const auto reply = List(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    pages.push_back(NamesOf(*reply));
    request.set_page_token(reply->next_page_token());
    if (pages.size() == 1) Create("late");  // new jobs do not disturb a walk that is under way
  } while (!request.page_token().empty());
  EXPECT_THAT(pages, ElementsAre(ElementsAre("jobs/e", "jobs/d"), ElementsAre("jobs/c", "jobs/b"),
                                 ElementsAre("jobs/a")));
}

TEST_F(JobsTest, ATokenIsBoundToTheFilterItCameFrom) {
  for (const char* id : {"a", "b"}) Create(id);
  v1::ListJobsRequest request;
  request.set_page_size(1);
  request.add_states(v1::Job::QUEUED);
  request.set_page_token(List(request)->next_page_token());
  EXPECT_THAT(NamesOf(*List(request)), ElementsAre("jobs/a"));
  request.set_states(0, v1::Job::RUNNING);
  EXPECT_EQ(ReasonOf(List(request).status()), "PAGE_TOKEN_INVALID");
}

TEST_F(JobsTest, ABasicViewHasNoSpec) {
  Create("a");
  v1::ListJobsRequest request;
  EXPECT_TRUE(List(request)->jobs(0).has_spec());
  request.set_view(v1::ListJobsRequest::BASIC);
  EXPECT_FALSE(List(request)->jobs(0).has_spec());
  EXPECT_EQ(List(request)->jobs(0).state(), v1::Job::QUEUED);
}

TEST_F(JobsTest, ReservedListFieldsAreRefusedNotIgnored) {
  v1::ListJobsRequest request;
  request.set_filter("state = RUNNING");
  request.set_order_by("priority");
  request.set_view(static_cast<v1::ListJobsRequest::View>(77));
  EXPECT_THAT(FieldsOf(List(request).status()), ElementsAre("filter", "order_by", "view"));
}

TEST_F(JobsTest, UpdatingIsReserved) {
  const absl::Status status =
      Call(*jobs_, &v1::JobService::Stub::UpdateJob, v1::UpdateJobRequest()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(ReasonOf(status), "NOT_IMPLEMENTED");
}

TEST_F(JobsTest, TheServerSaysItsVersionAndLimits) {
  const auto stub = v1::ServerService::NewStub(channel_);
  const auto info =
      Call(*stub, &v1::ServerService::Stub::GetServerInfo, v1::GetServerInfoRequest());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version(), "0.0.0-test");
  EXPECT_EQ(info->start_time().seconds(), absl::ToUnixSeconds(clock_.Now()));
  EXPECT_EQ(info->spec_version(), spec::kSpecVersion);
  EXPECT_EQ(info->limits().chunk_bytes(), base::kChunkBytes);
  EXPECT_EQ(info->limits().streams(), 7);
}

TEST_F(JobsTest, WrongListFieldsAreNamedTogether) {
  v1::ListJobsRequest request;
  request.set_page_size(-1);
  request.add_states(v1::Job::QUEUED);
  request.add_states(v1::Job::STATE_UNSPECIFIED);
  EXPECT_THAT(FieldsOf(List(request).status()), ElementsAre("page_size", "states[1]"));
}

TEST_F(JobsTest, StatesFilter) {
  Create("a");
  Create("b");
  ASSERT_TRUE(Cancel("a").ok());
  v1::ListJobsRequest request;
  request.add_states(v1::Job::CANCELLED);
  EXPECT_THAT(NamesOf(*List(request)), ElementsAre("jobs/a"));
}

TEST_F(JobsTest, MetricsArePagedAndFiltered) {
  StartAttempt("a");
  Say("a", {Point("loss", 1, 3), Point("loss", 2, 2), Point("flips", 2, 9), Point("loss", 3, 1)});
  v1::ListMetricsRequest request;
  request.set_parent("jobs/a");
  request.set_metric("loss");
  request.set_page_size(2);
  std::vector<double> values;
  do {
    const auto reply = ListMetrics(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    for (const auto& point : reply->points()) values.push_back(point.value());
    request.set_page_token(reply->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(values, ElementsAre(3, 2, 1));
  request.set_layer("nosuch");
  EXPECT_EQ(ListMetrics(request)->points_size(), 0);
}

TEST_F(JobsTest, AMetricsTokenIsBoundToThisVeryJob) {
  StartAttempt("a");
  Say("a", {Point("loss", 1, 3), Point("loss", 2, 2)});
  v1::ListMetricsRequest request;
  request.set_parent("jobs/a");
  request.set_page_size(1);
  request.set_page_token(ListMetrics(request)->next_page_token());
  ASSERT_TRUE(ListMetrics(request).ok());
  Fail("a");
  ASSERT_TRUE(Delete("a").ok());
  Create("a");  // the same id, another job
  EXPECT_EQ(ReasonOf(ListMetrics(request).status()), "PAGE_TOKEN_INVALID");
}

TEST_F(JobsTest, WrongMetricFieldsAreNamedTogether) {
  v1::ListMetricsRequest request;
  request.set_parent("a");
  request.set_page_size(-1);
  request.set_metric(std::string(65, 'x'));
  request.set_layer(std::string(65, 'x'));
  EXPECT_THAT(FieldsOf(ListMetrics(request).status()),
              ElementsAre("parent", "page_size", "metric", "layer"));
}

TEST_F(JobsTest, AFullQueueIsToldAsBusy) {
  history_.Close();
  v1::ListMetricsRequest request;
  request.set_parent("jobs/a");
  const absl::Status status = ListMetrics(request).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), "SERVER_BUSY");
}

TEST_F(JobsTest, WorkersArePagedInTheOrderOfTheirIds) {
  for (const char* id : {"c", "a", "b"}) {
    v1::RegisterWorkerRequest request;
    request.set_worker_id(id);
    request.set_incarnation("1");
    request.add_slots()->set_device("cpu");
    const auto reply = Call(*workers_, &v1::WorkerService::Stub::RegisterWorker, request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->lease_duration().seconds(), 15);
  }
  v1::ListWorkersRequest request;
  request.set_page_size(2);
  std::vector<std::string> names;
  do {
    const auto reply = Call(*workers_, &v1::WorkerService::Stub::ListWorkers, request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    for (const auto& worker : reply->workers()) names.push_back(worker.name());
    request.set_page_token(reply->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("workers/a", "workers/b", "workers/c"));
}

}  // namespace
}  // namespace bsnn::api
