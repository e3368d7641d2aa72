#include "worker/trainer/nn/kernels/norm_gate.h"

#include <cmath>

namespace bsnn::trainer::kernels {
namespace {

using spec::AgmmReduce;

double Sigmoid(double e) { return 1.0 / (1.0 + std::exp(-e)); }

/// Index of a picture's and channel's gate.
int64_t GateIndex(const NormGateSaved& s, int64_t n, int64_t c) {
  switch (s.form.reduce) {
    case AgmmReduce::kChannel:
      return n * s.shape.channels + c;
    case AgmmReduce::kStep:
      return n / s.shape.batch;
    default:
      return n;
  }
}

int64_t AlphaIndex(const NormGateSaved& s, int64_t n, int64_t c) {
  const int64_t t = n / s.shape.batch;
  return s.form.alpha_per_channel ? t * s.shape.channels + c : t;
}

/// How many (n, c) entries share one gate.
double EntriesPerGate(const NormGateSaved& s) {
  return static_cast<double>(s.shape.pictures() * s.shape.channels) /
         static_cast<double>(s.gate.size());
}

}  // namespace

void CombineMoments(const NormGateShape& shape, const double* sum, const double* square,
                    double* mean, double* variance) {
  const int64_t pictures = shape.pictures();
  const double pixels = static_cast<double>(shape.pixels);
  const double count = static_cast<double>(pictures) * pixels;
  for (int64_t c = 0; c < shape.channels; ++c) mean[c] = variance[c] = 0;
  for (int64_t n = 0; n < pictures; ++n) {
    for (int64_t c = 0; c < shape.channels; ++c) mean[c] += sum[n * shape.channels + c];
  }
  for (int64_t c = 0; c < shape.channels; ++c) mean[c] /= count;
  for (int64_t n = 0; n < pictures; ++n) {
    for (int64_t c = 0; c < shape.channels; ++c) {
      const double offset = sum[n * shape.channels + c] / pixels - mean[c];
      variance[c] += square[n * shape.channels + c] + pixels * offset * offset;
    }
  }
  for (int64_t c = 0; c < shape.channels; ++c) variance[c] /= count;
}

double CombineRanks(const double* ranks, int64_t rank_count, int64_t channels, double* mean,
                    double* variance) {
  const int64_t row = 1 + 2 * channels;
  double count = 0;
  for (int64_t r = 0; r < rank_count; ++r) count += ranks[r * row];
  for (int64_t c = 0; c < channels; ++c) {
    mean[c] = variance[c] = 0;
    for (int64_t r = 0; r < rank_count; ++r) {
      mean[c] += ranks[r * row] / count * ranks[r * row + 1 + c];
    }
    for (int64_t r = 0; r < rank_count; ++r) {
      const double offset = ranks[r * row + 1 + c] - mean[c];
      variance[c] += ranks[r * row] / count * (ranks[r * row + 1 + channels + c] + offset * offset);
    }
  }
  return count;
}

void NormGateForward(NormGateSaved& s, const double* fixed_energy, double* energy, float* scale,
                     float* shift) {
  const int64_t pictures = s.shape.pictures(), channels = s.shape.channels;
  const double pixels = static_cast<double>(s.shape.pixels);
  if (s.form.present) {
    const bool per_step = s.form.reduce == AgmmReduce::kStep;
    s.gate.assign(s.form.reduce == AgmmReduce::kChannel ? pictures * channels
                  : per_step                            ? s.shape.steps
                                                        : pictures,
                  0.0);
    for (int64_t n = 0; n < pictures; ++n) {
      for (int64_t c = 0; c < channels; ++c) {
        const double mean_y =
            s.weight[c] * s.inverse_std[c] * (s.sum[n * channels + c] / pixels - s.mean[c]) +
            s.bias[c];
        s.gate[GateIndex(s, n, c)] += mean_y;
      }
    }
    const double entries = EntriesPerGate(s);
    for (size_t i = 0; i < s.gate.size(); ++i) {
      double e = s.gate[i] / entries;
      if (per_step && energy != nullptr) energy[i] = e;
      if (per_step && fixed_energy != nullptr) e = fixed_energy[i];
      s.gate[i] = Sigmoid(e);
    }
  }
  for (int64_t n = 0; n < pictures; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      const double factor =
          s.form.present ? s.alpha[AlphaIndex(s, n, c)] * s.gate[GateIndex(s, n, c)] : 1.0;
      const double a = s.weight[c] * s.inverse_std[c];
      scale[n * channels + c] = static_cast<float>(factor * a);
      shift[n * channels + c] = static_cast<float>(factor * (s.bias[c] - a * s.mean[c]));
    }
  }
}

NormGateGradients NormGateBackward(const NormGateSaved& s, bool energy_is_fixed,
                                   const double* sum_delta, const double* sum_delta_x,
                                   const SumOverRanks& sum_over_ranks) {
  const int64_t pictures = s.shape.pictures(), channels = s.shape.channels;
  const double pixels = static_cast<double>(s.shape.pixels);
  NormGateGradients out;
  out.weight.assign(channels, 0);
  out.bias.assign(channels, 0);
  out.alpha.assign(s.alpha.size(), 0);
  std::vector<double> energy_grad(s.gate.size(), 0);
  if (s.form.present) {
    for (int64_t n = 0; n < pictures; ++n) {
      for (int64_t c = 0; c < channels; ++c) {
        const int64_t at = n * channels + c, gate_at = GateIndex(s, n, c);
        const double dot = s.weight[c] * s.inverse_std[c] * sum_delta_x[at] +
                           s.bias[c] * sum_delta[at];  // sum_p delta y
        out.alpha[AlphaIndex(s, n, c)] += s.gate[gate_at] * dot;
        energy_grad[gate_at] += s.alpha[AlphaIndex(s, n, c)] * dot;
      }
    }
    const double elements = EntriesPerGate(s) * pixels;
    for (size_t i = 0; i < energy_grad.size(); ++i) {
      energy_grad[i] *= energy_is_fixed ? 0.0 : s.gate[i] * (1 - s.gate[i]) / elements;
    }
  }
  out.scale.resize(pictures * channels);
  out.shift.resize(pictures * channels);
  out.slope.resize(channels);
  // dy = factor delta + k; here scale holds factor and shift holds k until the sums are known.
  std::vector<double> sum_dy_x(channels, 0), k(pictures * channels, 0);
  for (int64_t n = 0; n < pictures; ++n) {
    for (int64_t c = 0; c < channels; ++c) {
      const int64_t at = n * channels + c;
      double factor = 1, centered = 0;
      if (s.form.present) {
        factor = s.alpha[AlphaIndex(s, n, c)] * s.gate[GateIndex(s, n, c)];
        k[at] = energy_grad[GateIndex(s, n, c)];
        centered = s.sum[at] - pixels * s.mean[c];
      }
      out.bias[c] += factor * sum_delta[at] + k[at] * pixels;
      sum_dy_x[c] += factor * sum_delta_x[at] + k[at] * centered;
      out.scale[at] = static_cast<float>(factor * s.weight[c] * s.inverse_std[c]);
    }
  }
  std::vector<double> totals = out.bias;  // sums of dy, then of dy (x - mean), of all statistics'
  totals.insert(totals.end(), sum_dy_x.begin(), sum_dy_x.end());
  if (sum_over_ranks) sum_over_ranks(totals.data(), static_cast<int64_t>(totals.size()));
  for (int64_t c = 0; c < channels; ++c) {
    out.weight[c] = s.inverse_std[c] * sum_dy_x[c];
    const double a = s.weight[c] * s.inverse_std[c];
    const double total = s.inverse_std[c] * totals[channels + c];
    out.slope[c] =
        s.batch_statistics ? static_cast<float>(-a * s.inverse_std[c] * total / s.count) : 0.0f;
    const double centering = s.batch_statistics ? totals[c] / s.count : 0.0;
    for (int64_t n = 0; n < pictures; ++n) {
      out.shift[n * channels + c] = static_cast<float>(a * (k[n * channels + c] - centering));
    }
  }
  return out;
}

}  // namespace bsnn::trainer::kernels
