#include "tests/golden/golden_file.h"

#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "worker/trainer/nn/cuda/ops.h"

namespace bsnn::golden {

bool Case::Has(const std::string& group, const std::string& name) const {
  return arrays.at(group).contains(name);
}

at::Tensor Case::Get(const std::string& group, const std::string& name) const {
  if (!Has(group, name)) {
    ADD_FAILURE() << "no array " << group << "." << name;
    return at::empty({0});
  }
  const auto& array = arrays.at(group).at(name);
  const auto shape = array.at("shape").get<std::vector<int64_t>>();
  const auto data = array.at("data").get<std::vector<double>>();
  at::Tensor out = at::empty(shape, at::kFloat);
  EXPECT_EQ(out.numel(), static_cast<int64_t>(data.size()));
  for (size_t i = 0; i < data.size(); ++i) {
    out.mutable_data_ptr<float>()[i] = static_cast<float>(data[i]);
  }
  return out;
}

at::Tensor Case::Activations(const std::string& name) const {
  return Get("inputs", name).flatten(0, 1).contiguous(at::MemoryFormat::ChannelsLast);
}

std::string GoldenFolder() {
  if (const char* folder = std::getenv("BSNN_GOLDEN_DIR")) return folder;
  if (const char* shared = std::getenv("BSNN_SHARED")) return std::string(shared) + "/golden";
  return BSNN_DEFAULT_SHARED "/golden";
}

std::vector<Case> LoadCases(const std::string& operation) {
  std::ifstream file(std::filesystem::path(GoldenFolder()) / (operation + ".json"));
  if (!file) return {};
  const nlohmann::json json = nlohmann::json::parse(file);
  std::vector<Case> cases;
  for (const auto& entry : json.at("cases")) {
    cases.push_back({entry.at("params"), nlohmann::json{{"inputs", entry.at("inputs")},
                                                        {"outputs", entry.at("outputs")},
                                                        {"grads", entry.at("grads")}}});
  }
  return cases;
}

at::Device TestDevice() {
  const char* const name = std::getenv("BSNN_TEST_DEVICE");
  const bool cuda = name != nullptr && std::string(name) == "cuda";
  if (cuda) trainer::cuda::SetUp(/*fused=*/true);
  return cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
}

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected, const std::string& what) {
  ASSERT_EQ(actual.numel(), expected.numel()) << what;
  const at::Tensor a = actual.detach().cpu().reshape(expected.sizes()).contiguous();
  double square = 0;
  const float* const want = expected.const_data_ptr<float>();
  for (int64_t i = 0; i < expected.numel(); ++i) square += double{want[i]} * double{want[i]};
  const double typical = std::sqrt(square / static_cast<double>(expected.numel()));
  double worst = 0;
  int64_t worst_at = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double scale = std::max(std::fabs(double{want[i]}), typical);
    const double error = std::fabs(double{a.const_data_ptr<float>()[i]} - double{want[i]});
    const double relative = error == 0 ? 0 : error / scale;
    if (!(relative <= worst)) {
      worst = relative;
      worst_at = i;
    }
  }
  EXPECT_LE(worst, 1e-5) << what << ": element " << worst_at << " is "
                         << a.const_data_ptr<float>()[worst_at] << ", expected " << want[worst_at];
}

}  // namespace bsnn::golden
