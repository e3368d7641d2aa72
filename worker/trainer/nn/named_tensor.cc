#include "worker/trainer/nn/named_tensor.h"

#include <ATen/core/grad_mode.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include <map>

namespace bsnn::trainer {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string Describe(const at::Tensor& tensor) {
  return absl::StrCat(c10::toString(tensor.scalar_type()), " [",
                      absl::StrJoin(tensor.sizes(), ", "), "]");
}

}  // namespace

absl::Status RestoreState(const NamedTensors& target, const NamedTensors& source,
                          std::string_view what) {
  const auto fail = [&](const std::string& name, const std::string& fault) {
    return absl::DataLossError(absl::StrCat(View(what), ": tensor '", name, "' ", fault));
  };
  std::map<std::string, const at::Tensor*> by_name;
  for (const NamedTensor& from : source) {
    if (!by_name.emplace(from.name, &from.tensor).second) return fail(from.name, "is there twice");
  }
  for (const NamedTensor& to : target) {
    const auto found = by_name.find(to.name);
    if (found == by_name.end()) return fail(to.name, "is missing");
    const at::Tensor& from = *found->second;
    if (from.sizes() != to.tensor.sizes() || from.scalar_type() != to.tensor.scalar_type()) {
      return fail(to.name, absl::StrCat("is ", Describe(from), "; allowed: ", Describe(to.tensor)));
    }
  }
  if (by_name.size() != target.size()) {
    for (const NamedTensor& to : target) by_name.erase(to.name);
    return fail(by_name.empty() ? "" : by_name.begin()->first, "is unknown");
  }
  at::NoGradGuard no_grad;
  for (const NamedTensor& to : target) to.tensor.copy_(*by_name.at(to.name));
  return absl::OkStatus();
}

}  // namespace bsnn::trainer
