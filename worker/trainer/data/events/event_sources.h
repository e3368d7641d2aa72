/// Which recordings a data set of event cameras has, and what is seen in them when.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <vector>

#include "spec/job_spec.h"
#include "worker/trainer/data/events/recording.h"

namespace bsnn::trainer {

bool IsEventSet(spec::DataName name);
/// Of its frames: as the spec asks, else the camera's.
int32_t SideOf(const spec::DataSpec& spec);
int64_t EventClassesOf(spec::DataName name);

/// The events of one recording with start <= time < end.
struct EventSample {
  size_t recording = 0;  ///< in EventSources::recordings
  uint8_t label = 0;
  int64_t start = std::numeric_limits<int64_t>::min();
  int64_t end = std::numeric_limits<int64_t>::max();
};

struct EventSources {
  absl::Status (*parse)(std::string_view, EventVisitor) = nullptr;
  int32_t side = 0;        ///< of the camera
  uint64_t bytes_max = 0;  ///< of one recording
  std::filesystem::path folder;
  std::vector<std::filesystem::path> recordings;  ///< below `folder`, relative to it
  std::vector<EventSample> samples;               ///< those of one recording one after the other
};

/// Lists the training or test recordings of the event set that `spec` names, in `folder`, or in
/// `folder`/<name>, at most spec.train_limit or test_limit samples. Reads names, lists and labels,
/// no recording.
///
/// n_mnist      {Train,Test}/{0..9}/*.bin, ordered by file name over all digits
/// cifar10_dvs  <class>/cifar10_<class>_<number>.aedat, split as spec.split says, the classes by
///              turns, so that any limit takes as many of each
/// dvs_gesture  trials_to_{train,test}.txt with a recording's name a line, and beside it
///              <recording>_labels.csv; also in a folder DvsGesture
///
/// NotFound naming what is missing; DataLoss with path and offset for a list or labels that are
/// wrong.
absl::StatusOr<EventSources> ListEventSources(const spec::DataSpec& spec,
                                              const std::filesystem::path& folder, bool train);

}  // namespace bsnn::trainer
