// Seen: deleting a job of many points kept every durable answer waiting; following a metric that
// does not come read the whole history at each report. Wrong: one transaction took all rows away;
// the cursor stayed before what had been looked at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/regression/store_folder.h"

namespace bsnn::store {
namespace {

class StoreHistories : public StoreFolder {
 protected:
  StoreHistories() {
    job_.id = *base::JobId::Make("one");
    job_.sequence = 1;
    job_.create_time = absl::UnixEpoch();
  }
  static std::vector<spec::MetricPoint> Points(int count) {
    std::vector<spec::MetricPoint> points(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      points[static_cast<size_t>(i)] = {"loss", "", "train", -1, i, 1, 1.0};
    }
    return points;
  }

  JobRecord job_;
};

TEST_F(StoreHistories, ADeletedJobsRowsGoInSlicesAlsoAfterARestart) {
  constexpr int kPoints = 100'000;
  auto store = Open();
  Put(**store, {CreateJob{job_}, AppendMetrics{job_.id, Points(kPoints)}});
  Put(**store, {DeleteJob{job_.id, 0}});
  store->reset();
  EXPECT_GT(Ask("SELECT count(*) FROM points"), 0) << "one transaction took them all";
  EXPECT_EQ(Ask("SELECT job FROM dead_jobs"), 1);

  store = Open();
  job_.sequence = 2;
  Put(**store, {CreateJob{job_}, AppendMetrics{job_.id, Points(1)}});
  EXPECT_EQ((*store)->ListMetrics(job_.id, {0, 10, "", ""})->points.size(), 1U)
      << "a new job of the old id begins empty";
  WorkerRecord worker;
  worker.id = *base::WorkerId::Make("w1");
  for (int i = 0; i < 10'000 && Ask("SELECT count(*) FROM dead_jobs") > 0; ++i) {
    Put(**store, {PutWorker{worker}});
  }
  EXPECT_EQ(Ask("SELECT count(*) FROM dead_jobs"), 0);
  EXPECT_EQ(Ask("SELECT count(*) FROM points"), 1);
  EXPECT_EQ(Ask("SELECT count(*) FROM series"), 1);
}

TEST_F(StoreHistories, TheCursorIsWhatWasLookedAtAlsoWhereNothingMatched) {
  auto store = Open();
  Put(**store, {CreateJob{job_}, AppendMetrics{job_.id, Points(10)}});
  const auto page = (*store)->ListMetrics(job_.id, {0, 10, "no_such_metric", ""});
  EXPECT_FALSE(page->more);
  EXPECT_EQ(page->cursor, (*store)->ListMetrics(job_.id, {0, 10, "", ""})->cursor);
}

TEST_F(StoreHistories, AFilteredPageLooksAtABoundedPartOfTheHistory) {
  auto store = Open();
  auto points = Points(250'000);
  points.back().name = "rare";
  Put(**store, {CreateJob{job_}, AppendMetrics{job_.id, points}});
  int pages = 1;
  auto page = (*store)->ListMetrics(job_.id, {0, 10, "rare", ""});
  for (; page->more; ++pages) {
    ASSERT_TRUE(page->points.empty());
    page = (*store)->ListMetrics(job_.id, {page->cursor, 10, "rare", ""});
  }
  EXPECT_EQ(page->points.size(), 1U);
  EXPECT_GT(pages, 1);
}

TEST_F(StoreHistories, LinesAreCountedInARow) {
  auto store = Open();
  Put(**store, {CreateJob{job_}, AppendLogs{job_.id, std::vector<LogRecord>(7)}});
  EXPECT_EQ(Ask("SELECT lines FROM histories WHERE job = 1"), 7);
}

}  // namespace
}  // namespace bsnn::store
