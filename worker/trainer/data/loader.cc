#include "worker/trainer/data/loader.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "worker/trainer/data/random_stream.h"

namespace bsnn::trainer {
namespace {

constexpr uint64_t kStreamOfOrder = 0x6F72646572;  // "order"
/// Few, so that threads share a batch; more than one, so that the lock is not what they wait for.
constexpr int64_t kPicturesAtOnce = 4;

/// Null where there is no memory: a thread must not throw.
float* AllocateFloats(int64_t count) {
  constexpr size_t kAlignment = 64;
  const size_t bytes = static_cast<size_t>(std::max<int64_t>(1, count)) * sizeof(float);
  const size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return static_cast<float*>(std::aligned_alloc(kAlignment, whole));
}

}  // namespace

std::vector<int64_t> EpochOrder(int64_t size, int64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(kStreamOfOrder, static_cast<uint64_t>(seed), static_cast<uint64_t>(epoch));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  return order;
}

Loader::Loader(const Dataset& data, const LoadPlan& plan, int threads)
    : data_(data),
      plan_(plan),
      steps_per_epoch_((data.size() + plan.batch_size - 1) / plan.batch_size),
      next_step_(plan.first_step) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Loader::~Loader() {
  {
    const absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

void Loader::Work() {
  const absl::MutexLock lock(&mutex_);
  while (true) {
    mutex_.Await(absl::Condition(this, &Loader::HasWork));
    if (closing_) return;
    if (Claimable() == nullptr) Start();
    Fill(*Claimable());
  }
}

bool Loader::HasWork() const {
  const bool may_start =
      std::ssize(slots_) < kBatchesAhead && next_step_ < steps_per_epoch_ * plan_.epochs;
  return closing_ || may_start || Claimable() != nullptr;
}

Loader::Slot* Loader::Claimable() const {
  for (const auto& slot : slots_) {
    if (slot->claimed < slot->batch.size()) return slot.get();
  }
  return nullptr;
}

void Loader::Start() {
  const int64_t epoch = next_step_ / steps_per_epoch_;
  if (order_epoch_ != epoch) {
    if (plan_.training) {
      order_ = EpochOrder(data_.size(), plan_.training->seed, epoch);
    } else if (order_.empty()) {
      order_.resize(static_cast<size_t>(data_.size()));
      std::iota(order_.begin(), order_.end(), 0);
    }
    order_epoch_ = epoch;
  }
  const int64_t begin = next_step_ % steps_per_epoch_ * plan_.batch_size;
  const int64_t whole = std::min(plan_.batch_size, data_.size() - begin);
  const int64_t first = begin + whole * plan_.rank / plan_.ranks;
  const int64_t size = begin + whole * (plan_.rank + 1) / plan_.ranks - first;
  auto slot = std::make_unique<Slot>();
  slot->batch.images.reset(AllocateFloats(size * data_.shape().values()));
  slot->batch.labels.resize(static_cast<size_t>(size));
  slot->batch.of_all_ranks = whole;
  if (slot->batch.images == nullptr) {
    slot->fault = absl::ResourceExhaustedError("out of memory for a batch");
    slot->claimed = slot->done = size;
  }
  slot->pictures.assign(order_.begin() + first, order_.begin() + first + size);
  slot->epoch = epoch;
  slots_.push_back(std::move(slot));
  ++next_step_;
}

void Loader::Fill(Slot& slot) {
  const int64_t first = slot.claimed;
  const int64_t last = std::min(first + kPicturesAtOnce, slot.batch.size());
  slot.claimed = last;
  mutex_.Unlock();
  const auto values = static_cast<size_t>(data_.shape().values());
  std::optional<EpochAugmentation> change;
  if (plan_.training) {
    change = {plan_.training->augmentation, plan_.training->seed, slot.epoch};
  }
  absl::Status fault;
  int64_t at = first;
  for (; at < last && fault.ok(); ++at) {
    const auto i = static_cast<size_t>(at);
    const int64_t picture = slot.pictures[i];
    slot.batch.labels[i] = data_.labels()[static_cast<size_t>(picture)];
    fault = DataUnavailable(data_.Read(picture, change ? &*change : nullptr,
                                       {slot.batch.images.get() + i * values, values}));
  }
  mutex_.Lock();
  slot.done += last - first;
  if (!fault.ok() && (slot.fault.ok() || at < slot.fault_at)) {
    slot.fault = std::move(fault);
    slot.fault_at = at;
  }
}

absl::StatusOr<Batch> Loader::Next() {
  const absl::MutexLock lock(&mutex_);
  if (slots_.empty()) {
    BSNN_CHECK(next_step_ < steps_per_epoch_ * plan_.epochs);
    Start();
  }
  Slot& slot = *slots_.front();
  while (slot.claimed < slot.batch.size()) Fill(slot);
  const auto is_whole = [](Slot* one) { return one->done == one->batch.size(); };
  mutex_.Await(absl::Condition(+is_whole, &slot));
  const std::unique_ptr<Slot> taken = std::move(slots_.front());
  slots_.pop_front();
  if (!taken->fault.ok()) return taken->fault;
  return std::move(taken->batch);
}

}  // namespace bsnn::trainer
