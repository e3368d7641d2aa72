#include "server/cluster/facts.h"

namespace bsnn::cluster {

const store::CheckpointRecord* Job::FindCheckpoint(const base::CheckpointId& id) const {
  for (const auto& [at, checkpoint] : checkpoints) {
    if (checkpoint.id == id) return &checkpoint;
  }
  return nullptr;
}

const store::CheckpointRecord* Job::FindDigest(std::string_view digest) const {
  for (auto item = checkpoints.rbegin(); item != checkpoints.rend(); ++item) {
    if (item->second.digest == digest) return &item->second;
  }
  return nullptr;
}

spec::Device Worker::DeviceOf(int32_t slot) const {
  for (const store::Slot& item : record.slots) {
    if (item.index == slot) return item.device;
  }
  return spec::Device::kAny;
}

void RetiredIds::Put(const base::JobId& job, int32_t newest_epoch) {
  Erase(job);
  epochs_[job] = {newest_epoch, ++last_number_};
  by_number_.emplace(last_number_, job);
  if (std::ssize(epochs_) > ids_max_) Erase(base::JobId(by_number_.begin()->second));
}

int32_t RetiredIds::Find(const base::JobId& job) const {
  const auto found = epochs_.find(job);
  return found == epochs_.end() ? 0 : found->second.newest_epoch;
}

void RetiredIds::Erase(const base::JobId& job) {
  const auto found = epochs_.find(job);
  if (found == epochs_.end()) return;
  by_number_.erase(found->second.number);
  epochs_.erase(found);
}

const Job* Facts::FindJob(const base::JobId& id) const {
  const auto found = jobs_by_id.find(id.value());
  return found == jobs_by_id.end() ? nullptr : &jobs.at(found->second);
}

const Job* Facts::FindJob(int64_t sequence) const {
  const auto found = jobs.find(sequence);
  return found == jobs.end() ? nullptr : &found->second;
}

const Worker* Facts::FindWorker(const base::WorkerId& id) const {
  const auto found = workers.find(id);
  return found == workers.end() ? nullptr : &found->second;
}

}  // namespace bsnn::cluster
