#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fault.h"
#include "tests/worker/session/fake_coordinator.h"
#include "worker/session/coordinator_client.h"

namespace bsnn::session {
namespace {

using testing::HasSubstr;

TEST(Orders, AreReadWithTheirCheckpoints) {
  v1::SynchronizeResponse response;
  v1::AttemptOrder& message = *response.add_orders();
  message = test::RunOrder("job-a", 3, 1);
  message.add_checkpoints("jobs/job-a/checkpoints/a2-step-00000009");
  *response.add_orders() = test::StopOrder("job-b", 1, 2.5);
  const auto orders = OrdersFromProto(response).orders;
  ASSERT_EQ(orders.size(), 2);
  EXPECT_EQ(orders[0].key.ToText(), "job-a.3");
  EXPECT_EQ(orders[0].slot, 1);
  EXPECT_EQ(orders[0].checkpoints.at(0).value(), "a2-step-00000009");
  EXPECT_EQ(orders[0].fault, "");
  EXPECT_EQ(orders[1].action, agent::Action::kStop);
  EXPECT_EQ(orders[1].grace, absl::Seconds(2.5));
}

TEST(Orders, OfAnActionOfLaterAreUnreadable) {
  v1::SynchronizeResponse response;
  *response.add_orders() = test::RunOrder("job-a", 2);
  response.mutable_orders(0)->set_action(static_cast<v1::AttemptOrder::Action>(77));
  const agent::Orders reply = OrdersFromProto(response);
  EXPECT_TRUE(reply.orders.empty());
  ASSERT_EQ(reply.unreadable.size(), 1);
  EXPECT_EQ(reply.unreadable[0].ToText(), "job-a.2");
  EXPECT_TRUE(reply.names_all);
}

TEST(Orders, WithoutAReadableJobMakeTheReplyNameNotAll) {
  v1::SynchronizeResponse response;
  *response.add_orders() = test::RunOrder("Not A Job");
  const agent::Orders reply = OrdersFromProto(response);
  EXPECT_TRUE(reply.orders.empty());
  EXPECT_FALSE(reply.names_all);
}

TEST(Orders, WithAWrongSpecOrAForeignCheckpointSaySo) {
  v1::SynchronizeResponse response;
  v1::AttemptOrder& message = *response.add_orders();
  message = test::RunOrder("job-a");
  message.mutable_spec()->mutable_training()->set_epochs(-1);
  message.add_checkpoints("jobs/job-b/checkpoints/a1-step-00000001");
  const auto orders = OrdersFromProto(response).orders;
  ASSERT_EQ(orders.size(), 1);
  EXPECT_THAT(orders[0].fault, HasSubstr("training.epochs"));
  EXPECT_THAT(orders[0].fault, HasSubstr("jobs/job-b"));
}

TEST(Failures, AreToldApart) {
  const auto with = [](absl::Status status, const char* reason) {
    return FailureOf(base::WithReason(std::move(status), {reason, {}}));
  };
  EXPECT_EQ(with(absl::FailedPreconditionError(""), "ATTEMPT_FENCED"), Failure::kFenced);
  EXPECT_EQ(with(absl::NotFoundError(""), "JOB_NOT_FOUND"), Failure::kFenced);
  EXPECT_EQ(with(absl::NotFoundError(""), "WORKER_UNKNOWN"), Failure::kRetry);
  EXPECT_EQ(with(absl::FailedPreconditionError(""), "CHECKPOINT_MISSING"), Failure::kRefused);
  EXPECT_EQ(FailureOf(absl::UnavailableError("")), Failure::kRetry);
  EXPECT_EQ(FailureOf(absl::DeadlineExceededError("")), Failure::kRetry);
  EXPECT_EQ(FailureOf(absl::InternalError("")), Failure::kRetry);
  EXPECT_EQ(FailureOf(absl::InvalidArgumentError("")), Failure::kRefused);
}

}  // namespace
}  // namespace bsnn::session
