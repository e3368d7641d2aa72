#include "worker/trainer/measure/gradients.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>

#include "worker/trainer/measure/moments.h"
#include "worker/trainer/nn/cuda/ops.h"

namespace bsnn::trainer {
namespace {

constexpr int64_t kChunk = 1 << 15;  ///< numbers summed up at a time, whatever the threads

/// Adds count, sum and sum of squares of `gradient` to totals[0..2], on its device: chunks in
/// float64, in order.
void AddMoments(const at::Tensor& gradient, const at::Tensor& totals) {
  if (gradient.is_cuda()) return cuda::AddMoments(gradient.detach(), totals);
  const at::Tensor on_cpu = gradient.detach().contiguous();
  double* const sums = totals.mutable_data_ptr<double>();
  const float* const g = on_cpu.const_data_ptr<float>();
  const int64_t count = on_cpu.numel();
  std::vector<kernels::Moments> chunks(static_cast<size_t>((count + kChunk - 1) / kChunk));
  at::parallel_for(0, std::ssize(chunks), 2, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      const int64_t begin = c * kChunk;
      chunks[static_cast<size_t>(c)] =
          kernels::MomentsOf(g + begin, std::min(kChunk, count - begin));
    }
  });
  sums[0] += static_cast<double>(count);
  for (const kernels::Moments& moments : chunks) {
    sums[1] += moments.sum;
    sums[2] += moments.square;
  }
}

struct MeanAndVariance {
  double mean, variance;
};

MeanAndVariance FromSums(const double* sums) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (sums[0] == 0) return {kNone, kNone};
  const double mean = sums[1] / sums[0];
  const double variance = sums[2] / sums[0] - mean * mean;
  return {mean, variance < 0 ? 0 : variance};  // keeps NaN
}

}  // namespace

GradientMeter::GradientMeter(const std::vector<WeightLayer>& layers)
    : sums_(at::zeros(
          {static_cast<int64_t>(layers.size()), 6},
          at::device(layers.empty() ? at::kCPU : layers[0].latent.device()).dtype(at::kDouble))) {
  for (const WeightLayer& layer : layers) names_.push_back(layer.name);
}

void GradientMeter::Observe(const std::vector<LayerGradient>& gradients) {
  TORCH_CHECK(gradients.size() == names_.size(), "GradientMeter: ", gradients.size(),
              " layers; allowed: ", names_.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const at::Tensor sums = sums_.select(0, static_cast<int64_t>(i));
    AddMoments(gradients[i].effective, sums.slice(0, 0, 3));
    AddMoments(gradients[i].latent, sums.slice(0, 3, 6));
  }
}

std::vector<GradientMoments> GradientMeter::Moments() const {
  std::vector<GradientMoments> out;
  const at::Tensor on_cpu = sums_.cpu();
  const double* const sums = on_cpu.const_data_ptr<double>();
  const auto add = [&out](const std::string& name, const double* s) {
    const auto effective = FromSums(s), latent = FromSums(s + 3);
    out.push_back({name, effective.mean, effective.variance, latent.mean, latent.variance});
  };
  double all[6] = {};
  for (size_t i = 0; i < names_.size(); ++i) {
    add(names_[i], sums + 6 * i);
    for (size_t k = 0; k < 6; ++k) all[k] += sums[6 * i + k];
  }
  if (!names_.empty()) add("all", all);
  return out;
}

void GradientMeter::Reset() { sums_.zero_(); }

NamedTensors GradientMeter::State() const {
  NamedTensors state;
  for (size_t i = 0; i < names_.size(); ++i) {
    state.push_back({names_[i] + ".gradient_sums", sums_.select(0, static_cast<int64_t>(i))});
  }
  return state;
}

}  // namespace bsnn::trainer
