/// What takes a binary convolution's backward products, and how near to float64 it comes.
#pragma once

#include <vector>

#include "worker/trainer/nn/kernels/amx.h"
#include "worker/trainer/nn/kernels/binary_conv.h"

namespace bsnn::trainer {

using kernels::ProductUnit;

struct UnitCase {
  ProductUnit unit;
  double tolerance;  ///< tiles take two bf16 numbers for each gradient (kernels/tile_products.h)
};

/// All that this processor has.
inline std::vector<UnitCase> UnitCases() {
  std::vector<UnitCase> units = {{ProductUnit::kTables, 1e-6}, {ProductUnit::kPlainTiles, 1e-5}};
  if (kernels::AmxWorks()) units.push_back({ProductUnit::kAmx, 1e-5});
  return units;
}

}  // namespace bsnn::trainer
