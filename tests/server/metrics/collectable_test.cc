#include "server/metrics/collectable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <sstream>

namespace bsnn::metrics {
namespace {

using prometheus::MetricFamily;
using telemetry::SeriesKey;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

/// A scrape of one job with these series and values 0, 1, 2...
std::map<std::string, MetricFamily> Scrape(const std::vector<SeriesKey>& series, size_t max = 100) {
  const Collectable collectable({"1.0", max}, [&] {
    ServiceSample sample;
    telemetry::JobSample job;
    job.job = *base::JobId::Make("mnist");
    for (const SeriesKey& key : series) {
      const auto value = static_cast<double>(job.series.size());
      job.series.push_back({std::make_shared<const SeriesKey>(key), value});
    }
    sample.jobs.jobs.push_back(job);
    return sample;
  });
  std::map<std::string, MetricFamily> families;
  for (MetricFamily& family : collectable.Collect()) families.emplace(family.name, family);
  return families;
}

std::vector<std::pair<std::string, std::string>> LabelsOf(const MetricFamily& family) {
  std::vector<std::pair<std::string, std::string>> labels;
  for (const auto& label : family.metric.at(0).label) labels.emplace_back(label.name, label.value);
  return labels;
}

TEST(Collectable, ShowsSeriesWithTheLabelsThatTheyHave) {
  const auto families = Scrape({{"energy_joules", "conv2", "", -1},
                                {"top5_accuracy_ratio", "", "test", -1},
                                {"resident_memory_peak_bytes", "", "", -1},
                                {"alpha", "conv2", "", 1},
                                {"sign_flips", "all", "", -1}});
  const MetricFamily& energy = families.at("bsnn_job_energy_joules");
  EXPECT_THAT(LabelsOf(energy), ElementsAre(Pair("training_job", "mnist"), Pair("layer", "conv2")));
  EXPECT_EQ(energy.metric[0].gauge.value, 0);
  EXPECT_THAT(LabelsOf(families.at("bsnn_job_top5_accuracy_ratio")),
              ElementsAre(Pair("training_job", "mnist"), Pair("split", "test")));
  const MetricFamily& memory = families.at("bsnn_job_resident_memory_peak_bytes");
  EXPECT_THAT(LabelsOf(memory), ElementsAre(Pair("training_job", "mnist")));
  EXPECT_EQ(memory.metric[0].gauge.value, 2);
  EXPECT_THAT(LabelsOf(families.at("bsnn_job_alpha")),
              ElementsAre(Pair("training_job", "mnist"), Pair("layer", "conv2"), Pair("time_step", "1")));
  EXPECT_EQ(families.at("bsnn_job_sign_flips_total").metric[0].counter.value, 4);
}

TEST(Collectable, LeavesOutDetailByLayerFirst) {
  // The job's own line takes one of three.
  const auto families = Scrape({{"energy_joules", "conv2", "", -1},
                                {"energy_joules", "all", "", -1},
                                {"step_seconds", "", "", -1}},
                               3);
  ASSERT_EQ(families.at("bsnn_job_energy_joules").metric.size(), 1u);
  EXPECT_EQ(families.at("bsnn_job_energy_joules").metric[0].label[1].value, "all");
  EXPECT_EQ(families.at("bsnn_job_step_seconds").metric.size(), 1u);
  EXPECT_EQ(families.at("bsnn_metrics_series_dropped_total").metric[0].counter.value, 1);
}

TEST(Collectable, EveryFamilyIsInTheDocument) {
  std::ostringstream text;
  text << std::ifstream(BSNN_ROOT "/docs/metrics.md").rdbuf();
  for (const auto& [name, family] : Scrape({})) {
    EXPECT_THAT(text.str(), HasSubstr("`" + name + "`"));
    EXPECT_FALSE(family.help.empty()) << name;
  }
}

}  // namespace
}  // namespace bsnn::metrics
