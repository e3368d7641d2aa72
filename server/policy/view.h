/// What the policy sees: jobs that wait, and places for them. Indices that are kept up to date as
/// facts change, so that a decision scans neither all jobs nor all slots.
///
/// Plain values, no clock, no store, no pointer to a job. Tests build a View by hand.
/// Thread-compatible.
#pragma once

#include <absl/container/btree_set.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "spec/job_spec.h"

namespace bsnn::policy {

inline constexpr int kDevices = 3;  ///< one past the largest spec::Device

/// What a job asks of a place. Jobs with equal needs are one class: what fits one fits all.
struct Needs {
  spec::Device device = spec::Device::kAny;
  spec::DataName data = spec::DataName::kMnist;
  std::set<base::WorkerId> avoid;  ///< workers that failed it
  auto operator<=>(const Needs&) const = default;
};

/// A job that waits for a place. The order is: higher priority, then the older job.
struct Want {
  int32_t priority = 0;
  int64_t job = 0;  ///< sequence of the job: the order of creation
  bool operator==(const Want&) const = default;
  bool GoesBefore(const Want& other) const {
    return priority != other.priority ? priority > other.priority : job < other.job;
  }
};
struct InOrder {
  bool operator()(const Want& a, const Want& b) const { return a.GoesBefore(b); }
};

/// Jobs that wait, by needs, and their order. Each operation costs O(log n).
class Wants {
 public:
  /// Jobs of one class.
  struct Queue {
    absl::btree_set<Want, InOrder> jobs;
    int64_t queued = 0;  ///< of them, those without an attempt
  };

  Wants();
  ~Wants();

  /// `queued`: it has no attempt; else it has one on a worker that is silent, and wants to leave.
  /// Gives whether that changed anything.
  bool Put(const Want& want, const Needs& needs, bool queued);
  void Erase(int64_t job);
  const Needs* FindNeeds(int64_t job) const;

  const std::map<Needs, Queue>& queues() const { return queues_; }
  /// How many queued jobs go before it.
  int64_t CountBefore(const Want& want) const;

 private:
  struct Ranks;
  struct Entry {
    Want want;
    std::map<Needs, Queue>::iterator queue;
    bool queued = true;
  };
  std::map<Needs, Queue> queues_;
  std::unordered_map<int64_t, Entry> entries_;  // by job
  std::unique_ptr<Ranks> ranks_;                // of queued ones, with positions
};

/// What one worker offers.
struct Offer {
  /// Slots that may be given out now, by device: free and open (health.h).
  std::array<std::set<int32_t>, kDevices> free;
  /// Open slots, by device: used ones too.
  std::array<int, kDevices> slots{};
  /// Suspect slots that wait for the end of their pause, by device.
  std::array<int, kDevices> suspect{};
  /// Slots of a worker that gets nothing new: it is lost, silent or drains. By device.
  std::array<int, kDevices> away{};
  std::optional<std::set<spec::DataName>> data;  ///< nothing: the worker does not say
  std::set<spec::DataName> missing_data;         ///< found missing or damaged there
  bool operator==(const Offer&) const = default;

  bool HasData(spec::DataName name) const {
    return !missing_data.contains(name) && (!data || data->contains(name));
  }
};

/// What all registered workers offer.
class Offers {
 public:
  /// Workers with the same data sets, and for each device those with free slots, most first.
  struct Group {
    int members = 0;  ///< workers, those without a trusted slot counted
    std::optional<std::set<spec::DataName>> data;
    std::set<spec::DataName> missing_data;
    std::array<std::set<std::pair<int, base::WorkerId>>, kDevices> free;  ///< (-free slots, worker)
    std::array<std::set<base::WorkerId>, kDevices> workers;               ///< with open slots of it
    std::array<int, kDevices> suspect{};                                  ///< such slots
    std::array<int, kDevices> away{};                                     ///< the same
    bool HasData(spec::DataName name) const {
      return !missing_data.contains(name) && (!data || data->contains(name));
    }
  };
  using Groups =
      std::map<std::pair<std::optional<std::set<spec::DataName>>, std::set<spec::DataName>>, Group>;

  /// Gives whether that changed anything.
  bool Put(const base::WorkerId& worker, Offer offer);
  void Erase(const base::WorkerId& worker);

  const Groups& groups() const { return groups_; }
  const Offer* FindOffer(const base::WorkerId& worker) const;
  int free_slots(spec::Device device) const { return free_[static_cast<size_t>(device)]; }

 private:
  std::map<base::WorkerId, Offer> offers_;
  Groups groups_;
  std::array<int, kDevices> free_{};
};

struct View {
  const Wants& wants;
  const Offers& offers;
};

}  // namespace bsnn::policy
