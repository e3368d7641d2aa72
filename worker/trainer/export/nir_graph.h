/// A graph of the Neuromorphic Intermediate Representation (NIR), and its HDF5 file. Torch-free.
///
/// Source: Pedersen et al., Nature Communications 15, 8122 (2024), and the Python package nir 1.0,
/// which reads the file.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bsnn::trainer {

/// Row-major.
struct NirFloats {
  std::vector<uint64_t> shape;
  std::vector<float> values;
};
using NirValue = std::variant<int64_t, double, std::string, std::vector<int64_t>, NirFloats>;
using NirFields = std::vector<std::pair<std::string, NirValue>>;

struct NirNode {
  std::string name;  ///< unique; no '/' and no '.'
  std::string type;  ///< "Conv2d"
  NirFields fields;
};

/// What flows into a node along several edges is added up.
struct NirGraph {
  std::vector<NirNode> nodes;
  std::vector<std::pair<std::string, std::string>> edges;
  NirFields metadata;
};

/// The file's bytes. Equal graphs give equal bytes. Unimplemented in a build without HDF5; Internal
/// where HDF5 fails.
absl::StatusOr<std::string> ToNirFile(const NirGraph& graph);

}  // namespace bsnn::trainer
