/// What every handler works on.
#pragma once

#include "base/clock.h"
#include "blob/blob_store.h"
#include "server/api/api_stats.h"
#include "server/api/block_sums.h"
#include "server/api/change_hub.h"
#include "server/api/work_pool.h"
#include "server/scheduler/scheduler.h"
#include "server/store/history_store.h"

namespace bsnn::api {

class BlobSweeper;

/// Borrowed parts, all thread-safe; the composition root owns them and outlives every call.
struct Backend {
  scheduler::Scheduler& scheduler;
  store::JobStore& store;
  const store::HistoryStore& histories;
  blob::BlobStore& blobs;
  const base::Clock& clock;
  WorkPool& disk;     ///< checkpoint files
  WorkPool& history;  ///< metrics and logs of the store
  ChangeHub& hub;
  ApiStats& stats;
  BlobSweeper* sweeper = nullptr;  ///< none in some tests
  std::shared_ptr<BlockSums> sums = std::make_shared<BlockSums>();

  scheduler::Instant Now() const { return {clock.Now(), clock.Steady()}; }
};

}  // namespace bsnn::api
