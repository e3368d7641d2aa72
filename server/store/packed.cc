#include "server/store/packed.h"

#include "base/tagged_fields.h"

namespace bsnn::store {

PackedLabels::PackedLabels(const Map& labels) {
  base::TaggedWriter list(bytes_);
  for (const auto& [key, value] : labels) {
    list.Bytes(1, key);
    list.Bytes(2, value);
  }
  bytes_.shrink_to_fit();
}

PackedLabels::Map PackedLabels::Unpack() const {
  Map labels;
  base::TaggedReader list(bytes_);
  while (list.Next()) {
    const std::string key(list.bytes());
    list.Next();
    labels.emplace_hint(labels.end(), key, list.bytes());
  }
  return labels;
}

}  // namespace bsnn::store
