// Backward products by tiles against direct sums in float64.
#include "worker/trainer/nn/kernels/tile_products.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tests/worker/trainer/nn/amx_emulator.h"
#include "tests/worker/trainer/nn/product_units.h"
#include "worker/trainer/nn/kernels/matrix_tiles.h"

namespace bsnn::trainer::kernels {
namespace {

struct Products {
  std::vector<double> grad_x, grad_weight;
};

/// Random operands of one convolution.
struct Operands {
  BinaryConvShape s;
  std::vector<float> x, weight, grad_y;

  explicit Operands(const BinaryConvShape& shape, bool scaled) : s(shape) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < s.pictures * s.height * s.width * s.in; ++i) {
      x.push_back(normal(random) > 0.6f ? 1.0f : 0.0f);
    }
    for (int64_t o = 0; o < s.out; ++o) {
      const float scale = scaled ? std::abs(normal(random)) + 0.1f : 0.5f;
      for (int64_t i = 0; i < s.taps() * s.in; ++i) {
        weight.push_back(normal(random) > 0 ? scale : -scale);
      }
    }
    for (int64_t i = 0; i < s.pictures * s.out_pixels() * s.out; ++i) {
      grad_y.push_back(normal(random) * 1e-3f);
    }
  }

  Products Exact() const {
    Products p{std::vector<double>(x.size()), std::vector<double>(weight.size())};
    for (int64_t i = 0; i < s.pictures * s.out_pixels() * s.taps(); ++i) {
      const int64_t pixel = i / s.taps(), tap = i % s.taps(), n = pixel / s.out_pixels();
      const int64_t h =
          pixel % s.out_pixels() / s.out_width() * s.stride - s.padding + tap / s.kernel;
      const int64_t w = pixel % s.out_width() * s.stride - s.padding + tap % s.kernel;
      if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
      const int64_t at = ((n * s.height + h) * s.width + w) * s.in;
      for (int64_t o = 0; o < s.out; ++o) {
        const double g = grad_y[pixel * s.out + o];
        for (int64_t c = 0; c < s.in; ++c) {
          const int64_t index = (o * s.in + c) * s.taps() + tap;
          p.grad_x[at + c] += g * static_cast<double>(weight[index]);
          p.grad_weight[index] += g * static_cast<double>(x[at + c]);
        }
      }
    }
    return p;
  }

  Products By(ProductUnit unit) const {
    BinaryConvShape shape = s;
    shape.unit = unit;
    BinaryWeights packed(shape);
    PackBinaryWeights(shape, weight.data(), packed, 0, (s.out + kOutputBlock - 1) / kOutputBlock);
    std::vector<uint8_t> bits(s.bit_bytes());
    PackSpikes(shape, x.data(), bits.data(), 0, s.pictures);
    std::vector<float> grad_x(x.size()), grad_weight(weight.size());
    RunBinaryConvGradInput(shape, packed, grad_y.data(), grad_x.data(), 0, GradInputUnits(shape));
    const GradWeightPlan plan = PlanGradWeight(shape);
    Scratch<float> sums(plan.shares * plan.share_size);
    RunBinaryConvGradWeight(shape, bits.data(), grad_y.data(), sums.get(), 0, plan.units());
    FoldGradWeight(shape, plan, sums.get(), grad_weight.data(), 0, (s.out + kLanes - 1) / kLanes);
    return {{grad_x.begin(), grad_x.end()}, {grad_weight.begin(), grad_weight.end()}};
  }
};

/// The largest distance, as a share of the largest number.
double Distance(const std::vector<double>& a, const std::vector<double>& b) {
  double distance = 0, largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    distance = std::max(distance, std::isnan(a[i]) ? HUGE_VAL : std::abs(a[i] - b[i]));
    largest = std::max(largest, std::abs(b[i]));
  }
  return distance / largest;
}

/// With AMX on any processor that can run its code: real, or emulated.
std::vector<UnitCase> UnitCasesAndAmx() {
  std::vector<UnitCase> units = UnitCases();
  if (!AmxWorks() && EmulateAmx()) units.push_back({ProductUnit::kAmx, 1e-5});
  return units;
}

TEST(TileProducts, AreTheSumsOfFloat64ForAnyShape) {
  const std::vector<BinaryConvShape> shapes = {
      {.pictures = 19, .height = 6, .width = 7, .in = 32, .out = 32},
      {.pictures = 3, .height = 5, .width = 4, .in = 8, .out = 1},
      {.pictures = 2, .height = 7, .width = 9, .in = 40, .out = 72},
      {.pictures = 5, .height = 8, .width = 7, .in = 32, .out = 48, .stride = 2},
      {.pictures = 2, .height = 9, .width = 9, .in = 16, .out = 16, .kernel = 5, .padding = 2},
      {.pictures = 2, .height = 6, .width = 6, .in = 64, .out = 20, .kernel = 1, .padding = 0},
      {.pictures = 2, .height = 7, .width = 5, .in = 24, .out = 8, .kernel = 1, .stride = 3},
      {.pictures = 2, .height = 4, .width = 4, .in = 8, .out = 16, .kernel = 2, .stride = 3},
      {.pictures = 1, .height = 9, .width = 10, .in = 256, .out = 288},
      {.pictures = 2, .height = 18, .width = 17, .in = 8, .out = 512, .stride = 2}};
  for (const BinaryConvShape& shape : shapes) {
    for (const bool scaled : {false, true}) {
      const Operands operands(shape, scaled);
      const Products exact = operands.Exact();
      for (const auto& [unit, tolerance] : UnitCasesAndAmx()) {
        SCOPED_TRACE(testing::Message() << shape.height << "x" << shape.width << "x" << shape.in
                                        << " by " << static_cast<int>(unit));
        const Products products = operands.By(unit);
        EXPECT_LE(Distance(products.grad_x, exact.grad_x), tolerance);
        EXPECT_LE(Distance(products.grad_weight, exact.grad_weight), tolerance);
      }
    }
  }
}

TEST(TileProducts, OfSmallWholeNumbersAreExact) {
  Operands operands({.pictures = 4, .height = 8, .width = 8, .in = 32, .out = 32}, false);
  for (size_t i = 0; i < operands.grad_y.size(); ++i) {
    operands.grad_y[i] = static_cast<float>(static_cast<int>(i * 7919 % 1999) - 999);
  }
  const Products exact = operands.Exact();
  for (const auto& [unit, tolerance] : UnitCasesAndAmx()) {
    const Products products = operands.By(unit);
    EXPECT_EQ(products.grad_x, exact.grad_x) << static_cast<int>(unit);
    EXPECT_EQ(products.grad_weight, exact.grad_weight) << static_cast<int>(unit);
  }
}

}  // namespace
}  // namespace bsnn::trainer::kernels
