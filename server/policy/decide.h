/// Who should run where: a pure function of what waits and what is offered.
///
/// The rule: jobs in the order of their priority, then age; each gets the first place that fits. A
/// job that nothing fits does not hold up those behind it. A place fits by device (a job that takes
/// any gets CUDA where there is some) and data set. A job does not go to a worker that failed it
/// while another worker could run it, be that one busy: then it waits. Among places that fit, the
/// worker with most free slots is taken, then the smaller id.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/policy/view.h"

namespace bsnn::policy {

/// Why a class of jobs waits. In order of precedence: the first that is true is told.
enum class WaitReason {
  kNoSuchDevice,   ///< no registered worker has a slot of the device
  kNoData,         ///< registered workers have slots of the device, but none has the data set
  kNoWorker,       ///< the workers that could run it are lost, silent or drain
  kSuspect,        ///< only suspect slots fit, which wait for the end of a pause (health.h)
  kAvoidsWorkers,  ///< slots are free, but only on workers that failed it; another is busy
  kBusy,           ///< every slot that fits is in use
};

struct Start {
  int64_t job = 0;  ///< sequence
  base::WorkerId worker;
  int32_t slot = 0;
  bool operator==(const Start&) const = default;
};

struct Plan {
  std::vector<Start> starts;            ///< in the order of the jobs
  std::map<Needs, WaitReason> reasons;  ///< of each class of jobs that still waits
  int64_t work = 0;                     ///< places and classes that were looked at
};

Plan Decide(const View& view);

}  // namespace bsnn::policy
