#include "base/ids.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>

#include "base/fault.h"

namespace bsnn::base {

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= 63 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

template <class Tag>
absl::StatusOr<Id<Tag>> Id<Tag>::Make(std::string_view text) {
  if (!IsId(text)) {
    return absl::InvalidArgumentError(fmt::format(
        "{} is '{}' (allowed: [a-z0-9-], 1 to 63 characters)", Tag::kNoun, Shorten(text, 128)));
  }
  return Id(text);
}

template class Id<JobTag>;
template class Id<WorkerTag>;
template class Id<CheckpointTag>;

RandomBits SystemRandomBits() {
  auto device = std::make_shared<std::random_device>();
  return [device] { return (uint64_t{(*device)()} << 32) | (*device)(); };
}

std::string MakeIdText(std::string_view prefix, const RandomBits& bits) {
  // No vowels and no look-alikes: nothing rude, nothing misread.
  constexpr std::string_view kAlphabet = "23456789bcdfghjkmnpqrstvwxz";
  std::string text(IsId(prefix) ? prefix.substr(0, 54) : "job");
  text += '-';
  uint64_t random = bits();
  for (int i = 0; i < 8; ++i) {
    text += kAlphabet[random % kAlphabet.size()];
    random /= kAlphabet.size();
  }
  return text;
}

}  // namespace bsnn::base
