/// What an adapter is: both ports over one place. Who uses one of them names that port alone.
#pragma once

#include "server/store/history_store.h"
#include "server/store/job_store.h"

namespace bsnn::store {

class Store : public JobStore, public HistoryStore {};

}  // namespace bsnn::store
