/// The measurements of control_plane_bench. Each starts coordinators of its own below `work`.
#pragma once

#include <cstdint>
#include <filesystem>

#include "tests/bench/control_plane/report.h"

namespace bsnn::bench {

struct Setting {
  std::filesystem::path coordinator;  ///< the program
  std::filesystem::path work;         ///< an empty folder
  bool quick = false;                 ///< a tenth of the sizes and times: to see that it runs
};

/// CreateJob and GetJob beside Health/Check.
void MeasureCalls(const Setting& setting, Report& report);
/// `jobs` queued jobs that differ in their specs: start, memory, store, ListJobs with any filter.
void MeasureKeptJobs(const Setting& setting, int64_t jobs, Report& report);
/// 10 000 workers that synchronise every 5 s.
void MeasureWorkers(const Setting& setting, Report& report);
/// Metric points taken, their way to /metrics, and the scrape of 10 000 series.
void MeasurePoints(const Setting& setting, Report& report);
/// What deleting a job of 5 000 000 points does to other calls.
void MeasureDeletion(const Setting& setting, Report& report);
/// A checkpoint's download beside a gRPC stream of the same messages from memory.
void MeasureDownload(const Setting& setting, Report& report);
/// A pass of the policy over 1 000 000 queued jobs and 10 000 slots.
void MeasureDecisions(const Setting& setting, Report& report);

}  // namespace bsnn::bench
