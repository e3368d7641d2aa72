/// How much memory a batch takes while it waits to be written, roughly.
#pragma once

#include <cstdint>

#include "server/store/job_store.h"

namespace bsnn::store {

int64_t BytesOf(const Batch& batch);

}  // namespace bsnn::store
