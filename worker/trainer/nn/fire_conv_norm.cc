#include "worker/trainer/nn/fire_conv_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/affine.h"
#include "worker/trainer/nn/kernels/pool.h"
#include "worker/trainer/nn/lif_pass.h"
#include "worker/trainer/nn/norm_gate_call.h"
#include "worker/trainer/nn/norm_pass.h"
#include "worker/trainer/nn/spike_conv.h"
#include "worker/trainer/nn/spike_conv_pass.h"

namespace bsnn::trainer {
namespace {

using kernels::BinaryConvShape;

/// How the batch is cut for the backward pass: each part's gradients, at all time steps, stay in
/// cache from one pass to the next. It follows from the shape alone.
struct Parts {
  int64_t batch = 0;  ///< pictures of a part at one step; the last part may have fewer
  int64_t count = 0;

  /// The smallest parts that fill kernels::kLanes pictures almost as well as any.
  Parts(int64_t steps, int64_t pictures) {
    const auto lanes_taken = [&](int64_t size) {
      return pictures / size * at::divup(steps * size, kernels::kLanes) +
             at::divup(steps * (pictures % size), kernels::kLanes);
    };
    int64_t least = lanes_taken(1);
    for (int64_t size = 2; size <= kernels::kLanes; ++size) {
      least = std::min(least, lanes_taken(size));
    }
    batch = 1;
    while (8 * lanes_taken(batch) > 9 * least) ++batch;
    count = at::divup(pictures, batch);
  }
};
constexpr int64_t kLeastParts = 4;  // fewer could not be shared between threads

struct Saved {
  SpikeConvState conv;
  NormState norm;
  LifOptions lif;
  bool adds_input = false;
};

/// The backward pass of one block; everything that its parts share.
struct Backward {
  const Saved& saved;
  const at::Tensor& bits;
  const at::Tensor& x;       ///< the neuron's input
  const at::Tensor& y;       ///< the convolution's output, int16 in units of the weight's scale
  const at::Tensor& grad;    ///< of the block's output
  const at::Tensor& added;   ///< to the gradient of x, or undefined:
  const at::Tensor& pooled;  ///< the gradient of ShortcutPool(x), for the same
  std::vector<float> center;
  kernels::NormGateGradients norm;  ///< set once the sums over all parts are there

  const BinaryConvShape& conv() const { return saved.conv.shape; }
  int64_t steps() const { return saved.lif.steps; }
  int64_t batch() const { return conv().pictures / steps(); }
  int64_t plane() const { return conv().out_pixels() * conv().out; }

  kernels::Pictures pictures() const { return {conv().out_pixels(), conv().out}; }

  void TakeSums() {
    std::vector<double> sum(conv().pictures * conv().out), sum_x(sum.size());
    TakeDeltaSums(grad, y, saved.norm, center, sum, sum_x);
    norm = RunNormBackward(saved.norm, sum.data(), sum_x.data());
  }

  /// The gradient of the convolution's output, of `count` pictures from `first` on.
  void MapGradient(int64_t first, int64_t count, float* to) const {
    const int64_t row = first * conv().out;
    kernels::RunAffineBackward(
        kernels::AffineBackward<int16_t>{.shape = pictures(),
                                         .grad = grad.const_data_ptr<float>() + first * plane(),
                                         .x = y.const_data_ptr<int16_t>() + first * plane(),
                                         .scale = norm.scale.data() + row,
                                         .shift = norm.shift.data() + row,
                                         .slope = norm.slope.data(),
                                         .center = center.data(),
                                         .grad_x = to},
        0, count);
  }

  kernels::LifBackward Neuron(float* grad_x) const {
    return {.shape = {steps(), batch(), conv().height * conv().width, conv().in},
            .neuron = saved.lif.neuron,
            .same_input = saved.lif.same_input,
            .drive = x.const_data_ptr<float>(),
            .grad = grad_x,
            .added = added.defined() ? added.const_data_ptr<float>() : nullptr};
  }
};

/// Of ShortcutPool: the gradient of its input of `count` pictures from `first` on.
void Unpool(const BinaryConvShape& s, const at::Tensor& grad, int64_t first, int64_t count,
            float* to) {
  const float* const from =
      grad.const_data_ptr<float>() + first * grad.size(1) * grad.size(2) * grad.size(3);
  kernels::RunAveragePoolBackward({s.height, s.width, s.in}, from, to, 0, count);
}

at::Tensor UnpoolAll(const at::Tensor& x, const BinaryConvShape& s, const at::Tensor& grad) {
  at::Tensor out = EmptyChannelsLast(x.sizes(), x);
  float* const to = out.mutable_data_ptr<float>();
  const int64_t numbers = s.height * s.width * s.in;
  ForPictures(s.pictures, numbers, [&](int64_t first, int64_t last) {
    Unpool(s, grad, first, last - first, to + first * numbers);
  });
  return out;
}

struct InputAndWeight {
  at::Tensor input, weight;
};

/// Whole passes, one behind the other: for small batches, and large weights, whose sums could not
/// be kept for each share of the parts.
InputAndWeight RunWhole(const Backward& b, bool wants_weight) {
  at::Tensor grad_y = EmptyChannelsLast(b.y.sizes(), b.x);
  float* const to = grad_y.mutable_data_ptr<float>();
  ForPictures(b.conv().pictures, b.plane(), [&](int64_t first, int64_t last) {
    b.MapGradient(first, last - first, to + first * b.plane());
  });
  InputAndWeight out;
  if (wants_weight) out.weight = RunGradWeight(b.saved.conv, b.bits, grad_y);
  const at::Tensor added = b.pooled.defined() ? UnpoolAll(b.x, b.conv(), b.pooled) : b.added;
  out.input = RunLifBackwardPass(RunGradInput(b.saved.conv, grad_y), {.drive = b.x}, b.saved.lif,
                                 {}, added);
  return out;
}

/// What a thread's parts go through.
struct PartBuffers {
  at::Tensor grad_y, grad_spikes;
  at::Tensor added;  ///< to the gradient of x, where it comes from ShortcutPool
  at::Tensor bits;   ///< of all steps, one behind the other: as many as there are go into a product

  PartBuffers(const Backward& b, BinaryConvShape part)
      : grad_y(at::empty({part.pictures, b.plane()}, b.x.options())),
        grad_spikes(at::empty({part.pictures, part.height * part.width * part.in}, b.x.options())),
        bits(at::empty({part.bit_bytes()}, b.bits.options())) {
    if (b.pooled.defined()) added = at::empty_like(grad_spikes);
  }
};

/// One part of the batch, from `first` on, through all passes. `sums` of dL/dweight: null where it
/// is not wanted.
void RunPart(const Backward& b, int64_t first, int64_t count, const PartBuffers& buffers,
             float* sums, const kernels::LifBackward& neuron) {
  BinaryConvShape s = b.conv();
  s.pictures = b.steps() * count;
  float* const grad_y = buffers.grad_y.mutable_data_ptr<float>();
  auto* const bits = buffers.bits.mutable_data_ptr<uint8_t>();
  for (int64_t t = 0; t < b.steps(); ++t) {
    const int64_t picture = t * b.batch() + first;
    b.MapGradient(picture, count, grad_y + t * count * b.plane());
    std::copy_n(b.bits.const_data_ptr<uint8_t>() + picture * s.bit_picture(),
                count * s.bit_picture(), bits + t * count * s.bit_picture());
  }
  if (sums != nullptr) kernels::AddBinaryConvGradWeight(s, bits, grad_y, sums);
  float* const grad_spikes = buffers.grad_spikes.mutable_data_ptr<float>();
  kernels::RunBinaryConvGradInput(s, *b.saved.conv.weights, grad_y, grad_spikes, 0,
                                  kernels::GradInputUnits(s));
  kernels::LifBackward part = neuron;
  part.grad_spikes = grad_spikes;
  if (b.pooled.defined()) {
    const int64_t numbers = s.height * s.width * s.in;
    float* const added = buffers.added.mutable_data_ptr<float>();
    for (int64_t t = 0; t < b.steps(); ++t) {
      Unpool(s, b.pooled, t * b.batch() + first, count, added + t * count * numbers);
    }
    part.added = added;
    part.added_in_part = true;
  }
  part.part_first = first;
  part.part_batch = count;
  kernels::RunLifBackward(part, first, first + count);
}

InputAndWeight RunParts(const Backward& b, const Parts& parts, const kernels::GradWeightPlan& plan,
                        bool wants_weight) {
  BinaryConvShape part = b.conv();
  part.pictures = b.steps() * parts.batch;
  InputAndWeight out{EmptyChannelsLast(b.x.sizes(), b.x), {}};
  at::Tensor sums;
  if (wants_weight) sums = at::zeros({plan.shares, plan.share_size}, b.x.options());
  float* const summed = wants_weight ? sums.mutable_data_ptr<float>() : nullptr;
  const kernels::LifBackward neuron = b.Neuron(out.input.mutable_data_ptr<float>());
  at::parallel_for(0, plan.shares, 1, [&](int64_t first_share, int64_t last_share) {
    const PartBuffers buffers(b, part);
    for (int64_t share = first_share; share < last_share; ++share) {
      const int64_t last = parts.count * (share + 1) / plan.shares;
      for (int64_t i = parts.count * share / plan.shares; i < last; ++i) {
        const int64_t first = i * parts.batch;
        RunPart(b, first, std::min(parts.batch, b.batch() - first), buffers,
                wants_weight ? summed + share * plan.share_size : nullptr, neuron);
      }
    }
  });
  if (wants_weight) out.weight = FoldGradWeight(b.saved.conv, plan, sums);
  return out;
}

class FireConvNormFunction : public torch::autograd::Function<FireConvNormFunction> {
 public:
  static TensorList forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& norm_weight,
                            const at::Tensor& norm_bias, const std::optional<at::Tensor>& alpha,
                            const LifOptions& lif, const ConvOptions& options,
                            const BatchNorm& norm, const NormCall& call, bool keep) {
    const at::Tensor x = ChannelsLast(input);
    ctx->set_materialize_grads(false);  // of what no shortcut takes
    const bool adds_input = call.residual.defined();
    const int64_t pictures = x.size(0) * (lif.same_input ? lif.steps : 1);
    Saved saved{MakeSpikeConvState(x, pictures, weight, options), {}, lif, adds_input};
    const BinaryConvShape& s = saved.conv.shape;
    at::Tensor pooled;
    if (!adds_input) {
      pooled = EmptyChannelsLast({s.pictures, s.in, (s.height + 1) / 2, (s.width + 1) / 2}, x);
    }
    at::Tensor y = at::empty({s.pictures, s.out, s.out_height(), s.out_width()},
                             x.options().dtype(at::kShort), at::MemoryFormat::ChannelsLast);
    at::Tensor bits = at::empty({s.bit_bytes()}, x.options().dtype(at::kByte));
    saved.norm = MakeNormState(y.sizes(), call);
    saved.norm.unit.assign(saved.conv.weights->scale.begin(),
                           saved.conv.weights->scale.begin() + s.out);
    TakeStatistics(norm, call, FireAndConvolve(x, saved, call, bits, y, pooled), saved.norm);
    const NormMap map = MakeNormMap(call, saved.norm);
    const at::Tensor out = ApplyNormMap(y, saved.norm, map, adds_input ? x : at::Tensor());
    if (keep) {
      ctx->save_for_backward({bits, x, y, norm_weight, norm_bias, alpha.value_or(at::Tensor())});
      Keep(ctx, std::move(saved));
    }
    if (adds_input) return {out};
    return {out, pooled};
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const Saved& saved = KeptBy<Saved>(ctx);
    const TensorList tensors = ctx->get_saved_variables();
    TensorList out(10);
    at::Tensor added, pooled;
    if (!saved.adds_input && grads[1].defined()) pooled = ChannelsLast(grads[1]);
    if (!grads[0].defined()) {
      if (pooled.defined()) out[0] = UnpoolAll(tensors[1], saved.conv.shape, pooled);
      return out;
    }
    const at::Tensor grad = ChannelsLast(grads[0]);
    if (saved.adds_input) added = grad;
    Backward b{saved, tensors[0], tensors[1],           tensors[2], grad,
               added, pooled,     CenterOf(saved.norm), {}};
    b.TakeSums();
    const bool wants_weight = ctx->needs_input_grad(1);
    const Parts parts(b.steps(), b.batch());
    const kernels::GradWeightPlan plan = kernels::PlanGradWeight(b.conv(), parts.count);
    const bool in_parts = parts.count >= kLeastParts && plan.splits == 1;
    InputAndWeight result =
        in_parts ? RunParts(b, parts, plan, wants_weight) : RunWhole(b, wants_weight);
    out[0] = result.input;
    out[1] = result.weight;
    out[2] = GradientOf(tensors[3], b.norm.weight);
    out[3] = GradientOf(tensors[4], b.norm.bias);
    if (saved.norm.saved.form.present) out[4] = GradientOf(tensors[5], b.norm.alpha);
    return out;
  }

 private:
  /// Spikes as bits, the convolution's output and ShortcutPool(x) where `pooled` is defined,
  /// picture by picture. Returns the squares of the moments, whose sums go to saved.norm.
  static std::vector<double> FireAndConvolve(const at::Tensor& x, Saved& saved,
                                             const NormCall& call, const at::Tensor& bits,
                                             const at::Tensor& y, const at::Tensor& pooled) {
    const BinaryConvShape& s = saved.conv.shape;
    const int64_t steps = saved.lif.steps, batch = s.pictures / steps;
    std::vector<int64_t> fired(call.spike_count.defined() ? s.pictures : 0);
    uint8_t* const packed = bits.mutable_data_ptr<uint8_t>();
    int16_t* const to = y.mutable_data_ptr<int16_t>();
    const float* const from = x.const_data_ptr<float>();
    float* const pool = pooled.defined() ? pooled.mutable_data_ptr<float>() : nullptr;
    const kernels::LifForward neuron{
        .shape = {steps, batch, s.height * s.width, s.in},
        .neuron = saved.lif.neuron,
        .same_input = saved.lif.same_input,
        .x = from,
        .bits = {packed, s.width, s.padding, s.bit_row(), s.bit_picture()},
        .spike_count = fired.empty() ? nullptr : fired.data()};
    std::vector<double> square(WantsMoments(call) ? s.pictures * s.out : 0);
    std::vector<double>& sum = saved.norm.saved.sum;
    sum.resize(square.size());
    ForPictures(batch, steps * s.height * s.width * s.in, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        kernels::RunLifForward(neuron, b, b + 1);
        for (int64_t n = b; n < s.pictures; n += batch) {
          if (pool != nullptr) {
            kernels::RunAveragePool({s.height, s.width, s.in}, from, pool, n, n + 1);
          }
          kernels::RunBinaryConv(s, *saved.conv.weights, packed, to, n, n + 1);
          if (square.empty()) continue;
          kernels::PictureMoments({s.out_pixels(), s.out}, to, s.taps() * s.in, sum.data(),
                                  square.data(), n, n + 1);
        }
      }
    });
    ApplyUnit(saved.norm, sum, square);
    CountSpikes(fired, steps, s.height * s.width * s.in, call.spike_count);
    return square;
  }
};

}  // namespace

at::Tensor ShortcutPool(const at::Tensor& x) {
  return at::avg_pool2d(x, 2, 2, 0, /*ceil_mode=*/true, /*count_include_pad=*/false);
}

at::Tensor AtEachStep(const at::Tensor& x, const LifOptions& lif) {
  if (!lif.same_input || lif.steps == 1) return x;
  // Channels-last memory stays so, which repeat does not do.
  return at::cat(std::vector<at::Tensor>(static_cast<size_t>(lif.steps), x));
}

FiredNorm FireConvNorm(const at::Tensor& x, const at::Tensor& weight, const LifOptions& lif,
                       const ConvOptions& options, const BatchNorm& norm, const NormCall& call) {
  CheckSpikeConv("FireConvNorm", x, weight, options);
  TORCH_CHECK(!lif.pool && lif.steps >= 1 && (lif.same_input || x.size(0) % lif.steps == 0),
              "FireConvNorm: first size is ", x.size(0), "; allowed: a multiple of T = ", lif.steps,
              ", without pooling");
  TORCH_CHECK(!call.neuron && !call.same_input &&
                  (call.residual.defined() ? call.residual.is_same(x) : !lif.same_input),
              "FireConvNorm: allowed behind the normalisation: a residual that is x, or, without "
              "same_input, none");
  if (!CanPackSpikes(x, weight) || (call.gate != nullptr && !HasFusedGate(call.gate->spec))) {
    const at::Tensor y = SpikeConv2d(Lif(x, lif, call.spike_count), weight, options);
    if (!call.residual.defined()) return {NormGateFire(y, norm, call), ShortcutPool(x)};
    NormCall whole = call;
    whole.residual = AtEachStep(x, lif);
    return {NormGateFire(y, norm, whole), {}};
  }
  TORCH_CHECK(norm.weight.size(0) == weight.size(0) && call.steps == lif.steps &&
                  (call.gate == nullptr || call.gate->alpha.size(0) == lif.steps),
              "FireConvNorm: a normalisation of ", norm.weight.size(0), " channels over ",
              call.steps, " steps; allowed: ", weight.size(0), " over T = ", lif.steps,
              ", and a gate's alpha of T");
  const bool keep = WantsGradient({x, weight}, norm, call);
  const TensorList out = FireConvNormFunction::apply(x, weight, norm.weight, norm.bias,
                                                     AlphaOf(call), lif, options, norm, call, keep);
  return {out[0], call.residual.defined() ? at::Tensor() : out[1]};
}

}  // namespace bsnn::trainer
