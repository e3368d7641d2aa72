// What a trainer reported before a checkpoint goes to the coordinator before that checkpoint.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker/agent/event_relay.h"

namespace bsnn::agent {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

std::string Line(decltype(spec::Event::kind) kind) { return spec::ToJsonLine({1, kNow, kind}); }

std::string Point(int64_t step) {
  return Line(spec::MetricPoint{"loss", "", "train", -1, step, 1, 0.5});
}
std::string Checkpoint(int64_t step) {
  return Line(spec::CheckpointWritten{step, 1, "checkpoints/step-00000005", std::string(64, 'a'),
                                      1000, 0.5});
}

TEST(Causality, AnUploadWaitsForTheEventsBeforeIt) {
  EventRelay relay;
  relay.TakeLine(Point(4), kNow);
  relay.TakeLine(Point(5), kNow);
  relay.TakeLine(Checkpoint(5), kNow);
  EXPECT_FALSE(relay.NextUpload());
  EXPECT_EQ(relay.UploadBytes(), 1000);
  relay.Acknowledge(2);
  EXPECT_FALSE(relay.NextUpload()) << "the event of the checkpoint itself is missing";
  relay.Acknowledge(3);
  ASSERT_TRUE(relay.NextUpload());
  EXPECT_EQ(relay.NextUpload()->after_event_sequence, 3);
}

TEST(Causality, HoldsWhenTheCoordinatorLostWhatItHadAcknowledged) {
  EventRelay relay;
  relay.TakeLine(Point(4), kNow);
  relay.TakeLine(Point(5), kNow);
  relay.TakeLine(Checkpoint(5), kNow);
  relay.Acknowledge(1);
  relay.ContinueAfter(10);  // events 2 and 3 are 11 and 12 now
  EXPECT_FALSE(relay.NextUpload());
  relay.Acknowledge(12);
  ASSERT_TRUE(relay.NextUpload());
  EXPECT_EQ(relay.NextUpload()->after_event_sequence, 12);
}

}  // namespace
}  // namespace bsnn::agent
