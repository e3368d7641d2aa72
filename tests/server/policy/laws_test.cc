#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "tests/server/policy/board.h"

namespace bsnn::policy {
namespace {

/// How many boards a law is tried on: BSNN_BOARDS, or 100 000.
int64_t Boards() {
  const char* text = std::getenv("BSNN_BOARDS");
  return text == nullptr ? 100'000 : std::atoll(text);
}

TEST(Laws, HoldOnBoardsOfSixSlotsAndThePlanIsTheBestThereIs) {
  for (int64_t seed = 0; seed < Boards(); ++seed) {
    std::mt19937_64 random(seed);
    const Board board = RandomBoard(random, {});
    const BoardView view(board);
    const Plan plan = Decide(view.view());
    ASSERT_EQ(BrokenLaw(board, plan), "") << "seed " << seed << "\n" << ToText(board);
    ASSERT_EQ(OutcomeOf(board, plan), BestOutcome(board)) << "seed " << seed << "\n"
                                                          << ToText(board);
  }
}

TEST(Laws, HoldOnLargerBoards) {
  for (int64_t seed = 0; seed < Boards() / 20; ++seed) {
    std::mt19937_64 random(seed);
    const Board board = RandomBoard(random, {.workers = 20, .slots = 60, .jobs = 80});
    const BoardView view(board);
    ASSERT_EQ(BrokenLaw(board, Decide(view.view())), "") << "seed " << seed << "\n"
                                                         << ToText(board);
  }
}

TEST(Laws, WhatHappenedBeforeLeavesNoTrace) {
  for (int64_t seed = 0; seed < Boards() / 10; ++seed) {
    std::mt19937_64 random(seed);
    const Board board = RandomBoard(random, {.workers = 6, .slots = 16, .jobs = 16});
    const BoardView straight(board);
    const BoardView detoured(board, &random);
    const Plan plan = Decide(straight.view());
    const Plan again = Decide(detoured.view());
    ASSERT_TRUE(plan.starts == again.starts) << "seed " << seed << "\n" << ToText(board);
    ASSERT_EQ(plan.reasons, again.reasons) << "seed " << seed << "\n" << ToText(board);
  }
}

TEST(Laws, NamesOfWorkersDecideNoJobsStart) {
  for (int64_t seed = 0; seed < Boards() / 10; ++seed) {
    std::mt19937_64 random(seed);
    const Board board = RandomBoard(random, {.workers = 6, .slots = 16, .jobs = 16});
    const Board renamed = WithOtherNames(board, random);
    const BoardView view(board);
    const BoardView other(renamed);
    ASSERT_EQ(OutcomeOf(board, Decide(view.view())), OutcomeOf(renamed, Decide(other.view())))
        << "seed " << seed << "\n"
        << ToText(board);
  }
}

TEST(Laws, APositionCountsTheQueuedJobsBefore) {
  for (int64_t seed = 0; seed < Boards() / 100; ++seed) {
    std::mt19937_64 random(seed);
    const Board board = RandomBoard(random, {.jobs = 50});
    const BoardView view(board, &random);
    int64_t before = 0;
    for (const JobOnBoard& job : board.JobsInOrder()) {
      ASSERT_EQ(view.wants().CountBefore(job.want), before) << "seed " << seed;
      if (job.queued) ++before;
    }
  }
}

}  // namespace
}  // namespace bsnn::policy
