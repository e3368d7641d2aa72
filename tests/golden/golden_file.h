/// Reads the vectors that reference/bsnn_reference.py writes.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bsnn::golden {

struct Case {
  nlohmann::json params;
  nlohmann::json arrays;  ///< {"inputs": {...}, "outputs": {...}, "grads": {...}}

  bool Has(const std::string& group, const std::string& name) const;
  /// float32, on the CPU, in the shape of the file. Fails the test where there is none.
  at::Tensor Get(const std::string& group, const std::string& name) const;
  /// Input activations [T, B, C, H, W] as [T*B, C, H, W] in channels-last memory.
  at::Tensor Activations(const std::string& name) const;
};

/// BSNN_GOLDEN_DIR, else BSNN_SHARED/golden, else the folder beside the source tree.
std::string GoldenFolder();

/// The cases of GoldenFolder()/<operation>.json; empty where there is no such file.
std::vector<Case> LoadCases(const std::string& operation);

/// Where the operations run: cuda:0 if BSNN_TEST_DEVICE is "cuda", else the CPU.
at::Device TestDevice();

/// Compares with tolerance 1e-5, relative to the larger of the expected number and the root mean
/// square of the expected array (a number near zero is the difference of larger ones).
void ExpectClose(const at::Tensor& actual, const at::Tensor& expected, const std::string& what);

}  // namespace bsnn::golden
