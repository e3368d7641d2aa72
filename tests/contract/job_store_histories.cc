// The contract's part on metrics and logs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/limits.h"
#include "tests/contract/job_store_contract.h"

namespace bsnn::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_P(JobStoreContract, PointsOfASeriesAndStepReplaceAndComeAfter) {
  Put(*store_, {CreateJob{SomeJob("one", 1)},
                AppendMetrics{Job("one"), {SomePoint("loss", 1, 10), SomePoint("loss", 2, 20)}}});
  const auto before = store_->ListMetrics(Job("one"), {0, 10, "", ""});
  Put(*store_, {AppendMetrics{Job("one"), {SomePoint("loss", 1, 11)}}});
  EXPECT_THAT(Values({0, 10, "", ""}), ElementsAre(20, 11));
  EXPECT_THAT(Values({before->cursor, 10, "", ""}), ElementsAre(11));
}

TEST_P(JobStoreContract, PagesPointsAndFilters) {
  std::vector<spec::MetricPoint> points;
  for (int i = 0; i < 10; ++i) points.push_back(SomePoint(i % 2 ? "loss" : "alpha", i, i));
  points[4].layer = "conv3";
  Put(*store_, {CreateJob{SomeJob("one", 1)}, AppendMetrics{Job("one"), points}});
  auto page = store_->ListMetrics(Job("one"), {0, 4, "", ""});
  EXPECT_TRUE(page->more);
  EXPECT_EQ(page->points[3], points[3]);
  page = store_->ListMetrics(Job("one"), {page->cursor, 6, "", ""});
  EXPECT_FALSE(page->more);
  EXPECT_THAT(page->points, SizeIs(6));
  EXPECT_THAT(Values({0, 10, "loss", ""}), ElementsAre(1, 3, 5, 7, 9));
  EXPECT_THAT(Values({0, 10, "alpha", "conv2"}), ElementsAre(0, 2, 6, 8));
  EXPECT_THAT(Values({0, 2, "loss", ""}), ElementsAre(1, 3));
}

TEST_P(JobStoreContract, KeepsValuesThatAreNotFinite) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Put(*store_, {CreateJob{SomeJob("one", 1)},
                AppendMetrics{Job("one"),
                              {SomePoint("a", 1, std::nan("")), SomePoint("b", 1, kInfinity),
                               SomePoint("c", 1, -kInfinity), SomePoint("d", 1, -0.0)}}});
  Reopen();
  const auto values = Values({0, 10, "", ""});
  ASSERT_THAT(values, SizeIs(4));
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], kInfinity);
  EXPECT_EQ(values[2], -kInfinity);
}

TEST_P(JobStoreContract, LoadsTheNewestPointOfEachSeriesUnlessEnded) {
  JobRecord ended = SomeJob("two", 2);
  ended.status.state = JobState::kFailed;
  Put(*store_, {CreateJob{SomeJob("one", 1)}, CreateJob{ended},
                AppendMetrics{Job("one"), {SomePoint("a", 1, 1), SomePoint("b", 1, 2)}},
                AppendMetrics{Job("one"), {SomePoint("a", 5, 3)}},
                AppendMetrics{Job("two"), {SomePoint("a", 1, 9)}}});
  Reopen();
  const LoadedState state = Load();
  std::map<std::string, double> latest;
  for (const auto& point : state.jobs[0].latest) latest[point.name] = point.value;
  EXPECT_EQ(latest, (std::map<std::string, double>{{"a", 3}, {"b", 2}}));
  EXPECT_THAT(state.jobs[1].latest, IsEmpty());
}

TEST_P(JobStoreContract, KeepsLogsInOrderWithTail) {
  std::vector<LogRecord> lines;
  for (int i = 0; i < 9; ++i) {
    lines.push_back({absl::FromUnixSeconds(i), i, spec::Severity::kWarning, std::to_string(i)});
  }
  Put(*store_, {CreateJob{SomeJob("one", 1)}, AppendLogs{Job("one"), lines}});
  Reopen();
  const auto all = store_->ListLogs(Job("one"), {0, 100, 0});
  EXPECT_EQ(all->lines, lines);
  const auto tail = store_->ListLogs(Job("one"), {0, 100, 2});
  ASSERT_THAT(tail->lines, SizeIs(2));
  EXPECT_EQ(tail->lines[0].message, "7");
  const auto page = store_->ListLogs(Job("one"), {0, 3, 5});
  ASSERT_THAT(page->lines, SizeIs(3));
  EXPECT_EQ(page->lines[0].message, "4");
  EXPECT_TRUE(page->more);
  EXPECT_EQ(store_->ListLogs(Job("one"), {page->cursor, 3, 0})->lines[0].message, "7");
  EXPECT_THAT(store_->ListLogs(Job("nosuch"), {0, 3, 0})->lines, IsEmpty());
}

TEST_P(JobStoreContract, TheOldestLinesBeyondTheLimitGo) {
  Put(*store_, {CreateJob{SomeJob("one", 1)}});
  const int count = base::kLogLinesPerJobMax + 5;
  std::vector<LogRecord> lines(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    lines[static_cast<size_t>(i)].message = std::to_string(i);
    lines[static_cast<size_t>(i)].time = absl::UnixEpoch();
  }
  Put(*store_, {AppendLogs{Job("one"), lines}});
  EXPECT_EQ(store_->ListLogs(Job("one"), {0, 1, 0})->lines[0].message, "5");
}

TEST_P(JobStoreContract, TheOldestLinesGoAlsoOverManyBatchesAndARestart) {
  Put(*store_, {CreateJob{SomeJob("one", 1)}});
  const std::vector<LogRecord> half(base::kLogLinesPerJobMax / 2,
                                    {absl::UnixEpoch(), 1, spec::Severity::kInfo, "old"});
  Put(*store_, {AppendLogs{Job("one"), half}, AppendLogs{Job("one"), half}});
  Reopen();
  const LogRecord line{absl::UnixEpoch(), 2, spec::Severity::kInfo, "new"};
  const int64_t cursor = store_->ListLogs(Job("one"), {0, 1, 0})->cursor;
  Put(*store_, {AppendLogs{Job("one"), {line}}, AppendLogs{Job("one"), {line}}});
  EXPECT_GT(store_->ListLogs(Job("one"), {0, 1, 0})->cursor, cursor + 1) << "two are gone";
  EXPECT_EQ(store_->ListLogs(Job("one"), {0, 1, 2})->lines[0], line);
  // All that is kept is read in pages; a cursor before the first kept line begins with that.
  int64_t count = 0;
  int64_t after = cursor;
  for (bool more = true; more;) {
    const auto page = store_->ListLogs(Job("one"), {after, base::kMetricPageSizeMax, 0});
    count += std::ssize(page->lines);
    after = page->cursor;
    more = page->more;
  }
  EXPECT_EQ(count, base::kLogLinesPerJobMax);
}

TEST_P(JobStoreContract, KeepsTheHistoriesOfJobsApart) {
  Put(*store_, {CreateJob{SomeJob("one", 1)}, CreateJob{SomeJob("two", 2)},
                AppendMetrics{Job("one"), {SomePoint("loss", 1, 1)}},
                AppendMetrics{Job("two"), {SomePoint("loss", 1, 2)}},
                AppendLogs{Job("two"), {{absl::UnixEpoch(), 1, spec::Severity::kInfo, "two"}}}});
  EXPECT_THAT(Values({0, 10, "", ""}), ElementsAre(1));
  EXPECT_THAT(store_->ListLogs(Job("one"), {0, 10, 0})->lines, IsEmpty());
  Put(*store_, {DeleteJob{Job("two"), 0}, CreateJob{SomeJob("two", 3)}});
  EXPECT_THAT(store_->ListMetrics(Job("two"), {0, 10, "", ""})->points, IsEmpty());
  EXPECT_THAT(store_->ListLogs(Job("two"), {0, 10, 0})->lines, IsEmpty())
      << "a new job of an old id begins empty";
  EXPECT_THAT(Values({0, 10, "", ""}), ElementsAre(1));
}

TEST_P(JobStoreContract, CursorsStayGoodOverARestartAndADeletion) {
  Put(*store_, {CreateJob{SomeJob("one", 1)}, CreateJob{SomeJob("two", 2)},
                AppendMetrics{Job("one"), {SomePoint("a", 1, 1)}},
                AppendMetrics{Job("two"), {SomePoint("a", 1, 9)}}});
  const int64_t cursor = store_->ListMetrics(Job("one"), {0, 10, "", ""})->cursor;
  const auto empty = store_->ListMetrics(Job("one"), {cursor, 10, "", ""});
  EXPECT_EQ(empty->cursor, cursor) << "an empty page goes on from where it was asked";
  EXPECT_FALSE(empty->more);
  Put(*store_, {DeleteJob{Job("two"), 0}});  // whose points were the newest
  Reopen();
  Put(*store_, {AppendMetrics{Job("one"), {SomePoint("a", 2, 2)}}});
  EXPECT_THAT(Values({cursor, 10, "", ""}), ElementsAre(2));
}

TEST_P(JobStoreContract, SeriesDifferInEachPartOfTheirName) {
  std::vector<spec::MetricPoint> points(5, SomePoint("a", 1, 0));
  points[1].name = "b";
  points[2].layer = "conv3";
  points[3].split = "train";
  points[4].time_step = 2;
  for (size_t i = 0; i < points.size(); ++i) points[i].value = static_cast<double>(i);
  Put(*store_, {CreateJob{SomeJob("one", 1)}, AppendMetrics{Job("one"), points}});
  EXPECT_THAT(Values({0, 10, "", ""}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Load().jobs[0].latest, SizeIs(5));
}

}  // namespace
}  // namespace bsnn::store
