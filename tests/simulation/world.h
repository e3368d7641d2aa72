/// A coordinator that crashes, the network around it, and time: everything drawn from one seed.
///
/// A call is a request on its way, then the scheduler's answer, which leaves once its ticket is
/// durable, then a reply on its way. Each of these can be lost or late, and requests can come
/// twice. A crash drops what is not durable and every answer that has not left.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "server/scheduler/scheduler.h"
#include "server/store/memory/memory_job_store.h"
#include "tests/simulation/causes.h"
#include "tests/simulation/ledger.h"

namespace bsnn::simulation {

/// What can go wrong. Each seed draws its own rates, some of them zero: one kind of trouble alone
/// meets what all kinds together hide.
enum class Trouble {
  kCoordinator,  ///< it crashes
  kPause,        ///< it stands still
  kClock,        ///< its wall clock jumps
  kTicks,        ///< its ticker is late
  kNetwork,      ///< messages are lost, late, or come twice
  kWorker,       ///< workers crash
  kSilence,      ///< a worker's calls do not get through, either way
  kTrainer,      ///< trainers die, hang, err
  kCheckpoint,   ///< a checkpoint does not verify where it is restored
  kUser,         ///< users cancel and delete
  kDrain,        ///< workers are drained, and come back
  kStore,        ///< the store has no room for a while
  kCount,
};

struct Answer {
  store::Ticket ticket = 0;             ///< durable before it leaves
  std::function<void()> leave = [] {};  ///< the outside may know it from now on
  std::function<void()> arrive;         ///< may never come
};

/// A call under way, as its caller keeps it; id 0 is none.
struct Call {
  int64_t id = 0;
  absl::Duration give_up;
};

/// Confined to one thread.
class World : public scheduler::Observer {
 public:
  explicit World(uint64_t seed);

  /// Time goes on a little, and everything of the coordinator and the network that is due happens.
  void Step();
  /// From now on nothing goes wrong.
  void Calm() {
    calm_ = true;
    calm_since_ = time_;
  }

  /// Sends a request, unless `call` is under way. `serve` runs at the coordinator, perhaps twice,
  /// perhaps late, perhaps never; it is told the id of the call.
  void Send(Call& call, std::function<Answer(int64_t id)> serve);
  /// Whether the reply to `id` is still waited for; ends the wait.
  static bool Take(Call& call, int64_t id);

  bool IsUp() const { return scheduler_ != nullptr; }
  scheduler::Scheduler& coordinator() { return *scheduler_; }
  store::MemoryJobStore& store() { return store_; }
  Ledger& ledger() { return ledger_; }
  Causes& causes() { return causes_; }

  /// What must be durable before an error is told.
  store::Ticket ErrorTicket() const { return scheduler_->LastTicket(); }

  /// By the coordinator's clocks.
  scheduler::Instant now() const;
  /// By a clock that nobody can disturb.
  absl::Duration time() const { return time_; }

  bool Chance(double probability);
  /// The same for what goes wrong, times the seed's rate of that trouble: never after Calm.
  bool Fault(Trouble trouble, double probability) {
    const double rate = rates_[static_cast<size_t>(trouble)];
    return !calm_ && rate > 0 && Chance(probability * rate);
  }
  bool calm() const { return calm_; }
  int64_t Uniform(int64_t low, int64_t high);
  absl::Duration Milliseconds(int64_t low, int64_t high) {
    return absl::Milliseconds(Uniform(low, high));
  }

  void OnChanges(store::Ticket ticket, const std::vector<scheduler::JobChange>& changes) override;

 private:
  struct Message {
    absl::Duration due;
    bool for_coordinator = false;
    std::function<void()> act;
  };
  void Start();
  void Crash();
  /// Everything that the store must give back.
  std::string Dump() const;
  void CheckWorkConservation();
  /// No job that goes before `placed` and fits where it was placed is left waiting.
  void CheckOrder(const scheduler::JobView& placed);
  void Post(bool for_coordinator, std::function<void()> act);
  void Deliver();

  std::mt19937_64 random_;
  std::array<double, static_cast<size_t>(Trouble::kCount)> rates_{};
  bool calm_ = false;
  Ledger ledger_;
  Causes causes_;
  std::string dump_;  // at a crash after which nothing is missing in the store
  absl::Duration calm_since_;
  int idle_beside_waiting_ = 0;  // checks in a row
  store::MemoryJobStore store_;
  std::unique_ptr<telemetry::Telemetry> telemetry_;
  std::unique_ptr<scheduler::Scheduler> scheduler_;
  absl::Duration time_;
  absl::Duration wall_offset_;
  absl::Duration steady_offset_;
  absl::Duration start_at_;
  std::vector<Message> messages_;
  int64_t last_call_ = 0;
  int64_t steps_ = 0;
};

}  // namespace bsnn::simulation
