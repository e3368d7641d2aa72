#include "server/scheduler/ready_queue.h"

#include <ext/pb_ds/assoc_container.hpp>
#include <ext/pb_ds/tree_policy.hpp>
#include <utility>

namespace bsnn::scheduler {
namespace {

// libstdc++'s order-statistics tree: a std::set that also knows ranks.
using Key = std::pair<int64_t, int64_t>;  // -priority, sequence
using Tree = __gnu_pbds::tree<Key, __gnu_pbds::null_type, std::less<>, __gnu_pbds::rb_tree_tag,
                              __gnu_pbds::tree_order_statistics_node_update>;

Key KeyOf(const ReadyQueue::Entry& entry) { return {-int64_t{entry.priority}, entry.sequence}; }

}  // namespace

struct ReadyQueue::Trees {
  std::array<Tree, 3> by_device;
  Tree& Of(spec::Device device) { return by_device.at(static_cast<size_t>(device)); }
};

ReadyQueue::ReadyQueue() : trees_(std::make_unique<Trees>()) {}
ReadyQueue::~ReadyQueue() = default;

void ReadyQueue::Insert(const Entry& entry) { trees_->Of(entry.device).insert(KeyOf(entry)); }
void ReadyQueue::Erase(const Entry& entry) { trees_->Of(entry.device).erase(KeyOf(entry)); }

std::optional<int64_t> ReadyQueue::FirstFor(spec::Device device) const {
  std::optional<Key> first;
  for (const Tree* tree : {&trees_->Of(device), &trees_->Of(spec::Device::kAny)}) {
    if (!tree->empty() && (!first || *tree->begin() < *first)) first = *tree->begin();
  }
  return first ? std::optional(first->second) : std::nullopt;
}

int32_t ReadyQueue::PositionOf(const Entry& entry) const {
  size_t before = 0;
  for (const Tree& tree : trees_->by_device) before += tree.order_of_key(KeyOf(entry));
  return static_cast<int32_t>(before) + 1;
}

bool ReadyQueue::Before(const Entry& a, const Entry& b) { return KeyOf(a) < KeyOf(b); }

}  // namespace bsnn::scheduler
