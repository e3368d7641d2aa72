/// A network's weights as they are deployed, packed. docs/packed-format.md has the layout.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/packed.h"
#include "spec/job_spec.h"
#include "worker/trainer/model/network.h"
#include "worker/trainer/nn/named_tensor.h"

namespace bsnn::trainer {

/// In a packed model's card: SHA-256 of the model.safetensors that it was packed from.
inline constexpr char kSourceKey[] = "source_sha256";

/// When and how well.
struct CheckpointFacts {
  int64_t step = 0;
  int32_t epoch = 0;
  double accuracy_ratio = 0;  ///< NaN where it was not evaluated
};

/// Which tensors of a network's State() are not float32 where it is deployed.
struct PackRules {
  InputShape shape;              ///< the network's
  std::set<std::string> binary;  ///< signs and scales, by `binarization`; empty in an snn
  spec::Binarization binarization = spec::Binarization::kSign;
  std::set<std::string> int8;  ///< the ends, where they are rounded
};

/// `spec` is the network's.
PackRules PackRulesOf(const Network& network, const spec::JobSpec& spec);

/// Every tensor of `state` (Network::State(), on any device, or a copy) as the network computes
/// with it in evaluation. Worked out on the CPU.
std::vector<artifact::PackedTensor> PackTensors(const NamedTensors& state, const PackRules& rules);

/// Bytes of their data.
uint64_t TensorBytesOf(const std::vector<artifact::PackedTensor>& tensors);

/// PackTensors with the card. `source_sha256`: of the model.safetensors with this state.
artifact::PackedModel PackModel(const NamedTensors& state, const PackRules& rules,
                                const spec::JobSpec& spec, const CheckpointFacts& facts,
                                const std::string& source_sha256);

/// Copies a packed model into `network`, which takes its weights as they are from then on. `path`
/// begins messages. DataLoss where names or shapes are not the network's; at most the network's
/// own size is read.
absl::Status RestorePacked(const artifact::PackedFile& file, std::string_view path,
                           Network& network);

}  // namespace bsnn::trainer
