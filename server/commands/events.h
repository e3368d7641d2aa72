/// What trainers report.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <vector>

#include "server/commands/transaction.h"

namespace bsnn::commands {

struct AcceptedEvents {
  int64_t acknowledged_sequence = 0;
  size_t first_new = 0;  ///< events before it were repeats
};

/// See Scheduler::AcceptEvents. `admitted[i]` says whether event i is within the job's limit of
/// series (telemetry::Telemetry::Admit).
absl::StatusOr<AcceptedEvents> AcceptEvents(Transaction& tx, const EventBatch& batch,
                                            const std::vector<bool>& admitted, bool store_has_room);

}  // namespace bsnn::commands
