#include <algorithm>
#include <bit>
#include <vector>

#include "worker/trainer/nn/kernels/lif.h"
#include "worker/trainer/nn/kernels/lif_pool.h"
#include "worker/trainer/nn/kernels/lif_step.h"
#include "worker/trainer/nn/kernels/surrogate.h"
#include "worker/trainer/nn/kernels/tile.h"

namespace bsnn::trainer::kernels {
namespace {

using spec::Surrogate;

template <Surrogate kSurrogate>
BSNN_INLINE float Derivative(float d, float w) {
  if constexpr (kSurrogate == Surrogate::kTriangle) return TriangleDerivative(d, w);
  if constexpr (kSurrogate == Surrogate::kRectangle) return RectangleDerivative(d, w);
  if constexpr (kSurrogate == Surrogate::kSigmoid) return SigmoidDerivative(d, w);
  return ArctangentDerivative(d, w);
}

// The neuron's reset is compiled twice, not for each of its four kinds: the default (hard, gradient
// through the spike), and any kind, chosen by two masks of all or no bits. A mask keeps or clears a
// number exactly, so both give the same bits.
struct NeuronConstants {
  float decay, threshold, width;
  uint32_t hard;     ///< all bits: hard reset; none: soft
  uint32_t coupled;  ///< all bits: the gradient also goes through the reset's spike; none: detached
};

bool IsDefaultReset(const spec::NeuronSpec& neuron) {
  return neuron.reset == spec::Reset::kHard && !neuron.detach_reset;
}

NeuronConstants ConstantsOf(const spec::NeuronSpec& neuron) {
  return {static_cast<float>(neuron.decay), static_cast<float>(neuron.threshold),
          static_cast<float>(neuron.surrogate_width),
          neuron.reset == spec::Reset::kHard ? ~uint32_t{0} : 0,
          neuron.detach_reset ? 0 : ~uint32_t{0}};
}

BSNN_INLINE float Masked(float x, uint32_t mask) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & mask);
}
BSNN_INLINE float Select(uint32_t mask, float set, float clear) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(set) & mask) |
                              (std::bit_cast<uint32_t>(clear) & ~mask));
}

/// v behind u.
template <bool kAnyReset>
BSNN_INLINE float ResetPotential(float u, const NeuronConstants& k) {
  if constexpr (!kAnyReset) return Reset<true>(u, k.threshold);
  return u > k.threshold ? Masked(u - k.threshold, ~k.hard) : u;
}

/// dL/dy of one step, from dL/ds, u, and dL/dv of this step.
template <bool kAnyReset, Surrogate kSurrogate>
BSNN_INLINE float NeuronGradient(float grad_spike, float u, float gv, const NeuronConstants& k) {
  const float surrogate = Derivative<kSurrogate>(u - k.threshold, k.width);
  if constexpr (!kAnyReset) {
    const float direct = u > k.threshold ? 0.0f : gv;
    return direct + (grad_spike - u * gv) * surrogate;
  }
  const float direct = u > k.threshold ? Masked(gv, ~k.hard) : gv;
  const float through_spike = Masked(Select(k.hard, u, k.threshold) * gv, k.coupled);
  return direct + (grad_spike - through_spike) * surrogate;
}

/// `carry` is dL/dv of this step on entry and of the step before on return.
template <bool kAnyReset, Surrogate kSurrogate>
BSNN_INLINE void BackTile(const float* __restrict grad_spikes, const float* __restrict potential,
                          float* __restrict carry, float* __restrict grad, int64_t count,
                          const NeuronConstants& k) {
  for (int64_t i = 0; i < count; ++i) {
    const float dy =
        NeuronGradient<kAnyReset, kSurrogate>(grad_spikes[i], potential[i], carry[i], k);
    grad[i] = dy;
    carry[i] = k.decay * dy;
  }
}

BSNN_INLINE void AddTile(const float* __restrict from, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

BSNN_INLINE void AddSums(const float* __restrict grad, const float* __restrict x,
                         const float* __restrict center, float* __restrict sum,
                         float* __restrict sum_x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    sum[i] += grad[i];
    sum_x[i] += grad[i] * (x[i] - center[i]);
  }
}

struct BackwardScratch {
  std::vector<float> carry, step_grad, unpooled, center, sum, sum_x;
  std::vector<float> v, spikes, potential;  ///< where u is found again
};

/// The potential of one tile at all steps, found again: cheaper than to write it and read it back.
BSNN_INLINE void RecallTile(const LifBackward& a, int64_t at, int64_t step, int64_t count,
                            int64_t tile, BackwardScratch& w) {
  std::fill(w.v.begin(), w.v.end(), 0.0f);
  const auto fire = [&]<bool kHard>(int64_t t) __attribute__((always_inline)) {
    FireTile<kHard, false, true>(a.drive + at + t * step, nullptr, nullptr, w.v.data(),
                                 w.spikes.data(), w.potential.data() + t * tile, count,
                                 static_cast<float>(a.neuron.decay),
                                 static_cast<float>(a.neuron.threshold));
  };
  for (int64_t t = 0; t < a.shape.steps; ++t) {
    if (a.neuron.reset == spec::Reset::kHard) {
      fire.template operator()<true>(t);
    } else {
      fire.template operator()<false>(t);
    }
  }
}

/// Which of grad_spikes' pictures belongs to step t of picture b.
BSNN_INLINE int64_t PartPicture(const LifBackward& a, int64_t t, int64_t b) {
  return t * (a.part_batch != 0 ? a.part_batch : a.shape.batch) + b - a.part_first;
}

/// Few steps at once, from the drive alone: potential and carry stay in registers, where a tile's
/// would go through the first cache several times. Same numbers as step by step.
template <int kSteps, bool kAnyReset, Surrogate kSurrogate, bool kAdded, bool kSame>
BSNN_INLINE void BackFewSteps(const LifBackward& a, int64_t b, int64_t plane,
                              const NeuronConstants& k) {
  const float* drive[kSteps];
  const float* grad_spikes[kSteps];
  const float* added[kSteps];
  float* grad[kSteps];
  for (int t = 0; t < kSteps; ++t) {
    const int64_t at = (t * a.shape.batch + b) * plane;
    drive[t] = a.drive + (kSame ? b * plane : at);
    grad[t] = a.grad + (kSame ? b * plane : at);
    const int64_t part_at = PartPicture(a, t, b) * plane;
    added[t] = kAdded ? a.added + (a.added_in_part ? part_at : at) : nullptr;
    grad_spikes[t] = a.grad_spikes + part_at;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < plane; ++i) {
    float potential[kSteps], v = 0;
#pragma GCC unroll 4
    for (int t = 0; t < kSteps; ++t) {
      potential[t] = k.decay * v + drive[t][i];
      v = ResetPotential<kAnyReset>(potential[t], k);
    }
    float carry = 0, sum = 0;
#pragma GCC unroll 4
    for (int t = kSteps - 1; t >= 0; --t) {
      const float dy =
          NeuronGradient<kAnyReset, kSurrogate>(grad_spikes[t][i], potential[t], carry, k);
      const float out = kAdded ? dy + added[t][i] : dy;
      if (kSame) {
        sum += out;
      } else {
        grad[t][i] = out;
      }
      carry = k.decay * dy;
    }
    if (kSame) grad[0][i] = sum;
  }
}

/// Runs BackFewSteps where it serves the call. Returns whether it did.
template <bool kAnyReset, Surrogate kSurrogate>
BSNN_INLINE bool BackwardFewSteps(const LifBackward& a, int64_t b, const Tiling& tiling) {
  const NeuronConstants constants = ConstantsOf(a.neuron);
  const auto run = [&]<int kSteps>() __attribute__((always_inline)) {
    if (a.same_input && a.added != nullptr) {
      BackFewSteps<kSteps, kAnyReset, kSurrogate, true, true>(a, b, tiling.plane, constants);
    } else if (a.same_input) {
      BackFewSteps<kSteps, kAnyReset, kSurrogate, false, true>(a, b, tiling.plane, constants);
    } else if (a.added != nullptr) {
      BackFewSteps<kSteps, kAnyReset, kSurrogate, true, false>(a, b, tiling.plane, constants);
    } else {
      BackFewSteps<kSteps, kAnyReset, kSurrogate, false, false>(a, b, tiling.plane, constants);
    }
    return true;
  };
  if (a.potential != nullptr || a.center != nullptr) return false;
  if (a.shape.steps == 1) return run.template operator()<1>();
  if (a.shape.steps == 2) return run.template operator()<2>();
  if (a.shape.steps == 4) return run.template operator()<4>();
  return false;
}

template <bool kAnyReset, Surrogate kSurrogate>
BSNN_INLINE void BackwardPicture(const LifBackward& a, const PooledTiles& pool, int64_t b,
                                 BackwardScratch& w) {
  const Tiling& tiling = pool.tiling;
  const int64_t tile = tiling.tile;
  if (!pool.on && BackwardFewSteps<kAnyReset, kSurrogate>(a, b, tiling)) return;
  const NeuronConstants constants = ConstantsOf(a.neuron);
  for (int64_t begin = 0; begin < tiling.plane; begin += tile) {
    const int64_t count = std::min(tile, tiling.plane - begin);
    std::fill(w.carry.begin(), w.carry.end(), 0.0f);
    float* const summed = a.grad + b * tiling.plane + begin;
    if (a.same_input) std::fill(summed, summed + count, 0.0f);
    if (a.potential == nullptr) {
      const int64_t step = a.same_input ? 0 : a.shape.batch * tiling.plane;
      RecallTile(a, b * tiling.plane + begin, step, count, tile, w);
    }
    for (int64_t t = a.shape.steps - 1; t >= 0; --t) {
      const int64_t at = (t * a.shape.batch + b) * tiling.plane + begin;
      const float* const potential =
          a.potential != nullptr ? a.potential + at : w.potential.data() + t * tile;
      float* const grad = a.same_input ? w.step_grad.data() : a.grad + at;
      const int64_t part_at = PartPicture(a, t, b);
      const float* grad_spikes =
          pool.on ? w.unpooled.data() : a.grad_spikes + part_at * tiling.plane + begin;
      if (pool.on && count == tile) {
        UnpoolTile(pool, potential, constants.threshold, a.grad_spikes + pool.Begin(part_at, begin),
                   w.unpooled.data());
      } else if (pool.on) {  // an odd last row, which pooling does not see
        std::fill(w.unpooled.begin(), w.unpooled.end(), 0.0f);
      }
      BackTile<kAnyReset, kSurrogate>(grad_spikes, potential, w.carry.data(), grad, count,
                                      constants);
      if (a.added != nullptr) {
        const int64_t from = a.added_in_part ? part_at * tiling.plane + begin : at;
        AddTile(a.added + from, grad, count);
      }
      if (a.same_input) {
        AddTile(grad, summed, count);
      } else if (a.center != nullptr) {
        AddSums(grad, a.x + at, w.center.data(), w.sum.data() + t * tile, w.sum_x.data() + t * tile,
                count);
      }
    }
    if (a.same_input && a.center != nullptr) {
      AddSums(summed, a.x + b * tiling.plane + begin, w.center.data(), w.sum.data(), w.sum_x.data(),
              count);
    }
  }
}

template <bool kAnyReset, Surrogate kSurrogate>
BSNN_INLINE void BackwardPictures(const LifBackward& a, int64_t first, int64_t last) {
  const PooledTiles pool(a.shape);
  const Tiling& tiling = pool.tiling;
  const int64_t maps = a.same_input ? 1 : a.shape.steps;
  const int64_t lanes = a.center != nullptr ? tiling.tile : 0;
  const int64_t recalled = a.potential == nullptr ? tiling.tile : 0;
  BackwardScratch w{std::vector<float>(tiling.tile),
                    std::vector<float>(a.same_input ? tiling.tile : 0),
                    std::vector<float>(pool.on ? tiling.tile : 0),
                    std::vector<float>(lanes),
                    std::vector<float>(maps * lanes),
                    std::vector<float>(maps * lanes),
                    std::vector<float>(recalled),
                    std::vector<float>(recalled),
                    std::vector<float>(a.shape.steps * recalled)};
  if (a.center != nullptr) Repeat(a.center, tiling, w.center.data());
  for (int64_t b = first; b < last; ++b) {
    std::fill(w.sum.begin(), w.sum.end(), 0.0f);
    std::fill(w.sum_x.begin(), w.sum_x.end(), 0.0f);
    BackwardPicture<kAnyReset, kSurrogate>(a, pool, b, w);
    for (int64_t t = 0; a.center != nullptr && t < maps; ++t) {
      const int64_t row = (t * a.shape.batch + b) * tiling.channels;
      Fold(w.sum.data() + t * lanes, tiling, a.sum_delta + row);
      Fold(w.sum_x.data() + t * lanes, tiling, a.sum_delta_x + row);
    }
  }
}

}  // namespace

BSNN_CLONES void RunLifBackward(const LifBackward& args, int64_t first, int64_t last) {
  const bool is_default = IsDefaultReset(args.neuron);
  switch (args.neuron.surrogate) {
    case Surrogate::kTriangle:
      if (is_default) return BackwardPictures<false, Surrogate::kTriangle>(args, first, last);
      return BackwardPictures<true, Surrogate::kTriangle>(args, first, last);
    case Surrogate::kRectangle:
      return BackwardPictures<true, Surrogate::kRectangle>(args, first, last);
    case Surrogate::kSigmoid:
      return BackwardPictures<true, Surrogate::kSigmoid>(args, first, last);
    case Surrogate::kArctangent:
      return BackwardPictures<true, Surrogate::kArctangent>(args, first, last);
  }
}

float SurrogateDerivative(const spec::NeuronSpec& neuron, float distance) {
  const float width = static_cast<float>(neuron.surrogate_width);
  switch (neuron.surrogate) {
    case Surrogate::kTriangle:
      return Derivative<Surrogate::kTriangle>(distance, width);
    case Surrogate::kRectangle:
      return Derivative<Surrogate::kRectangle>(distance, width);
    case Surrogate::kSigmoid:
      return Derivative<Surrogate::kSigmoid>(distance, width);
    case Surrogate::kArctangent:
      return Derivative<Surrogate::kArctangent>(distance, width);
  }
  return 0;
}

}  // namespace bsnn::trainer::kernels
