/// Collects every wrong field of a request, so that one reply names them all.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fault.h"

namespace bsnn::api {

/// Thread-compatible.
class RequestCheck {
 public:
  /// At most this many faults are kept: a request may hold thousands.
  static constexpr size_t kFaultsMax = 200;

  void Add(std::string field, std::string value, std::string allowed);
  /// Adds a fault unless `right`.
  void Require(bool right, std::string field, std::string value, std::string allowed);

  /// The value, or a default one with the error's faults added, each field after `prefix`.
  template <class T>
  T Take(absl::StatusOr<T> value, std::string_view prefix = "") {
    if (value.ok()) return *std::move(value);
    AddFaultsOf(value.status(), prefix);
    return T();
  }

  std::vector<base::FieldFault>& faults() { return faults_; }
  bool ok() const { return faults_.empty(); }
  /// OK, or InvalidFields with all of them.
  absl::Status status() const;

 private:
  void AddFaultsOf(const absl::Status& status, std::string_view prefix);

  std::vector<base::FieldFault> faults_;
};

/// The page size to use; a fault of "page_size" where it is below 0.
int PageSize(RequestCheck& check, int asked, int default_size, int size_max);

/// Characters (code points) of UTF-8 text.
size_t CharactersOf(std::string_view text);

/// At most 32 labels; keys [a-z0-9_-] of 1 to 63, values of at most 128 characters.
void CheckLabels(RequestCheck& check, std::string_view field,
                 const std::map<std::string, std::string>& labels);

/// A fault of `field`, which this release does not honour, where it is set.
void Refuse(RequestCheck& check, bool is_set, std::string field, std::string value);

/// Whether it is a UUID such as 123e4567-e89b-12d3-a456-426614174000.
bool IsUuid(std::string_view text);

}  // namespace bsnn::api
