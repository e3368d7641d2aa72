/// The trainer's passes over memory as CUDA kernels: the same as nn/kernels does on the CPU, which
/// is the truth that they are tested against. Free of torch.
///
/// All pointers are to the device's memory, float32 arrays aligned to 16 bytes. Activations are
/// [T*B, P, C] as in kernels/lif.h. Passes are queued on `stream` (a cudaStream_t) and return at
/// once. Sums are added in an order that depends on the shape alone, so results repeat to the bit.
#pragma once

#include <cstdint>

namespace bsnn::trainer::cuda {

enum class SurrogateKind : int32_t { kTriangle, kRectangle, kSigmoid, kArctangent };

struct NeuronNumbers {
  float decay = 0.5f;
  float threshold = 1.0f;
  float width = 1.0f;
  SurrogateKind surrogate = SurrogateKind::kTriangle;
  bool hard = true;
  bool detach = false;
};

struct ActivationShape {
  int64_t steps = 1;         ///< T
  int64_t batch = 1;         ///< B
  int64_t pixels = 1;        ///< P
  int64_t channels = 1;      ///< C
  int64_t pooled_width = 0;  ///< 0, or W: spikes leave through 2x2 max pooling
};

/// As kernels::LifForward; to spike_count [2, T] the spikes and the neurons' number are added.
struct LifForwardPass {
  ActivationShape shape;
  NeuronNumbers neuron;
  bool same_input = false;
  const float* x = nullptr;
  const float* scale = nullptr;  ///< [T*B, C] ([B, C] with same_input) or null
  const float* shift = nullptr;
  float* spikes = nullptr;
  float* potential = nullptr;      ///< or null
  int64_t* spike_count = nullptr;  ///< or null
};
void RunLifForward(const LifForwardPass& pass, void* stream);

/// As kernels::LifBackward, but sums come as partial ones: [T*B, S, C] ([B, S, C] with same_input),
/// S = SumStrips(shape).
struct LifBackwardPass {
  ActivationShape shape;
  NeuronNumbers neuron;
  bool same_input = false;
  const float* grad_spikes = nullptr;
  const float* potential = nullptr;
  float* grad = nullptr;
  const float* x = nullptr;
  const float* center = nullptr;  ///< [C]; null: no sums
  float* sum_delta = nullptr;
  float* sum_delta_x = nullptr;
};
void RunLifBackward(const LifBackwardPass& pass, void* stream);

/// How many partial sums there are for each picture and channel.
int64_t SumStrips(const ActivationShape& shape);

enum class GateReduce : int32_t { kNone, kSample, kChannel, kStep };

/// Batch normalisation with a gate: kernels/affine.h and norm_gate.h. N = T B pictures.
struct NormShape {
  int64_t steps = 1;
  int64_t batch = 1;
  int64_t pixels = 1;
  int64_t channels = 1;
  int64_t pictures() const { return steps * batch; }
};

/// What the forward pass leaves for the backward pass, and the parameters.
struct NormState {
  NormShape shape;
  GateReduce gate_reduce = GateReduce::kNone;
  bool alpha_per_channel = false;
  bool batch_statistics = true;
  bool energy_is_fixed = false;
  const float* weight = nullptr;  ///< [C]
  const float* bias = nullptr;    ///< [C]
  const float* alpha = nullptr;   ///< [T] or [T, C], or null
  double* mean = nullptr;         ///< [C]
  double* inverse_std = nullptr;  ///< [C]
  float* center = nullptr;        ///< [C]: mean as float32
  double* sum = nullptr;          ///< [N, C], sum_p x; null: not wanted (evaluation, no gate)
  double* gate = nullptr;         ///< [N], [N, C] or [T], or null
};

struct NormForwardPass {
  NormState state;
  const float* x = nullptr;
  float* running_mean = nullptr;    ///< [C]
  float* running_var = nullptr;     ///< [C]
  float* running_energy = nullptr;  ///< [T] with reduce = step
  double epsilon = 1e-5;
  double momentum = 0.1;
  double energy_momentum = 0.1;
  double count = 1;            ///< numbers behind a channel's statistics (unbiased variance)
  bool training = true;        ///< false: running statistics and energy are used
  double* gate_sum = nullptr;  ///< [2], added to; or null
  float* partial = nullptr;    ///< scratch [2, N, S, C], S = NormStrips; null if sum is
  double* square = nullptr;    ///< scratch [N, C]; null if sum is
  float* scale = nullptr;      ///< out [N, C]
  float* shift = nullptr;      ///< out [N, C]
};
/// Statistics, gate and coefficients: X' = scale x + shift.
void RunNormForward(const NormForwardPass& pass, void* stream);
int64_t NormStrips(const NormShape& shape);

struct AffinePass {
  NormShape shape;
  const float* x = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  const float* residual = nullptr;  ///< or null
  float* y = nullptr;
};
void RunAffine(const AffinePass& pass, void* stream);

/// sum_p grad and sum_p grad (x - center), partial [N, S, C] each, S = NormStrips.
struct DeltaSumsPass {
  NormShape shape;
  const float* grad = nullptr;
  const float* x = nullptr;
  const float* center = nullptr;
  float* sum_delta = nullptr;
  float* sum_delta_x = nullptr;
};
void RunDeltaSums(const DeltaSumsPass& pass, void* stream);

struct NormBackwardPass {
  NormState state;
  int64_t strips = 1;              ///< of the partial sums
  const float* partial = nullptr;  ///< [2, N, S, C]: of delta, then of delta (x - center)
  const float* delta = nullptr;    ///< gradient of X'
  const float* x = nullptr;
  double* sums = nullptr;        ///< scratch [2, N, C]
  double* energy = nullptr;      ///< scratch, as state.gate in size; null: no gate
  double* dots = nullptr;        ///< scratch, as state.gate in size; null: no gate
  double* channel = nullptr;     ///< scratch [2, C]
  float* scale = nullptr;        ///< scratch [N, C]
  float* shift = nullptr;        ///< scratch [N, C]
  float* slope = nullptr;        ///< scratch [C]
  float* grad_x = nullptr;       ///< may be delta
  float* grad_weight = nullptr;  ///< [C]
  float* grad_bias = nullptr;    ///< [C]
  float* grad_alpha = nullptr;   ///< as alpha, or null
};
void RunNormBackward(const NormBackwardPass& pass, void* stream);

enum class BinarizeKind : int32_t { kSign, kMeanAbs, kStandardized };

/// As kernels/binarize.h: latent [O, F].
struct BinarizePass {
  BinarizeKind kind = BinarizeKind::kStandardized;
  int64_t channels = 1;  ///< O
  int64_t fan_in = 1;    ///< F
  float sharpness = 1.0f;
  const float* latent = nullptr;
  const float* grad_effective = nullptr;  ///< backward alone
  float* out = nullptr;                   ///< effective, or the gradient of latent
};
void RunBinarize(const BinarizePass& pass, void* stream);
void RunBinarizeBackward(const BinarizePass& pass, void* stream);

/// Signs packed to bits as kernels::PackSignBits, compared with those before.
struct FlipPass {
  BinarizeKind kind = BinarizeKind::kStandardized;
  int64_t count = 0;   ///< weights
  int64_t fan_in = 1;  ///< F
  const float* latent = nullptr;
  float* center = nullptr;      ///< scratch [ceil(count / F)]
  uint64_t* signs = nullptr;    ///< [words]: of the step before, then of now
  uint64_t* flipped = nullptr;  ///< [words]: gets the bits that changed; null: only signs are set
  int64_t* flips = nullptr;     ///< gets the number of changed bits added; null as flipped
};
void RunFlips(const FlipPass& pass, void* stream);

/// high + low = values exactly, and high has the 11 significant bits of a TF32 number. Any sizes;
/// accesses go four numbers at a time where `count` divides.
struct SplitPass {
  int64_t count = 0;
  const float* values = nullptr;
  float* high = nullptr;
  float* low = nullptr;
};
void RunSplit(const SplitPass& pass, void* stream);

/// sums[0..2] += count, sum and sum of squares of `values`.
struct MomentsPass {
  const float* values = nullptr;
  int64_t count = 0;
  double* partial = nullptr;  ///< scratch [2, kMomentBlocks]
  double* sums = nullptr;     ///< [3]
};
inline constexpr int64_t kMomentBlocks = 256;
void RunMoments(const MomentsPass& pass, void* stream);

}  // namespace bsnn::trainer::cuda
