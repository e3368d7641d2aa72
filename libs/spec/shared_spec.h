/// A job spec that many jobs and threads may hold: kept packed, unpacked when it is asked for.
#pragma once

#include <absl/status/statusor.h>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "spec/job_spec.h"

namespace bsnn::spec {

/// Immutable. Copies share the packed form (spec/packed_spec.h), which is a tenth of a JobSpec.
class SharedSpec {
 public:
  /// The default spec.
  SharedSpec() = default;
  explicit SharedSpec(const JobSpec& spec);
  /// The errors of Unpack.
  static absl::StatusOr<SharedSpec> FromPacked(std::string_view packed);

  /// Costs about a microsecond.
  JobSpec Unpack() const;
  const std::string& packed() const;

  friend bool operator==(const SharedSpec& a, const SharedSpec& b) {
    return a.packed_ == b.packed_ || a.packed() == b.packed();
  }

 private:
  std::shared_ptr<const std::string> packed_;  // null: the default spec
};

/// Lets equal specs that come one after the other share one copy. Thread-compatible.
class RecentSpecs {
 public:
  explicit RecentSpecs(size_t specs_max) : specs_max_(specs_max) {}

  /// `spec`, or an equal one among the last specs_max different ones.
  SharedSpec Share(SharedSpec spec);

 private:
  size_t specs_max_;
  std::unordered_map<std::string_view, SharedSpec> specs_;  // by views of their packed forms
  std::deque<std::string_view> order_;                      // oldest first
};

}  // namespace bsnn::spec
