/// Parts of a record that few jobs have, or that are small, in few bytes: a coordinator keeps up to
/// a million jobs in memory.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

namespace bsnn::store {

/// A job's labels in one string: a map of two costs more than the rest of a queued job's record.
class PackedLabels {
 public:
  using Map = std::map<std::string, std::string>;

  PackedLabels() = default;
  PackedLabels(const Map& labels);  // NOLINT(google-explicit-constructor)
  Map Unpack() const;
  /// Tagged fields (base/tagged_fields.h), 1 a key and 2 its value: what the store keeps.
  const std::string& bytes() const { return bytes_; }
  bool operator==(const PackedLabels&) const = default;

 private:
  std::string bytes_;
};

/// An optional value that takes a pointer's room where there is none. Copies are deep.
template <class T>
class Boxed {
 public:
  Boxed() = default;
  Boxed(T value) : value_(std::make_unique<T>(std::move(value))) {}  // NOLINT: as std::optional
  Boxed(const Boxed& other) : value_(other ? std::make_unique<T>(*other) : nullptr) {}
  Boxed(Boxed&&) noexcept = default;
  Boxed& operator=(Boxed other) noexcept {
    value_ = std::move(other.value_);
    return *this;
  }

  explicit operator bool() const { return value_ != nullptr; }
  bool has_value() const { return value_ != nullptr; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return value_.get(); }
  const T* operator->() const { return value_.get(); }
  T& emplace() { return *(value_ = std::make_unique<T>()); }
  void reset() { value_.reset(); }

 private:
  std::unique_ptr<T> value_;
};

}  // namespace bsnn::store
