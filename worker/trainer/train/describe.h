/// The layer table that `bsnn-train --describe` prints.
#pragma once

#include <string>

#include "worker/trainer/model/network.h"

namespace bsnn::trainer {

/// One row a layer with weights: shapes, parameters, whether it is binary, bytes as float32 and
/// packed (one bit a binary weight), operations of one picture; then the sums over the network.
/// Runs one forward pass.
std::string DescribeNetwork(const spec::JobSpec& spec, const InputShape& shape, Network& network);

}  // namespace bsnn::trainer
