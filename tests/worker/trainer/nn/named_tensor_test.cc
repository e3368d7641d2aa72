#include "worker/trainer/nn/named_tensor.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bsnn::trainer {
namespace {

using testing::HasSubstr;

NamedTensors Target() { return {{"a", at::zeros({2})}, {"b", at::zeros({3}, at::kLong)}}; }

TEST(RestoreState, CopiesByNameInAnyOrder) {
  const NamedTensors target = Target();
  ASSERT_TRUE(
      RestoreState(target, {{"b", at::ones({3}, at::kLong)}, {"a", at::ones({2})}}, "x").ok());
  EXPECT_EQ(target[0].tensor.sum().item<float>(), 2);
  EXPECT_EQ(target[1].tensor.sum().item<int64_t>(), 3);
}

TEST(RestoreState, ChangesNothingWhereOneTensorIsWrong) {
  const NamedTensors target = Target();
  const at::Tensor a = at::ones({2}), b = at::ones({3}, at::kLong);
  const auto message = [&](const NamedTensors& source) {
    const absl::Status status = RestoreState(target, source, "model.safetensors");
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    return std::string(status.message());
  };
  EXPECT_THAT(message({{"a", a}}), HasSubstr("model.safetensors: tensor 'b' is missing"));
  EXPECT_THAT(message({{"a", a}, {"b", b}, {"c", a}}), HasSubstr("'c' is unknown"));
  EXPECT_THAT(message({{"a", a}, {"b", b}, {"b", b}}), HasSubstr("'b' is there twice"));
  EXPECT_THAT(message({{"a", a}, {"b", at::ones({4}, at::kLong)}}), HasSubstr("allowed: Long [3]"));
  EXPECT_THAT(message({{"a", a}, {"b", at::ones({3})}}), HasSubstr("'b' is Float [3]"));
  EXPECT_EQ(target[0].tensor.sum().item<float>(), 0);
}

}  // namespace
}  // namespace bsnn::trainer
