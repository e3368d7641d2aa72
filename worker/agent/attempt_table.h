/// The attempts of one worker, and what to do about each when the coordinator has answered.
///
/// Pure: it starts and ends nothing itself. The worker does what the commands say, in their order,
/// and tells what became of it by SetState and Gone. Thread-compatible.
#pragma once

#include <map>
#include <vector>

#include "worker/agent/attempt.h"

namespace bsnn::agent {

struct Command {
  enum class Kind {
    kStart,   ///< make the attempt from `order`
    kStop,    ///< ask it to stop, kill it after `order.grace`
    kForget,  ///< end it at once, drop what it has to say, remove its folder; then Gone()
  };
  Kind kind = Kind::kStart;
  Order order = {};  ///< with kForget only the key
};

class AttemptTable {
 public:
  explicit AttemptTable(int slots);

  /// What to do so that the worker does what `reply` says. An attempt without an order is to be
  /// forgotten; an order repeated changes nothing, and neither does one that cannot be read. An
  /// attempt whose slot is still held by one that has not ended waits: it starts at a later call.
  /// A stop of an attempt never seen starts and stops it, so that its end is reported.
  std::vector<Command> ApplyReply(const Orders& reply);
  std::vector<Command> Apply(const std::vector<Order>& orders) {
    return ApplyReply({.orders = orders});
  }

  /// The worker is to end: every attempt is to be stopped. New ones that still arrive are started
  /// and stopped, so that the coordinator hears of it.
  std::vector<Command> Drain(absl::Duration grace);

  /// What the attempt does now. Unknown keys are ignored.
  void SetState(const Report& report);
  /// A forgotten attempt's trainer and folder are gone.
  void Gone(const AttemptKey& key);

  /// All attempts but the forgotten ones.
  std::vector<Report> Reports() const;
  /// Attempts, the forgotten ones that are not gone counted.
  size_t size() const { return attempts_.size(); }

 private:
  struct Attempt {
    Report report = {};
    int slot = 0;
    bool stop_asked = false;
    bool forgotten = false;
  };

  void ApplyOne(const Order& order, std::vector<Command>& commands);
  void Start(const Order& order, std::vector<Command>& commands);
  bool SlotIsHeld(int slot) const;

  const int slots_;
  bool draining_ = false;
  absl::Duration drain_grace_;
  std::map<AttemptKey, Attempt> attempts_;
};

}  // namespace bsnn::agent
