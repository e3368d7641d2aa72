#include "spec/shared_spec.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "spec/packed_spec.h"

namespace bsnn::spec {

SharedSpec::SharedSpec(const JobSpec& spec)
    : packed_(std::make_shared<const std::string>(Pack(spec))) {}

absl::StatusOr<SharedSpec> SharedSpec::FromPacked(std::string_view packed) {
  RETURN_IF_ERROR(spec::Unpack(packed).status());
  SharedSpec shared;
  shared.packed_ = std::make_shared<const std::string>(packed);
  return shared;
}

JobSpec SharedSpec::Unpack() const {
  if (packed_ == nullptr) return JobSpec();
  absl::StatusOr<JobSpec> spec = spec::Unpack(*packed_);
  BSNN_CHECK(spec.ok());  // both ways in have seen to it
  return *std::move(spec);
}

const std::string& SharedSpec::packed() const {
  static const std::string* const default_spec = new std::string(Pack(JobSpec()));
  return packed_ == nullptr ? *default_spec : *packed_;
}

SharedSpec RecentSpecs::Share(SharedSpec spec) {
  const auto found = specs_.find(spec.packed());
  if (found != specs_.end()) return found->second;
  if (order_.size() == specs_max_) {
    specs_.erase(order_.front());
    order_.pop_front();
  }
  order_.push_back(spec.packed());
  specs_.emplace(order_.back(), spec);
  return spec;
}

}  // namespace bsnn::spec
