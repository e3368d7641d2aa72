/// Ids of jobs, workers and checkpoints: distinct types over a checked text.
#pragma once

#include <absl/status/statusor.h>

#include <compare>
#include <functional>
#include <string>
#include <string_view>

namespace bsnn::base {

/// Whether `text` is [a-z0-9-]{1,63}: safe as a label, as a path component and in a resource name.
bool IsId(std::string_view text);

/// A checked id. `Tag` keeps jobs, workers and checkpoints apart. Immutable; empty only by default.
template <class Tag>
class Id {
 public:
  Id() = default;
  /// InvalidArgument unless IsId(text).
  static absl::StatusOr<Id> Make(std::string_view text);

  const std::string& value() const { return value_; }
  bool empty() const { return value_.empty(); }
  auto operator<=>(const Id&) const = default;

 private:
  explicit Id(std::string_view text) : value_(text) {}
  std::string value_;
};

struct JobTag {
  static constexpr char kNoun[] = "job id";
};
struct WorkerTag {
  static constexpr char kNoun[] = "worker id";
};
struct CheckpointTag {
  static constexpr char kNoun[] = "checkpoint id";
};
using JobId = Id<JobTag>;
using WorkerId = Id<WorkerTag>;
using CheckpointId = Id<CheckpointTag>;

/// Where new ids and incarnations come from: 64 random bits a call. Injected.
using RandomBits = std::function<uint64_t()>;

/// Random bits from the operating system.
RandomBits SystemRandomBits();

/// A new id such as "mnist-7f3k2q9d": `prefix` (kept where it is an id) and 8 random characters.
std::string MakeIdText(std::string_view prefix, const RandomBits& bits);

}  // namespace bsnn::base

template <class Tag>
struct std::hash<bsnn::base::Id<Tag>> {
  size_t operator()(const bsnn::base::Id<Tag>& id) const {
    return std::hash<std::string>()(id.value());
  }
};
