#include "server/telemetry/telemetry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace bsnn::telemetry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const base::JobId kJob = *base::JobId::Make("mnist");

Shown Classify(const SeriesKey& key) {
  if (key.name == "hidden") return Shown::kNot;
  return key.layer.empty() || key.layer == "all" ? Shown::kPooled : Shown::kDetail;
}

spec::Event Point(int64_t sequence, std::string name, std::string layer, double value) {
  spec::MetricPoint point;
  point.name = std::move(name);
  point.layer = std::move(layer);
  point.value = value;
  return {sequence, absl::UnixEpoch(), point};
}

/// "name/layer=value" of each series of each job.
std::vector<std::string> TextOf(const Sample& sample) {
  std::vector<std::string> texts;
  for (const JobSample& job : sample.jobs) {
    for (const SeriesSample& series : job.series) {
      texts.push_back(series.key->name + "/" + series.key->layer + "=" +
                      std::to_string(std::lround(series.value)));
    }
  }
  return texts;
}

class TelemetryTest : public testing::Test {
 protected:
  Telemetry telemetry_{{.series_per_job_max = 3, .classify = Classify}};
  std::vector<std::string> Series(size_t max = 100) {
    return TextOf(telemetry_.TakeSample(absl::ZeroDuration(), max));
  }
};

TEST_F(TelemetryTest, ShowsTheNewestValueOfEachSeriesOfAnExposedJob) {
  telemetry_.Store(kJob, 1, {Point(1, "loss", "", 9)}, 0);  // not exposed yet
  telemetry_.Expose(kJob, "first try");
  telemetry_.Store(kJob, 1, {Point(2, "loss", "", 1), Point(3, "loss", "", 2)}, 0);
  telemetry_.Store(kJob, 1, {Point(4, "hidden", "", 5)}, 0);
  EXPECT_THAT(Series(), ElementsAre("loss/=2"));
  EXPECT_EQ(telemetry_.TakeSample({}, 1).jobs.at(0).display_name, "first try");
}

TEST_F(TelemetryTest, KeepsTheNewestValueWhenTwoBatchesChangePlaces) {
  telemetry_.Expose(kJob, "");
  telemetry_.Store(kJob, 1, {Point(5, "loss", "", 5)}, 0);
  telemetry_.Store(kJob, 1, {Point(4, "loss", "", 4)}, 0);
  EXPECT_THAT(Series(), ElementsAre("loss/=5"));
  telemetry_.Store(kJob, 2, {Point(1, "loss", "", 1)}, 0);  // another attempt begins at 1
  EXPECT_THAT(Series(), ElementsAre("loss/=1"));
}

TEST_F(TelemetryTest, StoresOnlyEventsFromFirstOn) {
  telemetry_.Expose(kJob, "");
  telemetry_.Store(kJob, 1, {Point(1, "loss", "", 1), Point(2, "accuracy", "", 2)}, 1);
  EXPECT_THAT(Series(), ElementsAre("accuracy/=2"));
}

TEST_F(TelemetryTest, RefusesPointsOfSeriesBeyondTheLimitOnly) {
  telemetry_.Expose(kJob, "");
  const std::vector<spec::Event> events = {Point(1, "a", "", 1), Point(2, "b", "", 1),
                                           Point(3, "c", "", 1), Point(4, "d", "", 1),
                                           Point(5, "a", "", 1)};
  EXPECT_THAT(telemetry_.Admit(kJob, events), ElementsAre(true, true, true, false, true));
  EXPECT_THAT(Series(), IsEmpty());  // admitted is not accepted
}

TEST_F(TelemetryTest, ShowsPooledSeriesOfAllJobsBeforeDetailOfAny) {
  const base::JobId other = *base::JobId::Make("cifar");
  for (const auto& job : {kJob, other}) {
    telemetry_.Expose(job, "");
    telemetry_.Store(job, 1, {Point(1, "flips", "conv2", 1), Point(2, "flips", "all", 2)}, 0);
  }
  EXPECT_THAT(Series(3), ElementsAre("flips/all=2", "flips/conv2=1", "flips/all=2"));
  EXPECT_EQ(telemetry_.TakeSample({}, 3).series_dropped, 1);
  EXPECT_THAT(Series(2), ElementsAre("flips/all=2", "flips/all=2"));
}

TEST_F(TelemetryTest, ForgetsAJobAtItsReleaseUnlessItIsExposedAgain) {
  telemetry_.Expose(kJob, "");
  telemetry_.ReleaseAt(kJob, absl::Seconds(90));
  EXPECT_EQ(telemetry_.TakeSample(absl::Seconds(89), 1).jobs.size(), 1u);
  telemetry_.Expose(kJob, "");
  EXPECT_EQ(telemetry_.TakeSample(absl::Seconds(91), 1).jobs.size(), 1u);
  telemetry_.ReleaseAt(kJob, absl::Seconds(90));
  EXPECT_THAT(telemetry_.TakeSample(absl::Seconds(90), 1).jobs, IsEmpty());
}

TEST_F(TelemetryTest, GoesOnAfterARestart) {
  telemetry_.Expose(kJob, "");
  store::JobProgress progress;
  progress.step = 7;
  telemetry_.Restore(kJob, {std::get<spec::MetricPoint>(Point(1, "loss", "", 3).kind)}, progress);
  EXPECT_THAT(Series(), ElementsAre("loss/=3"));
  EXPECT_EQ(telemetry_.TakeSample({}, 1).jobs.at(0).progress.step, 7);
  telemetry_.Store(kJob, 4, {Point(12, "loss", "", 4)}, 0);
  EXPECT_THAT(Series(), ElementsAre("loss/=4"));
}

}  // namespace
}  // namespace bsnn::telemetry
