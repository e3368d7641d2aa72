#include "worker/trainer/nn/batch_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/from_blob.h>

#include <cmath>
#include <type_traits>

#include "worker/trainer/dist/ranks.h"
#include "worker/trainer/nn/cuda/ops.h"
#include "worker/trainer/nn/function_support.h"
#include "worker/trainer/nn/kernels/affine.h"
#include "worker/trainer/nn/kernels/norm_gate.h"
#include "worker/trainer/nn/lif_pass.h"
#include "worker/trainer/nn/norm_gate_call.h"
#include "worker/trainer/nn/norm_pass.h"

namespace bsnn::trainer {
namespace {

using kernels::NormGateSaved;

std::vector<double> ToDoubles(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.detach().contiguous();
  const float* const data = contiguous.const_data_ptr<float>();
  return {data, data + contiguous.numel()};
}

/// Moves a running statistic by `momentum` towards `batch`.
void MoveTowards(const at::Tensor& running, const double* batch, double momentum) {
  float* const out = running.mutable_data_ptr<float>();
  for (int64_t c = 0; c < running.numel(); ++c) {
    out[c] = static_cast<float>((1 - momentum) * static_cast<double>(out[c]) + momentum * batch[c]);
  }
}

void SumDoubles(Ranks& ranks, double* values, int64_t count) {
  ranks.Sum(at::from_blob(values, {count}, at::kDouble));
}

/// From this rank's mean and variance of `saved.count` numbers to those of all ranks'.
void TakeRanksStatistics(Ranks& ranks, NormGateSaved& saved, std::vector<double>& variance) {
  const int64_t channels = saved.shape.channels, row = 1 + 2 * channels;
  std::vector<double> rows(ranks.size() * row);  // a sum with zeros gathers
  double* const mine = rows.data() + ranks.rank() * row;
  mine[0] = saved.count;
  std::copy(saved.mean.begin(), saved.mean.end(), mine + 1);
  std::copy(variance.begin(), variance.end(), mine + 1 + channels);
  SumDoubles(ranks, rows.data(), std::ssize(rows));
  saved.count = kernels::CombineRanks(rows.data(), ranks.size(), channels, saved.mean.data(),
                                      variance.data());
}

/// values [N, C] or [C], times the unit of an int16 x.
template <class Number>
void MultiplyByUnit(const NormState& state, std::vector<Number>& values) {
  const size_t channels = state.unit.size();
  for (size_t row = 0; channels != 0 && row < values.size(); row += channels) {
    for (size_t c = 0; c < channels; ++c) values[row + c] *= state.unit[c];
  }
}

/// Calls body(const float*) or body(const int16_t*).
template <class Body>
void OnValues(const at::Tensor& x, const Body& body) {
  if (x.scalar_type() == at::kShort) return body(x.const_data_ptr<int16_t>());
  body(x.const_data_ptr<float>());
}

/// What NormGateFire's backward pass needs besides tensors.
struct Saved {
  NormState norm;
  LifOptions lif;
  bool fires = false;
  bool has_residual = false;
};

Saved MakeSaved(const at::Tensor& x, const NormCall& call) {
  Saved out{MakeNormState(x.sizes(), call)};
  out.fires = call.neuron.has_value();
  if (out.fires) out.lif = {*call.neuron, call.steps, call.same_input, call.pool};
  out.has_residual = call.residual.defined();
  return out;
}

/// kernels::PictureMoments of x, where they are wanted.
std::vector<double> TakeMoments(const at::Tensor& x, const NormCall& call, NormGateSaved& saved) {
  if (!WantsMoments(call)) return {};
  const kernels::Pictures shape{saved.shape.pixels, saved.shape.channels};
  std::vector<double> square(x.size(0) * shape.channels);
  saved.sum.resize(square.size());
  ForPictures(x.size(0), shape.pixels * shape.channels, [&](int64_t first, int64_t last) {
    kernels::PictureMoments(shape, x.const_data_ptr<float>(), saved.sum.data(), square.data(),
                            first, last);
  });
  return square;
}

/// The gradient at the normalisation's output, and its sums per picture and channel.
at::Tensor Delta(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& potential,
                 const Saved& saved, const std::vector<float>& center, std::vector<double>& sum,
                 std::vector<double>& sum_x) {
  if (!saved.fires) {
    TakeDeltaSums(grad, x, saved.norm, center, sum, sum_x);
    return grad;
  }
  return RunLifBackwardPass(grad, {.potential = potential}, saved.lif,
                            {x, center.data(), sum.data(), sum_x.data()});
}

class NormGateFireFunction : public torch::autograd::Function<NormGateFireFunction> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& input,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const std::optional<at::Tensor>& alpha,
                            const std::optional<at::Tensor>& residual, const BatchNorm& norm,
                            const NormCall& call, bool keep) {
    const at::Tensor x = ChannelsLast(input);
    Saved saved = MakeSaved(x, call);
    TakeStatistics(norm, call, TakeMoments(x, call, saved.norm.saved), saved.norm);
    const NormMap map = MakeNormMap(call, saved.norm);
    LifResult fired;
    at::Tensor out;
    if (saved.fires) {
      fired =
          RunLifPass(x, saved.lif, {map.scale.data(), map.shift.data()}, keep, call.spike_count);
      out = fired.spikes;
    } else {
      out = ApplyNormMap(x, saved.norm, map, residual.value_or(at::Tensor()));
    }
    if (keep) {
      ctx->save_for_backward({x, weight, bias, alpha.value_or(at::Tensor()), fired.potential});
      Keep(ctx, std::move(saved));
    }
    return out;
  }

  static TensorList backward(torch::autograd::AutogradContext* ctx, TensorList grads) {
    const TensorList tensors = ctx->get_saved_variables();
    const Saved& saved = KeptBy<Saved>(ctx);
    const at::Tensor& x = tensors[0];
    const kernels::NormGateShape& shape = saved.norm.saved.shape;
    const std::vector<float> center = CenterOf(saved.norm);
    std::vector<double> sum(shape.pictures() * shape.channels), sum_x(sum.size());
    // One copy at most: the residual's gradient goes on in the same memory format.
    const at::Tensor grad = ChannelsLast(grads[0]);
    const at::Tensor delta = Delta(grad, x, tensors[4], saved, center, sum, sum_x);
    const kernels::NormGateGradients g = RunNormBackward(saved.norm, sum.data(), sum_x.data());
    at::Tensor grad_x = saved.fires ? delta : EmptyChannelsLast(x.sizes(), x);
    const kernels::AffineBackward<float> args{.shape = {shape.pixels, shape.channels},
                                              .grad = delta.const_data_ptr<float>(),
                                              .x = x.const_data_ptr<float>(),
                                              .scale = g.scale.data(),
                                              .shift = g.shift.data(),
                                              .slope = g.slope.data(),
                                              .center = center.data(),
                                              .grad_x = grad_x.mutable_data_ptr<float>()};
    ForPictures(x.size(0), shape.pixels * shape.channels, [&](int64_t first, int64_t last) {
      kernels::RunAffineBackward(args, first, last);
    });
    return {grad_x,
            GradientOf(tensors[1], g.weight),
            GradientOf(tensors[2], g.bias),
            saved.norm.saved.form.present ? GradientOf(tensors[3], g.alpha) : at::Tensor(),
            saved.has_residual ? grad : at::Tensor(),
            at::Tensor(),
            at::Tensor(),
            at::Tensor()};
  }
};

bool CanFuse(const NormCall& call) { return call.gate == nullptr || HasFusedGate(call.gate->spec); }

void Check(const at::Tensor& x, const BatchNorm& norm, const NormCall& call) {
  CheckActivations("NormGateFire", x);
  TORCH_CHECK(x.size(1) == norm.weight.size(0), "NormGateFire: x has ", x.size(1),
              " channels; allowed: ", norm.weight.size(0));
  TORCH_CHECK(call.steps >= 1 && (call.same_input || x.size(0) % call.steps == 0),
              "NormGateFire: first size is ", x.size(0),
              "; allowed: a multiple of T = ", call.steps);
  TORCH_CHECK(!call.same_input || (call.neuron && call.gate == nullptr),
              "NormGateFire: same_input needs a neuron and no gate");
  TORCH_CHECK(!call.pool || (call.neuron && x.size(2) >= 2 && x.size(3) >= 2),
              "NormGateFire: pooling needs a neuron and a height and width of at least 2");
  TORCH_CHECK(!call.residual.defined() || (!call.neuron && call.residual.sizes() == x.sizes()),
              "NormGateFire: a residual needs no neuron and x's shape");
  TORCH_CHECK(call.gate == nullptr || call.gate->alpha.size(0) == call.steps,
              "NormGateFire: alpha's first size; allowed: T = ", call.steps);
}

}  // namespace

NormState MakeNormState(at::IntArrayRef sizes, const NormCall& call) {
  const int64_t steps = call.same_input ? 1 : call.steps;
  NormState state;
  state.saved.shape = {steps, sizes[0] / steps, sizes[2] * sizes[3], sizes[1]};
  if (call.gate != nullptr) {
    state.saved.form = {.present = true,
                        .reduce = call.gate->spec.reduce,
                        .detach = call.gate->spec.gradient == spec::GateGradient::kDetach,
                        .alpha_per_channel = call.gate->alpha.dim() == 2};
  }
  state.ranks = call.training ? call.ranks : nullptr;
  return state;
}

bool WantsMoments(const NormCall& call) { return call.training || call.gate != nullptr; }

void TakeStatistics(const BatchNorm& norm, const NormCall& call, const std::vector<double>& square,
                    NormState& state) {
  NormGateSaved& saved = state.saved;
  const int64_t channels = saved.shape.channels;
  std::vector<double> variance(channels);
  saved.weight = ToDoubles(norm.weight);
  saved.bias = ToDoubles(norm.bias);
  saved.batch_statistics = call.training;
  saved.count = static_cast<double>(saved.shape.pictures() * saved.shape.pixels);
  if (call.training) {
    saved.mean.resize(channels);
    kernels::CombineMoments(saved.shape, saved.sum.data(), square.data(), saved.mean.data(),
                            variance.data());
    if (call.ranks != nullptr) TakeRanksStatistics(*call.ranks, saved, variance);
    MoveTowards(norm.running_mean, saved.mean.data(), kNormMomentum);
    const double count = saved.count * static_cast<double>(call.same_input ? call.steps : 1);
    std::vector<double> unbiased = variance;
    for (double& v : unbiased) v *= count / std::max(1.0, count - 1);
    MoveTowards(norm.running_var, unbiased.data(), kNormMomentum);
  } else {
    saved.mean = ToDoubles(norm.running_mean);
    variance = ToDoubles(norm.running_var);
  }
  saved.inverse_std.resize(channels);
  for (int64_t c = 0; c < channels; ++c) {
    saved.inverse_std[c] = 1 / std::sqrt(variance[c] + kNormEpsilon);
  }
}

NormMap MakeNormMap(const NormCall& call, NormState& state) {
  NormGateSaved& norm = state.saved;
  const int64_t entries = norm.shape.pictures() * norm.shape.channels;
  NormMap out{std::vector<float>(entries), std::vector<float>(entries)};
  std::vector<double> fixed, energy;
  if (call.gate != nullptr) {
    norm.alpha = ToDoubles(call.gate->alpha);
    state.energy_is_fixed = call.gate->spec.gradient == spec::GateGradient::kDetach;
    if (norm.form.reduce == spec::AgmmReduce::kStep) {
      energy.resize(call.steps);
      if (!call.training) {
        fixed = ToDoubles(call.gate->running_energy);
        state.energy_is_fixed = true;
      }
    }
  }
  kernels::NormGateForward(norm, fixed.empty() ? nullptr : fixed.data(),
                           energy.empty() ? nullptr : energy.data(), out.scale.data(),
                           out.shift.data());
  if (!energy.empty() && call.training) {
    MoveTowards(call.gate->running_energy, energy.data(), kEnergyMomentum);
  }
  if (call.gate_sum.defined() && call.gate != nullptr) {
    double* const sum = call.gate_sum.mutable_data_ptr<double>();
    for (const double g : norm.gate) sum[0] += g;
    sum[1] += static_cast<double>(norm.gate.size());
  }
  return out;
}

at::Tensor ApplyNormMap(const at::Tensor& x, const NormState& state, const NormMap& map,
                        const at::Tensor& residual) {
  at::Tensor y =
      at::empty(x.sizes(), x.options().dtype(at::kFloat), at::MemoryFormat::ChannelsLast);
  const at::Tensor added = residual.defined() ? ChannelsLast(residual) : residual;
  const kernels::Pictures shape{state.saved.shape.pixels, state.saved.shape.channels};
  std::vector<float> scale = map.scale;
  MultiplyByUnit(state, scale);
  OnValues(x, [&](const auto* values) {
    const kernels::AffineForward<std::remove_cvref_t<decltype(*values)>> args{
        .shape = shape,
        .x = values,
        .scale = scale.data(),
        .shift = map.shift.data(),
        .residual = added.defined() ? added.const_data_ptr<float>() : nullptr,
        .residuals = added.defined() ? added.size(0) : 0,
        .y = y.mutable_data_ptr<float>()};
    ForPictures(x.size(0), shape.pixels * shape.channels,
                [&](int64_t first, int64_t last) { kernels::RunAffineForward(args, first, last); });
  });
  return y;
}

void ApplyUnit(const NormState& state, std::vector<double>& sum, std::vector<double>& square) {
  MultiplyByUnit(state, sum);
  MultiplyByUnit(state, square);
  MultiplyByUnit(state, square);
}

void TakeDeltaSums(const at::Tensor& grad, const at::Tensor& x, const NormState& state,
                   const std::vector<float>& center, std::vector<double>& sum_delta,
                   std::vector<double>& sum_delta_x) {
  const kernels::NormGateShape& shape = state.saved.shape;
  OnValues(x, [&](const auto* values) {
    const kernels::DeltaSums<std::remove_cvref_t<decltype(*values)>> args{
        .shape = {shape.pixels, shape.channels},
        .grad = grad.const_data_ptr<float>(),
        .x = values,
        .center = center.data(),
        .sum_delta = sum_delta.data(),
        .sum_delta_x = sum_delta_x.data()};
    ForPictures(x.size(0), shape.pixels * shape.channels,
                [&](int64_t first, int64_t last) { kernels::RunDeltaSums(args, first, last); });
  });
  MultiplyByUnit(state, sum_delta_x);
  for (size_t i = 0; !state.unit.empty() && i < sum_delta.size(); ++i) {
    const size_t c = i % state.unit.size();
    if (state.unit[c] == 0) sum_delta_x[i] = -state.saved.mean[c] * sum_delta[i];  // x is 0
  }
}

kernels::NormGateGradients RunNormBackward(const NormState& state, const double* sum_delta,
                                           const double* sum_delta_x) {
  kernels::SumOverRanks sum_over_ranks;
  if (state.ranks != nullptr) {
    sum_over_ranks = [&state](double* values, int64_t count) {
      SumDoubles(*state.ranks, values, count);
    };
  }
  kernels::NormGateGradients out = kernels::NormGateBackward(
      state.saved, state.energy_is_fixed, sum_delta, sum_delta_x, sum_over_ranks);
  MultiplyByUnit(state, out.slope);
  return out;
}

std::vector<float> CenterOf(const NormState& state) {
  std::vector<float> out(state.saved.mean.begin(), state.saved.mean.end());
  for (size_t c = 0; c < state.unit.size(); ++c) {
    out[c] = state.unit[c] == 0 ? 0 : out[c] / state.unit[c];  // of no use where the unit is 0
  }
  return out;
}

at::Tensor GradientOf(const at::Tensor& parameter, const std::vector<double>& values) {
  at::Tensor out = at::empty(parameter.sizes(), parameter.options());
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<float>());
  return out;
}

bool HasFusedGate(const spec::AgmmSpec& gate) {
  return gate.input == spec::GateInput::kSigned && gate.reduce != spec::AgmmReduce::kSpatial;
}

at::Tensor NormGateFire(const at::Tensor& x, const BatchNorm& norm, const NormCall& call) {
  Check(x, norm, call);
  TORCH_CHECK(call.ranks == nullptr || (x.is_cpu() && CanFuse(call)),
              "NormGateFire: statistics over all ranks; allowed: on the CPU, without a gate of |X| "
              "or by pixel");
  if (!CanFuse(call)) return NormGateFirePlain(x, norm, call);
  if (cuda::Serves(x)) return cuda::NormGateFire(x, norm, call);
  if (!x.is_cpu()) return NormGateFirePlain(x, norm, call);
  return ApplyNormGateFire<NormGateFireFunction>(x, norm, call);
}

at::Tensor NormGateFirePlain(const at::Tensor& x, const BatchNorm& norm, const NormCall& call) {
  Check(x, norm, call);
  const at::Tensor input = call.same_input ? x.repeat({call.steps, 1, 1, 1}) : x;
  at::Tensor y = at::batch_norm(input, norm.weight, norm.bias, norm.running_mean, norm.running_var,
                                call.training, kNormMomentum, kNormEpsilon,
                                /*cudnn_enabled=*/true);
  if (call.gate != nullptr) y = Agmm(y, *call.gate, {call.steps, call.training, call.gate_sum});
  if (call.residual.defined()) y = y + call.residual;
  if (call.neuron) y = Lif(y, {*call.neuron, call.steps, false, call.pool}, call.spike_count);
  return y;
}

}  // namespace bsnn::trainer
