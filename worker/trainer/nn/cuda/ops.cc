#include "worker/trainer/nn/cuda/ops.h"

#include <ATen/DeviceGuard.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include <utility>

#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/cuda/support.h"
#include "worker/trainer/nn/norm_gate_call.h"

namespace bsnn::trainer::cuda {
namespace {

NeuronNumbers NumbersOf(const spec::NeuronSpec& neuron) {
  const auto surrogate = [&] {
    switch (neuron.surrogate) {
      case spec::Surrogate::kTriangle:
        return SurrogateKind::kTriangle;
      case spec::Surrogate::kRectangle:
        return SurrogateKind::kRectangle;
      case spec::Surrogate::kSigmoid:
        return SurrogateKind::kSigmoid;
      case spec::Surrogate::kArctangent:
        return SurrogateKind::kArctangent;
    }
    return SurrogateKind::kTriangle;
  };
  return {static_cast<float>(neuron.decay),           static_cast<float>(neuron.threshold),
          static_cast<float>(neuron.surrogate_width), surrogate(),
          neuron.reset == spec::Reset::kHard,         neuron.detach_reset};
}

ActivationShape ShapeOf(const at::Tensor& x, const LifOptions& options, int64_t pictures) {
  return {options.steps, pictures / options.steps, x.size(2) * x.size(3), x.size(1),
          options.pool ? x.size(3) : 0};
}

struct Map {
  const float* scale = nullptr;
  const float* shift = nullptr;
};

LifResult FireForward(const at::Tensor& x, const LifOptions& options, const Map& map, bool keep,
                      const at::Tensor& spike_count) {
  const int64_t pictures = options.same_input ? x.size(0) * options.steps : x.size(0);
  const int64_t shrink = options.pool ? 2 : 1;
  const LifResult out{
      EmptyChannelsLast({pictures, x.size(1), x.size(2) / shrink, x.size(3) / shrink}, x),
      keep ? EmptyChannelsLast({pictures, x.size(1), x.size(2), x.size(3)}, x) : at::Tensor()};
  RunLifForward(
      {.shape = ShapeOf(x, options, pictures),
       .neuron = NumbersOf(options.neuron),
       .same_input = options.same_input,
       .x = Read(x),
       .scale = map.scale,
       .shift = map.shift,
       .spikes = Write(out.spikes),
       .potential = Write(out.potential),
       .spike_count = spike_count.defined() ? spike_count.mutable_data_ptr<int64_t>() : nullptr},
      StreamOf(x));
  return out;
}

struct FireSums {
  at::Tensor x;
  const float* center = nullptr;
  at::Tensor partial;  ///< [2, N, S, C]
};

at::Tensor FireBackward(const at::Tensor& grad_output, const at::Tensor& potential,
                        const LifOptions& options, const FireSums& sums) {
  const at::Tensor grad_spikes = Ready(grad_output);
  const int64_t pictures = potential.size(0);
  at::Tensor grad = EmptyChannelsLast({options.same_input ? pictures / options.steps : pictures,
                                       potential.size(1), potential.size(2), potential.size(3)},
                                      potential);
  RunLifBackward(
      {.shape = ShapeOf(potential, options, pictures),
       .neuron = NumbersOf(options.neuron),
       .same_input = options.same_input,
       .grad_spikes = Read(grad_spikes),
       .potential = Read(potential),
       .grad = Write(grad),
       .x = Read(sums.x),
       .center = sums.center,
       .sum_delta = Write(sums.partial),
       .sum_delta_x =
           sums.partial.defined() ? Write(sums.partial) + sums.partial.numel() / 2 : nullptr},
      StreamOf(potential));
  return grad;
}

class LifFunction : public torch::autograd::Function<LifFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const LifOptions& options, const at::Tensor* spike_count, bool keep) {
    const at::OptionalDeviceGuard guard(at::device_of(x));
    const LifResult out = FireForward(Ready(x), options, {}, keep, *spike_count);
    if (keep) {
      ctx->save_for_backward({out.potential});
      Keep(ctx, options);
    }
    return out.spikes;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const at::Tensor potential = ctx->get_saved_variables()[0];
    const at::OptionalDeviceGuard guard(at::device_of(potential));
    return {FireBackward(grads[0], potential, KeptBy<LifOptions>(ctx), {}), at::Tensor(),
            at::Tensor(), at::Tensor()};
  }
};

/// What the backward pass of a normalisation needs besides the graph's tensors. `numbers` holds
/// what `state` points to.
struct SavedNorm {
  NormState state;
  at::Tensor doubles, floats;
  LifOptions lif;
  bool fires = false;
  bool has_residual = false;
};

GateReduce ReduceOf(const Gate* gate) {
  if (gate == nullptr) return GateReduce::kNone;
  switch (gate->spec.reduce) {
    case spec::AgmmReduce::kChannel:
      return GateReduce::kChannel;
    case spec::AgmmReduce::kStep:
      return GateReduce::kStep;
    default:
      return GateReduce::kSample;
  }
}

int64_t GatesOf(const NormState& s) {
  switch (s.gate_reduce) {
    case GateReduce::kNone:
      return 0;
    case GateReduce::kSample:
      return s.shape.pictures();
    case GateReduce::kChannel:
      return s.shape.pictures() * s.shape.channels;
    case GateReduce::kStep:
      return s.shape.steps;
  }
  return 0;
}

SavedNorm MakeSaved(const at::Tensor& x, const NormCall& call) {
  SavedNorm saved;
  NormState& s = saved.state;
  const int64_t steps = call.same_input ? 1 : call.steps;
  s.shape = {steps, x.size(0) / steps, x.size(2) * x.size(3), x.size(1)};
  s.gate_reduce = ReduceOf(call.gate);
  s.batch_statistics = call.training;
  if (call.gate != nullptr) {
    s.alpha_per_channel = call.gate->alpha.dim() == 2;
    s.energy_is_fixed = call.gate->spec.gradient == spec::GateGradient::kDetach ||
                        (s.gate_reduce == GateReduce::kStep && !call.training);
  }
  const int64_t channels = s.shape.channels, entries = s.shape.pictures() * channels;
  const bool sums = call.training || call.gate != nullptr;
  saved.doubles = Scratch({2 * channels + (sums ? entries : 0) + GatesOf(s)}, at::kDouble, x);
  saved.floats = Scratch({channels}, at::kFloat, x);
  s.mean = WriteDoubles(saved.doubles);
  s.inverse_std = s.mean + channels;
  s.sum = sums ? s.inverse_std + channels : nullptr;
  s.gate = call.gate != nullptr ? s.sum + entries : nullptr;
  s.center = Write(saved.floats);
  saved.fires = call.neuron.has_value();
  if (saved.fires) saved.lif = {*call.neuron, call.steps, call.same_input, call.pool};
  saved.has_residual = call.residual.defined();
  return saved;
}

/// The parameters' memory: contiguous, as [C], [C] and alpha always are.
void PointTo(NormState& s, const at::Tensor& weight, const at::Tensor& bias,
             const at::Tensor& alpha) {
  s.weight = Read(weight);
  s.bias = Read(bias);
  s.alpha = s.gate_reduce == GateReduce::kNone ? nullptr : Read(alpha);
}

/// Statistics, gate and coefficients. Returns scale and shift, [2, N, C].
at::Tensor NormForward(const at::Tensor& x, const BatchNorm& norm, const NormCall& call,
                       const NormState& s) {
  const int64_t channels = s.shape.channels, pictures = s.shape.pictures();
  at::Tensor map = Scratch({2, pictures, channels}, at::kFloat, x), partial, square;
  if (s.sum != nullptr) {
    partial = Scratch({2, pictures, NormStrips(s.shape), channels}, at::kFloat, x);
    square = Scratch({pictures, channels}, at::kDouble, x);
  }
  const bool per_step = s.gate_reduce == GateReduce::kStep;
  RunNormForward(
      {.state = s,
       .x = Read(x),
       .running_mean = Write(norm.running_mean),
       .running_var = Write(norm.running_var),
       .running_energy = per_step ? Write(call.gate->running_energy) : nullptr,
       .epsilon = kNormEpsilon,
       .momentum = kNormMomentum,
       .energy_momentum = kEnergyMomentum,
       .count = static_cast<double>(pictures * s.shape.pixels * (call.same_input ? call.steps : 1)),
       .training = call.training,
       .gate_sum = call.gate != nullptr ? WriteDoubles(call.gate_sum) : nullptr,
       .partial = Write(partial),
       .square = WriteDoubles(square),
       .scale = Write(map),
       .shift = Write(map) + pictures * channels},
      StreamOf(x));
  return map;
}

class NormGateFireFunction : public torch::autograd::Function<NormGateFireFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const std::optional<at::Tensor>& alpha,
                            const std::optional<at::Tensor>& residual, const BatchNorm& norm,
                            const NormCall& call, bool keep) {
    const at::OptionalDeviceGuard guard(at::device_of(input));
    const at::Tensor x = Ready(input);
    SavedNorm saved = MakeSaved(x, call);
    PointTo(saved.state, weight, bias, alpha.value_or(at::Tensor()));
    const at::Tensor map = NormForward(x, norm, call, saved.state);
    const Map pointers{Read(map), Read(map) + map.numel() / 2};
    LifResult out;
    if (saved.fires) {
      out = FireForward(x, saved.lif, pointers, keep, call.spike_count);
    } else {
      const at::Tensor added = residual ? Ready(*residual) : at::Tensor();
      out.spikes = EmptyChannelsLast(x.sizes(), x);
      RunAffine({.shape = saved.state.shape,
                 .x = Read(x),
                 .scale = pointers.scale,
                 .shift = pointers.shift,
                 .residual = Read(added),
                 .y = Write(out.spikes)},
                StreamOf(x));
    }
    if (keep) {
      ctx->save_for_backward({x, weight, bias, alpha.value_or(at::Tensor()), out.potential});
      Keep(ctx, std::move(saved));
    }
    return out.spikes;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const TensorList tensors = ctx->get_saved_variables();
    const at::Tensor &x = tensors[0], &alpha = tensors[3];
    const at::OptionalDeviceGuard guard(at::device_of(x));
    const SavedNorm& saved = KeptBy<SavedNorm>(ctx);
    NormState s = saved.state;
    PointTo(s, tensors[1], tensors[2], alpha);
    at::Tensor partial;
    // One copy at most: the residual's gradient goes on in the same memory format.
    const at::Tensor grad = Ready(grads[0]);
    const at::Tensor delta = Delta(grad, x, tensors[4], saved, partial);
    const at::Tensor grad_x = saved.fires ? delta : EmptyChannelsLast(x.sizes(), x);
    const at::Tensor grad_weight = at::empty_like(tensors[1]),
                     grad_bias = at::empty_like(tensors[2]);
    const at::Tensor grad_alpha = s.alpha != nullptr ? at::empty_like(alpha) : at::Tensor();
    const int64_t channels = s.shape.channels, entries = s.shape.pictures() * channels;
    const int64_t gates = GatesOf(s);
    const at::Tensor doubles = Scratch({2 * entries + 2 * gates + channels}, at::kDouble, x);
    const at::Tensor floats = Scratch({2 * entries + channels}, at::kFloat, x);
    double* const sums = WriteDoubles(doubles);
    float* const scale = Write(floats);
    RunNormBackward({.state = s,
                     .strips = partial.size(2),
                     .partial = Read(partial),
                     .delta = Read(delta),
                     .x = Read(x),
                     .sums = sums,
                     .energy = sums + 2 * entries,
                     .dots = sums + 2 * entries + gates,
                     .channel = sums + 2 * entries + 2 * gates,
                     .scale = scale,
                     .shift = scale + entries,
                     .slope = scale + 2 * entries,
                     .grad_x = Write(grad_x),
                     .grad_weight = Write(grad_weight),
                     .grad_bias = Write(grad_bias),
                     .grad_alpha = Write(grad_alpha)},
                    StreamOf(x));
    return {grad_x,
            grad_weight,
            grad_bias,
            grad_alpha,
            saved.has_residual ? grad : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }

 private:
  /// The gradient at the normalisation's output; `partial` gets its sums [2, N, S, C].
  static at::Tensor Delta(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& potential,
                          const SavedNorm& saved, at::Tensor& partial) {
    const NormState& s = saved.state;
    const int64_t strips = saved.fires ? SumStrips(ShapeOf(potential, saved.lif, potential.size(0)))
                                       : NormStrips(s.shape);
    partial = Scratch({2, s.shape.pictures(), strips, s.shape.channels}, at::kFloat, x);
    if (saved.fires) {
      return FireBackward(grad, potential, saved.lif, {x, s.center, partial});
    }
    RunDeltaSums({.shape = s.shape,
                  .grad = Read(grad),
                  .x = Read(x),
                  .center = s.center,
                  .sum_delta = Write(partial),
                  .sum_delta_x = Write(partial) + partial.numel() / 2},
                 StreamOf(x));
    return grad;
  }
};

}  // namespace

at::Tensor Lif(const at::Tensor& x, const LifOptions& options, const at::Tensor& spike_count) {
  const bool keep = at::GradMode::is_enabled() && x.requires_grad();
  return LifFunction::apply(x, options, &spike_count, keep);
}

at::Tensor NormGateFire(const at::Tensor& x, const BatchNorm& norm, const NormCall& call) {
  return ApplyNormGateFire<NormGateFireFunction>(x, norm, call);
}

}  // namespace bsnn::trainer::cuda
