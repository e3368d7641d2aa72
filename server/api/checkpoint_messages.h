/// Checkpoints between their messages and the catalogue's values.
#pragma once

#include "bsnn/v1/checkpoint.pb.h"
#include "server/store/records.h"

namespace bsnn::api {

v1::Checkpoint ToProto(const store::CheckpointRecord& record);

}  // namespace bsnn::api
