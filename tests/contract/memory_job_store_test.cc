// What only the fake can do: hold back what is durable, and crash.
#include "server/store/memory/memory_job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/contract/job_store_contract.h"

namespace bsnn::store {
namespace {

TEST(MemoryJobStore, HoldsBatchesUntilTheyAreReleased) {
  MemoryJobStore store;
  store.Hold();
  std::vector<int> called;
  for (int i = 1; i <= 3; ++i) {
    const Ticket ticket = store.Enqueue({CreateJob{SomeJob("job-" + std::to_string(i), i)}});
    store.WhenDurable(ticket, [&called, i] { called.push_back(i); });
  }
  EXPECT_EQ(store.Durable(), 0);
  store.Release(2);
  EXPECT_THAT(called, testing::ElementsAre(1, 2));
  EXPECT_EQ(store.Durable(), 2);
  EXPECT_THAT(store.LoadAll()->jobs, testing::SizeIs(2));
  store.Release();
  EXPECT_THAT(called, testing::ElementsAre(1, 2, 3));
}

TEST(MemoryJobStore, ACrashLosesWhatWaitsAndNobodyIsTold) {
  MemoryJobStore store;
  store.Hold();
  bool told = false;
  const Ticket lost = store.Enqueue({CreateJob{SomeJob("one", 1)}});
  store.WhenDurable(lost, [&] { told = true; });
  store.Crash();
  EXPECT_EQ(store.Enqueue({CreateJob{SomeJob("two", 1)}}), lost) << "tickets begin anew";
  store.Release();
  EXPECT_FALSE(told) << "what the ticket was given for is not durable";
  EXPECT_THAT(store.LoadAll()->jobs, testing::SizeIs(1));
}

}  // namespace
}  // namespace bsnn::store
