#include "server/policy/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace bsnn::policy {
namespace {

using spec::DataName;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr absl::Duration kNow = absl::Seconds(1000);

WorkerHealth::Failure Failure(int64_t job, int32_t slot, bool others_train = false) {
  return {.job = job, .slot = slot, .others_train = others_train, .reason = "no driver"};
}

TEST(Health, ASlotIsSuspectOnceTwoJobsInARowFailedBeforeTheirFirstStep) {
  WorkerHealth health;
  health.AddFailure(kNow, Failure(1, 3, /*others_train=*/true));
  EXPECT_TRUE(health.IsOpen(kNow, 3));
  health.AddFailure(kNow, Failure(2, 3, /*others_train=*/true));
  EXPECT_FALSE(health.IsOpen(kNow, 3));
  EXPECT_TRUE(health.IsOpen(kNow, 4));
  EXPECT_TRUE(health.IsOpen(kNow)) << "another attempt trains on this worker";
}

TEST(Health, OneJobThatFailsAgainAndAgainMakesNoPlaceSuspect) {
  WorkerHealth health;
  for (int i = 0; i < 10; ++i) health.AddFailure(kNow, Failure(1, 3));
  EXPECT_TRUE(health.IsOpen(kNow, 3));
  EXPECT_TRUE(health.IsOpen(kNow));
  EXPECT_EQ(health.NextOpening(kNow), absl::InfiniteDuration());
}

TEST(Health, AFirstStepBetweenTwoFailuresClearsTheSlot) {
  WorkerHealth health;
  health.AddFailure(kNow, Failure(1, 3));
  EXPECT_FALSE(health.TrustPlaces(3, DataName::kMnist)) << "nothing was suspect yet";
  health.AddFailure(kNow, Failure(2, 3));
  EXPECT_TRUE(health.IsOpen(kNow, 3));
}

TEST(Health, AWorkerWhereThreeJobsFailOnDifferentSlotsIsSuspectAsAWhole) {
  WorkerHealth health;
  health.AddFailure(kNow, Failure(1, 0));
  health.AddFailure(kNow, Failure(2, 1));
  EXPECT_FALSE(health.HasSuspect());
  health.AddFailure(kNow, Failure(3, 2));
  EXPECT_TRUE(health.HasSuspect());
  EXPECT_FALSE(health.IsOpen(kNow));
  EXPECT_TRUE(health.IsOpen(kNow + kFirstPause));
}

TEST(Health, AMissingDataSetClosesThatDataSetAlone) {
  WorkerHealth health;
  health.AddDataFailure(kNow, DataName::kCifar10, 1, "no such folder");
  EXPECT_FALSE(health.IsOpen(kNow, DataName::kCifar10));
  EXPECT_TRUE(health.IsOpen(kNow, DataName::kMnist));
  EXPECT_TRUE(health.IsOpen(kNow, 0));
  EXPECT_THAT(health.ClosedData(kNow), ElementsAre(DataName::kCifar10));
  EXPECT_THAT(health.ClosedData(kNow + kFirstPause), IsEmpty());
}

TEST(Health, PausesDoubleWithEachProbeThatFailsUpToTenMinutes) {
  WorkerHealth health;
  absl::Duration now = kNow;
  std::vector<double> pauses;
  for (int job = 1; job <= 7; ++job) {
    health.AddDataFailure(now, DataName::kMnist, job, "empty");
    pauses.push_back(absl::ToDoubleSeconds(health.NextOpening(now) - now));
    now = health.NextOpening(now);
  }
  EXPECT_THAT(pauses, ElementsAre(30, 60, 120, 240, 480, 600, 600));
}

TEST(Health, AProbeIsAloneUntilItsPauseIsOver) {
  WorkerHealth health;
  for (int job = 1; job <= 3; ++job) health.AddFailure(kNow, Failure(job, job));
  const absl::Duration probe = kNow + kFirstPause;
  ASSERT_TRUE(health.IsOpen(probe));
  health.BeginAttempt(probe, 0, DataName::kMnist);
  EXPECT_FALSE(health.IsOpen(probe));
  EXPECT_TRUE(health.IsOpen(probe + kFirstPause)) << "the probe says nothing: another may start";
}

TEST(Health, AnAttemptOnATrustedPlaceClosesNothing) {
  WorkerHealth health;
  health.AddFailure(kNow, Failure(1, 0));
  health.BeginAttempt(kNow, 0, DataName::kMnist);
  EXPECT_TRUE(health.IsOpen(kNow));
  EXPECT_TRUE(health.IsOpen(kNow, 0));
}

TEST(Health, AProbeThatTakesAStepEndsTheSuspicion) {
  WorkerHealth health;
  for (int job = 1; job <= 3; ++job) health.AddFailure(kNow, Failure(job, 0));
  health.AddDataFailure(kNow, DataName::kMnist, 4, "empty");
  EXPECT_TRUE(health.TrustPlaces(0, DataName::kMnist));
  EXPECT_TRUE(health.IsOpen(kNow));
  EXPECT_TRUE(health.IsOpen(kNow, 0));
  EXPECT_TRUE(health.IsOpen(kNow, DataName::kMnist));
  EXPECT_FALSE(health.HasSuspect());
  EXPECT_EQ(health.Describe(kNow), "");
}

TEST(Health, SaysWhatIsSuspectAndWhenItIsTriedAgain) {
  WorkerHealth health;
  EXPECT_EQ(health.Describe(kNow), "");
  health.AddDataFailure(kNow, DataName::kMnist, 1, "no such folder");
  health.AddFailure(kNow, Failure(1, 3, true));
  health.AddFailure(kNow, Failure(2, 3, true));
  EXPECT_EQ(health.Describe(kNow + absl::Seconds(10)),
            "data set mnist is suspect, next attempt in 20 s: no such folder; "
            "slot 3 is suspect, next attempt in 20 s: no driver");
}

}  // namespace
}  // namespace bsnn::policy
