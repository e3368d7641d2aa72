#include "worker/trainer/nn/neuron.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>

#include "worker/trainer/nn/conv.h"
#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/lif.h"
#include "worker/trainer/nn/lif_pass.h"

namespace bsnn::trainer {
namespace {

kernels::Activations ShapeOf(const at::Tensor& x, int64_t batch, const LifOptions& options) {
  return {.steps = options.steps,
          .batch = batch,
          .pixels = x.size(2) * x.size(3),
          .channels = x.size(1),
          .pooled_width = options.pool ? x.size(3) : 0};
}

}  // namespace

LifResult RunLifPass(const at::Tensor& x, const LifOptions& options, const LifMap& map, bool keep,
                     const at::Tensor& spike_count) {
  const int64_t batch = options.same_input ? x.size(0) : x.size(0) / options.steps;
  const kernels::Activations shape = ShapeOf(x, batch, options);
  const int64_t pictures = shape.steps * batch;
  const std::vector<int64_t> sizes = {pictures, x.size(1), x.size(2), x.size(3)};
  const int64_t shrink = options.pool ? 2 : 1;
  LifResult out;
  out.spikes = EmptyChannelsLast({sizes[0], sizes[1], sizes[2] / shrink, sizes[3] / shrink}, x);
  if (keep) out.potential = EmptyChannelsLast(sizes, x);
  std::vector<int64_t> fired(spike_count.defined() ? pictures : 0);
  const kernels::LifForward args{
      .shape = shape,
      .neuron = options.neuron,
      .same_input = options.same_input,
      .x = x.const_data_ptr<float>(),
      .scale = map.scale,
      .shift = map.shift,
      .spikes = out.spikes.mutable_data_ptr<float>(),
      .potential = keep ? out.potential.mutable_data_ptr<float>() : nullptr,
      .spike_count = fired.empty() ? nullptr : fired.data()};
  ForPictures(batch, shape.steps * shape.pixels * shape.channels,
              [&](int64_t first, int64_t last) { kernels::RunLifForward(args, first, last); });
  CountSpikes(fired, shape.steps, shape.pixels * shape.channels, spike_count);
  return out;
}

void CountSpikes(const std::vector<int64_t>& fired, int64_t steps, int64_t numbers_each,
                 const at::Tensor& spike_count) {
  const int64_t batch = std::ssize(fired) / steps;
  for (int64_t n = 0; n < std::ssize(fired); ++n) {
    int64_t* const counts = spike_count.mutable_data_ptr<int64_t>();
    counts[n / batch] += fired[n];
    counts[steps + n / batch] += numbers_each;
  }
}

at::Tensor RunLifBackwardPass(const at::Tensor& grad_output, const LifHistory& history,
                              const LifOptions& options, const LifSums& sums,
                              const at::Tensor& addend) {
  const at::Tensor grad_spikes = ChannelsLast(grad_output);
  const at::Tensor added = addend.defined() ? ChannelsLast(addend) : addend;
  const at::Tensor& full = history.potential.defined() ? history.potential : history.drive;
  const int64_t batch = grad_spikes.size(0) / options.steps;
  const kernels::Activations shape = ShapeOf(full, batch, options);
  at::Tensor grad = EmptyChannelsLast(
      {options.same_input ? batch : grad_spikes.size(0), full.size(1), full.size(2), full.size(3)},
      full);
  const bool recalls = !history.potential.defined();
  const kernels::LifBackward args{
      .shape = shape,
      .neuron = options.neuron,
      .same_input = options.same_input,
      .grad_spikes = grad_spikes.const_data_ptr<float>(),
      .potential = recalls ? nullptr : full.const_data_ptr<float>(),
      .drive = recalls ? full.const_data_ptr<float>() : nullptr,
      .grad = grad.mutable_data_ptr<float>(),
      .added = added.defined() ? added.const_data_ptr<float>() : nullptr,
      .x = sums.x.defined() ? sums.x.const_data_ptr<float>() : nullptr,
      .center = sums.center,
      .sum_delta = sums.sum_delta,
      .sum_delta_x = sums.sum_delta_x};
  ForPictures(batch, shape.steps * shape.pixels * shape.channels,
              [&](int64_t first, int64_t last) { kernels::RunLifBackward(args, first, last); });
  return grad;
}

namespace {

class LifFunction : public torch::autograd::Function<LifFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                            const LifOptions& options, const at::Tensor* spike_counter, bool keep) {
    const at::Tensor& spike_count = *spike_counter;
    LifResult out;
    if (x.is_cpu()) {
      out = RunLifPass(ChannelsLast(x), options, {}, keep, spike_count);
    } else {
      out = LifForwardPlain(x, options);
      if (spike_count.defined()) {
        spike_count[0].add_(out.spikes.reshape({options.steps, -1}).sum(1).to(at::kLong));
        spike_count[1].add_(out.spikes.numel() / options.steps);
      }
    }
    if (keep) {
      ctx->save_for_backward({out.potential});
      Keep(ctx, options);
    }
    return out.spikes;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const at::Tensor potential = ctx->get_saved_variables()[0];
    const LifOptions& options = KeptBy<LifOptions>(ctx);
    const at::Tensor grad =
        potential.is_cpu() ? RunLifBackwardPass(grads[0], {.potential = potential}, options, {})
                           : LifBackwardPlain(grads[0], potential, options);
    return {grad, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

at::Tensor SurrogatePlain(const at::Tensor& distance, const spec::NeuronSpec& neuron) {
  constexpr double kHalfPi = 1.57079632679489662;
  const double w = neuron.surrogate_width;
  switch (neuron.surrogate) {
    case spec::Surrogate::kTriangle:
      return (w - distance.abs()).clamp_min(0).div(w * w);
    case spec::Surrogate::kRectangle:
      return distance.abs().lt(w).to(distance.scalar_type()).mul(0.5 / w);
    case spec::Surrogate::kSigmoid: {
      const at::Tensor s = distance.mul(w).sigmoid();
      return s.mul(1 - s).mul(w);
    }
    case spec::Surrogate::kArctangent:
      return distance.mul(kHalfPi * w).square().add(1).reciprocal().mul(0.5 * w);
  }
  return {};
}

}  // namespace

LifResult LifForwardPlain(const at::Tensor& x, const LifOptions& options) {
  const double threshold = options.neuron.threshold;
  const auto inputs = x.chunk(options.same_input ? 1 : options.steps);
  std::vector<at::Tensor> spikes, potential;
  at::Tensor v = at::zeros_like(inputs[0]);
  for (int64_t t = 0; t < options.steps; ++t) {
    const at::Tensor u = v.mul(options.neuron.decay).add(inputs[options.same_input ? 0 : t]);
    const at::Tensor s = u.gt(threshold).to(u.scalar_type());
    v = options.neuron.reset == spec::Reset::kHard ? u.mul(1 - s) : u.sub(s, threshold);
    spikes.push_back(s);
    potential.push_back(u);
  }
  return {at::cat(spikes), at::cat(potential)};
}

at::Tensor LifBackwardPlain(const at::Tensor& grad_spikes, const at::Tensor& potential,
                            const LifOptions& options) {
  const double threshold = options.neuron.threshold;
  const bool hard = options.neuron.reset == spec::Reset::kHard;
  const auto grads = grad_spikes.chunk(options.steps), us = potential.chunk(options.steps);
  std::vector<at::Tensor> out(options.steps);
  at::Tensor gv = at::zeros_like(us[0]);
  for (int64_t t = options.steps - 1; t >= 0; --t) {
    const at::Tensor silent = us[t].le(threshold).to(us[t].scalar_type());
    at::Tensor at_spike = grads[t];
    if (!options.neuron.detach_reset) {
      at_spike = at_spike - (hard ? us[t] * gv : gv * threshold);
    }
    const at::Tensor direct = hard ? silent * gv : gv;
    out[t] = direct + at_spike * SurrogatePlain(us[t] - threshold, options.neuron);
    gv = out[t] * options.neuron.decay;
  }
  if (!options.same_input) return at::cat(out);
  at::Tensor sum = out[0];
  for (int64_t t = 1; t < options.steps; ++t) sum = sum + out[t];
  return sum;
}

at::Tensor Lif(const at::Tensor& x, const LifOptions& options, const at::Tensor& spike_count) {
  CheckActivations("Lif", x);
  TORCH_CHECK(options.steps >= 1 && (options.same_input || x.size(0) % options.steps == 0),
              "Lif: first size is ", x.size(0), "; allowed: a multiple of T = ", options.steps);
  TORCH_CHECK(!options.pool || (x.size(2) >= 2 && x.size(3) >= 2), "Lif: x is ", x.sizes(),
              "; allowed with pooling: height and width of at least 2");
  if (cuda::Serves(x)) return cuda::Lif(x, options, spike_count);
  if (options.pool && !x.is_cpu()) {
    LifOptions unpooled = options;
    unpooled.pool = false;
    return MaxPool2(Lif(x, unpooled, spike_count));
  }
  const bool keep = at::GradMode::is_enabled() && x.requires_grad();
  return LifFunction::apply(x, options, &spike_count, keep);
}

}  // namespace bsnn::trainer
