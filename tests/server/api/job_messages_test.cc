#include "server/api/job_messages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr char kUuid[] = "123e4567-e89b-12d3-a456-426614174000";

v1::CreateJobRequest Good() {
  v1::CreateJobRequest request;
  request.set_job_id("first-1");
  request.set_request_id(kUuid);
  request.mutable_job()->set_display_name("First");
  (*request.mutable_job()->mutable_labels())["team"] = "vision";
  request.mutable_job()->mutable_spec()->mutable_training()->set_epochs(7);
  return request;
}

TEST(CreateJobMessage, EveryFieldArrives) {
  const auto request = FromProto(Good());
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->wanted_id, "first-1");
  EXPECT_EQ(request->request_id, kUuid);
  EXPECT_EQ(request->display_name, "First");
  EXPECT_THAT(request->labels, ElementsAre(std::pair("team", "vision")));
  EXPECT_EQ(request->spec.training.epochs, 7);
  EXPECT_EQ(request->spec.training.batch_size, spec::JobSpec().training.batch_size);
}

TEST(CreateJobMessage, EachWrongFieldIsNamed) {
  struct Case {
    std::string field;
    std::function<void(v1::CreateJobRequest&)> spoil;
  };
  const std::vector<Case> cases = {
      {"job_id", [](auto& r) { r.set_job_id("No Id"); }},
      {"job_id", [](auto& r) { r.set_job_id(std::string(64, 'a')); }},
      {"job.spec", [](auto& r) { r.mutable_job()->clear_spec(); }},
      {"job.display_name",
       [](auto& r) { r.mutable_job()->set_display_name(std::string(129, 'x')); }},
      {"job.labels",
       [](auto& r) {
         for (int i = 0; i < 32; ++i) (*r.mutable_job()->mutable_labels())[std::to_string(i)] = "";
       }},
      {"job.labels.Team", [](auto& r) { (*r.mutable_job()->mutable_labels())["Team"] = "x"; }},
      {"job.labels.", [](auto& r) { (*r.mutable_job()->mutable_labels())[""] = "x"; }},
      {"job.labels.team",
       [](auto& r) { (*r.mutable_job()->mutable_labels())["team"] = std::string(129, 'x'); }},
      {"request_id", [](auto& r) { r.set_request_id("123e4567-e89b-12d3-a456-42661417400g"); }},
      {"request_id", [](auto& r) { r.set_request_id("123e4567e89b12d3a456426614174000"); }},
      {"job.queue", [](auto& r) { r.mutable_job()->set_queue("queues/night"); }},
      {"job.wish", [](auto& r) { r.mutable_job()->set_wish(v1::Job::PAUSE); }},
      {"job.source_checkpoint",
       [](auto& r) { r.mutable_job()->set_source_checkpoint("jobs/a/checkpoints/b"); }},
      {"job.spec.training.epochs",
       [](auto& r) { r.mutable_job()->mutable_spec()->mutable_training()->set_epochs(0); }},
      {"job.spec.network.name",
       [](auto& r) { r.mutable_job()->mutable_spec()->mutable_network()->set_name("nosuch"); }},
  };
  for (const Case& c : cases) {
    auto request = Good();
    c.spoil(request);
    const auto read = FromProto(request);
    EXPECT_THAT(FieldsOf(read.status()), ElementsAre(c.field)) << read.status();
  }
}

TEST(CreateJobMessage, OneAnswerNamesAllWrongFields) {
  auto request = Good();
  request.set_job_id("No Id");
  request.set_request_id("x");
  request.mutable_job()->mutable_spec()->mutable_training()->set_epochs(0);
  request.mutable_job()->mutable_spec()->mutable_network()->set_time_steps(65);
  EXPECT_THAT(FieldsOf(FromProto(request).status()),
              UnorderedElementsAre("job_id", "request_id", "job.spec.training.epochs",
                                   "job.spec.network.time_steps"));
}

TEST(CreateJobMessage, AnAbsentJobIsNamedOnce) {
  EXPECT_THAT(FieldsOf(FromProto(v1::CreateJobRequest()).status()), ElementsAre("job"));
}

TEST(CreateJobMessage, LimitsCountCharactersNotBytes) {
  auto request = Good();
  std::string name;
  for (int i = 0; i < 128; ++i) name += "é";
  request.mutable_job()->set_display_name(name);
  (*request.mutable_job()->mutable_labels())["team"] = name;
  EXPECT_TRUE(FromProto(request).ok());
}

scheduler::JobView View() {
  scheduler::JobView view;
  view.record.id = J("first");
  view.record.display_name = "First";
  view.record.labels = store::PackedLabels::Map{{"team", "vision"}};
  view.record.create_time = absl::FromUnixSeconds(100);
  view.state_message = "waits";
  view.queue_position = 3;
  view.etag = "e1";
  return view;
}

TEST(JobMessage, AQueuedJobHasNeitherProgressNorResultNorLaterTimes) {
  const v1::Job job = ToProto(View());
  EXPECT_EQ(job.name(), "jobs/first");
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_EQ(job.state_message(), "waits");
  EXPECT_EQ(job.queue_position(), 3);
  EXPECT_EQ(job.etag(), "e1");
  EXPECT_EQ(job.create_time().seconds(), 100);
  EXPECT_EQ(job.labels().at("team"), "vision");
  EXPECT_EQ(job.spec().training().epochs(), spec::JobSpec().training.epochs);
  EXPECT_FALSE(job.has_progress());
  EXPECT_FALSE(job.has_result());
  EXPECT_FALSE(job.has_failure());
  EXPECT_FALSE(job.has_start_time());
  EXPECT_FALSE(job.has_end_time());
  EXPECT_FALSE(job.has_update_time());
  EXPECT_FALSE(job.has_pending());
  EXPECT_EQ(job.wish(), v1::Job::RUN);
}

TEST(JobMessage, WhyItWaitsIsSaidAsAnEnumToo) {
  auto view = View();
  view.pending = scheduler::PendingReason::kNoWorkerOnline;
  EXPECT_EQ(ToProto(view).pending().reason(), v1::Job::Pending::NO_WORKER_ONLINE);
  EXPECT_EQ(ToProto(view).pending().message(), "waits");
}

TEST(JobMessage, TheWishIsToCancelFromTheCancellingOn) {
  auto view = View();
  view.record.status.state = store::JobState::kSucceeded;
  view.record.status.cancel_time = absl::FromUnixSeconds(5);
  EXPECT_EQ(ToProto(view).wish(), v1::Job::CANCEL);
  view.record.status = {.state = store::JobState::kCancelled};
  EXPECT_EQ(ToProto(view).wish(), v1::Job::CANCEL);
}

TEST(JobMessage, BasicLeavesSpecAndAttemptsOut) {
  auto view = View();
  view.attempts.push_back({.epoch = 1, .worker = W("w"), .slot = 4});
  EXPECT_EQ(ToProto(view).attempts(0).members(0).slot(), 4);
  EXPECT_EQ(ToProto(view).attempts(0).members(0).worker(), "workers/w");
  const v1::Job job = ToProto(view, Detail::kBasic);
  EXPECT_FALSE(job.has_spec());
  EXPECT_EQ(job.attempts_size(), 0);
  EXPECT_EQ(job.state_message(), "waits");
}

TEST(JobMessage, ProgressRatioStaysBetweenZeroAndOne) {
  auto view = View();
  auto& progress = view.record.status.progress;
  progress = {.step = 25, .steps_total = 100, .update_time = absl::FromUnixSeconds(7)};
  EXPECT_DOUBLE_EQ(ToProto(view).progress().progress_ratio(), 0.25);
  EXPECT_EQ(ToProto(view).progress().update_time().seconds(), 7);
  progress.step = 101;
  EXPECT_DOUBLE_EQ(ToProto(view).progress().progress_ratio(), 1);
  progress.steps_total = 0;
  EXPECT_DOUBLE_EQ(ToProto(view).progress().progress_ratio(), 0);
}

TEST(JobMessage, AnEndedJobTellsHow) {
  auto view = View();
  auto& status = view.record.status;
  status.state = store::JobState::kSucceeded;
  status.start_time = absl::FromUnixSeconds(200);
  status.end_time = absl::FromUnixSeconds(300);
  status.result = store::JobResult{.accuracy_ratio = 0.75,
                                   .steps = 40,
                                   .checkpoint = C("a1-step-00000040"),
                                   .checkpoint_digest = "d"};
  v1::Job job = ToProto(view);
  EXPECT_EQ(job.result().checkpoint(), "jobs/first/checkpoints/a1-step-00000040");
  EXPECT_EQ(job.result().checkpoint_digest(), "d");
  EXPECT_EQ(job.result().steps(), 40);
  EXPECT_DOUBLE_EQ(job.result().accuracy_ratio(), 0.75);
  EXPECT_EQ(job.start_time().seconds(), 200);
  EXPECT_EQ(job.end_time().seconds(), 300);
  EXPECT_FALSE(job.has_failure());

  status.result.reset();
  status.failure_class = store::FailureClass::kDeadline;
  status.message = "too long";
  for (const auto state : {store::JobState::kFailed, store::JobState::kExpired}) {
    status.state = state;
    job = ToProto(view);
    EXPECT_EQ(job.failure().failure_class(), v1::Job::DEADLINE);
    EXPECT_EQ(job.failure().message(), "too long");
  }
  status.state = store::JobState::kCancelled;
  EXPECT_FALSE(ToProto(view).has_failure());
}

TEST(JobMessage, ALiveAttemptHasNoEnd) {
  auto view = View();
  view.attempts.push_back({.epoch = 1,
                           .worker = W("w"),
                           .start_time = absl::FromUnixSeconds(10),
                           .end_time = absl::FromUnixSeconds(20),
                           .failure_class = store::FailureClass::kHang,
                           .message = "no step"});
  view.attempts.push_back({.epoch = 2,
                           .worker = W("v"),
                           .start_time = absl::FromUnixSeconds(30),
                           .resumed_from_step = 5});
  const v1::Job job = ToProto(view);
  ASSERT_EQ(job.attempts_size(), 2);
  EXPECT_EQ(job.attempts(0).worker(), "workers/w");
  EXPECT_EQ(job.attempts(0).end_time().seconds(), 20);
  EXPECT_EQ(job.attempts(0).failure_class(), v1::Job::HANG);
  EXPECT_EQ(job.attempts(0).message(), "no step");
  EXPECT_EQ(job.attempts(1).epoch(), 2);
  EXPECT_FALSE(job.attempts(1).has_end_time());
  EXPECT_EQ(job.attempts(1).resumed_from_step(), 5);
}

TEST(JobMessage, APreviewIsTheJobWithoutAName) {
  const v1::Job job = PreviewOf(*FromProto(Good()));
  EXPECT_THAT(job.name(), IsEmpty());
  EXPECT_THAT(job.etag(), IsEmpty());
  EXPECT_EQ(job.display_name(), "First");
  EXPECT_EQ(job.labels().at("team"), "vision");
  EXPECT_EQ(job.spec().training().epochs(), 7);
}

TEST(LogMessage, EveryFieldIsSent) {
  const v1::LogEntry entry = ToProto(store::LogRecord{.time = absl::FromUnixMillis(1500),
                                                      .attempt_epoch = 2,
                                                      .severity = spec::Severity::kWarning,
                                                      .message = "hot"});
  EXPECT_EQ(entry.log_time().seconds(), 1);
  EXPECT_EQ(entry.log_time().nanos(), 500'000'000);
  EXPECT_EQ(entry.attempt_epoch(), 2);
  EXPECT_EQ(entry.line().severity(), v1::WARNING);
  EXPECT_EQ(entry.line().message(), "hot");
}

}  // namespace
}  // namespace bsnn::api
