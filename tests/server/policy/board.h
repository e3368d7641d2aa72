/// Boards: jobs that wait and workers that offer, drawn at random or written by hand, with the laws
/// that every plan obeys.
///
/// The laws are written from the rule in decide.h and share no code with Decide.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "server/policy/decide.h"

namespace bsnn::policy {

struct JobOnBoard {
  Want want;
  Needs needs;
  bool queued = true;
};

struct Board {
  std::vector<JobOnBoard> jobs;
  std::map<base::WorkerId, Offer> workers;

  /// In the order of the queue.
  std::vector<JobOnBoard> JobsInOrder() const;
};

/// How large a board is drawn: at most so many of each.
struct Size {
  int workers = 3;
  int slots = 6;  ///< in all
  int jobs = 8;
};
Board RandomBoard(std::mt19937_64& random, const Size& size);
/// The same board, where workers have other names.
Board WithOtherNames(const Board& board, std::mt19937_64& random);
/// For messages of failed tests.
std::string ToText(const Board& board);

/// A view of a board. `detours` draws removals and other offers on the way to the board, which must
/// leave no trace.
class BoardView {
 public:
  explicit BoardView(const Board& board, std::mt19937_64* detours = nullptr);
  View view() const { return {wants_, offers_}; }
  const Wants& wants() const { return wants_; }

 private:
  Wants wants_;
  Offers offers_;
};

/// Whether a slot of `device` on this worker can run the job, as far as its needs say.
bool Fits(const Board& board, const Needs& needs, const base::WorkerId& worker,
          spec::Device device);

/// What a job got: 2 a slot of the device it likes best, 1 another, 0 none.
using Outcome = std::map<int64_t, int>;  // by job
Outcome OutcomeOf(const Board& board, const Plan& plan);
/// The best outcome there is: the first job's is the best possible, then the second's, and so on.
/// Looks at every way to fill the slots, of which there may be 16.
Outcome BestOutcome(const Board& board);

/// The first law that the plan breaks, in words; "" for none. Laws: a start's slot is free, fits
/// and is used once; no free slot is left beside a job that fits it; no job has a slot that a job
/// before it waits for; each class that waits has the reason that is true.
std::string BrokenLaw(const Board& board, const Plan& plan);

}  // namespace bsnn::policy
