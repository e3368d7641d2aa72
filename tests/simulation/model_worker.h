/// A worker with the real agent's tables and relays, and trainers that are a counter of steps.
/// It crashes, goes silent, and its trainers die, hang and will not stop.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/world.h"
#include "worker/agent/attempt_table.h"
#include "worker/agent/event_relay.h"

namespace bsnn::simulation {

inline constexpr int64_t kStepsTotal = 12;
inline constexpr int64_t kStepsPerCheckpoint = 4;

class ModelWorker {
 public:
  ModelWorker(World& world, int number);
  void Step();
  /// It has no attempts left.
  bool IsGood() const { return nature_ == Nature::kGood; }
  /// Takes new attempts again.
  void EndDrain() { draining_ = false; }
  bool IsIdle() const { return is_up_ && table_->size() == 0; }

 private:
  struct Attempt {
    agent::EventRelay relay = {};
    int64_t step = 0;
    std::string digest = {};  // of its newest checkpoint
    bool started = false;     // its trainer has spoken
    bool hangs = false;
    bool ended = false;
    bool fenced = false;
    bool stop = false;
    absl::Duration kill_at = absl::InfiniteDuration();
    Call publish = {};
    Call upload = {};
  };

  /// What its machine is like, for ever.
  enum class Nature { kGood, kBroken, kWithoutData };

  void Crash();
  void Drain();
  void FailAtStart(const agent::AttemptKey& key, Attempt& attempt);
  void Send(Call& call, std::function<Answer(int64_t id)> serve);
  void Register();
  void Synchronize();
  void Execute(const std::vector<agent::Command>& commands);
  void Start(const agent::Order& order);
  void Train(const agent::AttemptKey& key, Attempt& attempt);
  void TrainStep(const agent::AttemptKey& key, Attempt& attempt);
  void End(const agent::AttemptKey& key, Attempt& attempt, const spec::Finished& finished);
  void Say(Attempt& attempt, decltype(spec::Event::kind) kind);
  void Publish(const agent::AttemptKey& key, Attempt& attempt);
  void PublishAnswered(Attempt& attempt, const absl::StatusOr<int64_t>& acknowledged);
  void Upload(const agent::AttemptKey& key, Attempt& attempt);
  /// The attempt that waits for the reply to `id`, or none.
  Attempt* Waiting(const agent::AttemptKey& key, Call Attempt::*call, int64_t id);
  void ReportState(const agent::AttemptKey& key, const Attempt& attempt);

  World& world_;
  const base::WorkerId id_;
  const int slots_;
  const Nature nature_;
  bool draining_ = false;
  int64_t synchronizations_ = 0;
  int runs_ = 0;
  std::string incarnation_;
  std::string replaces_;  // the incarnation before
  bool is_up_ = false;
  bool registered_ = false;
  absl::Duration start_at_;
  absl::Duration silent_until_;
  absl::Duration next_sync_;
  std::unique_ptr<agent::AttemptTable> table_;
  std::map<agent::AttemptKey, Attempt> attempts_;
  std::vector<std::pair<absl::Duration, agent::AttemptKey>> leaving_;
  Call register_;
  Call synchronize_;
};

}  // namespace bsnn::simulation
