#include "server/api/checkpoint_messages.h"

#include "wire/event.h"
#include "wire/names.h"

namespace bsnn::api {

v1::Checkpoint ToProto(const store::CheckpointRecord& record) {
  v1::Checkpoint message;
  message.set_name(wire::CheckpointName(record.job, record.id));
  message.set_step(record.step);
  message.set_epoch(record.epoch);
  message.set_attempt_epoch(record.attempt_epoch);
  message.set_digest(record.digest);
  for (const store::CheckpointFile& file : record.files) {
    auto& added = *message.add_files();
    added.set_name(file.name);
    added.set_size_bytes(file.size_bytes);
    added.set_sha256(file.sha256);
  }
  message.set_size_bytes(record.size_bytes);
  message.set_accuracy_ratio(record.accuracy_ratio);
  message.set_pinned(record.pinned);
  *message.mutable_create_time() = wire::ToProtoTime(record.create_time);
  return message;
}

}  // namespace bsnn::api
