/// Vectors of 16 floats. Private to nn/kernels: they pass between inlined functions only.
#pragma once

namespace bsnn::trainer::kernels {

/// In one or more registers, as wide as the processor has them.
typedef float Lanes __attribute__((vector_size(64)));
typedef float UnalignedLanes __attribute__((vector_size(64), aligned(4), may_alias));

}  // namespace bsnn::trainer::kernels
