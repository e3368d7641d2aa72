#include "server/api/order_verifier.h"

#include <fstream>

#include "tests/server/api/api_fixture.h"

namespace bsnn::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OrderVerifierTest : public ApiFixture {
 protected:
  OrderVerifierTest() {
    StartAttempt("a");
    for (const int64_t step : {1, 2}) Publish("a", step, {{"model", "abc"}});
  }

  /// An order to run attempt 2 from both checkpoints, as `Apply` leaves it; none where it is held.
  struct Outcome {
    bool held = false;
    std::vector<scheduler::AttemptOrder> orders;
  };
  Outcome Apply(const std::vector<scheduler::AttemptReport>& reported = {}) {
    scheduler::SynchronizeReply reply;
    reply.orders.push_back({.job = J("a"),
                            .epoch = 2,
                            .action = scheduler::Action::kRun,
                            .checkpoints = {C("a1-step-00000002"), C("a1-step-00000001")}});
    const bool held = verifier_.Apply(*backend_, reported, reply);
    return {held, reply.orders};
  }
  void Damage(const std::string& checkpoint) {
    std::ofstream(PathOf("a", checkpoint, "model"), std::ios::trunc) << "abX";
  }

  /// Tasks on the disk pool hold a reference to the verifier.
  void TearDown() override { disk_.Close(); }

  OrderVerifier verifier_;
};

TEST_F(OrderVerifierTest, AnOrderIsHeldBackUntilItsCheckpointIsVerified) {
  const Outcome first = Apply();
  EXPECT_TRUE(first.held);
  EXPECT_THAT(first.orders, IsEmpty());
  WaitForDisk();
  const Outcome second = Apply();
  EXPECT_FALSE(second.held);
  ASSERT_EQ(second.orders.size(), 1u);
  EXPECT_THAT(second.orders[0].checkpoints,
              ElementsAre(C("a1-step-00000002"), C("a1-step-00000001")));
}

TEST_F(OrderVerifierTest, ADamagedCheckpointIsNotOffered) {
  Damage("a1-step-00000002");
  Apply();
  WaitForDisk();
  const Outcome outcome = Apply();
  ASSERT_EQ(outcome.orders.size(), 1u);
  EXPECT_THAT(outcome.orders[0].checkpoints, ElementsAre(C("a1-step-00000001")));
  EXPECT_EQ(stats_.checkpoint_verify_failures, 1);
}

TEST_F(OrderVerifierTest, WithoutAGoodCheckpointTheAttemptStartsFromTheBeginning) {
  Damage("a1-step-00000001");
  Damage("a1-step-00000002");
  Apply();
  WaitForDisk();
  const Outcome outcome = Apply();
  ASSERT_EQ(outcome.orders.size(), 1u);
  EXPECT_THAT(outcome.orders[0].checkpoints, IsEmpty());
}

TEST_F(OrderVerifierTest, AnAttemptThatIsReportedIsNeverHeldBack) {
  const Outcome outcome = Apply({{J("a"), 2, scheduler::Phase::kPreparing}});
  EXPECT_FALSE(outcome.held);
  EXPECT_EQ(outcome.orders.size(), 1u);
  EXPECT_TRUE(Apply({{J("a"), 1, scheduler::Phase::kEnded}}).held);  // another attempt
}

TEST_F(OrderVerifierTest, StopsAndOrdersWithoutCheckpointsPass) {
  scheduler::SynchronizeReply reply;
  reply.orders.push_back({.job = J("a"), .epoch = 2, .action = scheduler::Action::kRun});
  reply.orders.push_back({.job = J("b"), .epoch = 1, .action = scheduler::Action::kStop});
  EXPECT_FALSE(verifier_.Apply(*backend_, {}, reply));
  EXPECT_EQ(reply.orders.size(), 2u);
}

TEST_F(OrderVerifierTest, AFullQueueIsTriedAgain) {
  disk_.Close();
  EXPECT_TRUE(Apply().held);
  EXPECT_TRUE(Apply().held);
}

}  // namespace
}  // namespace bsnn::api
