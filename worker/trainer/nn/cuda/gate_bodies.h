/// The small arithmetic between the passes of batch normalisation with a gate, in float64:
/// kernels/norm_gate.h for a GPU. Private to nn/cuda.
#pragma once

#include <cmath>

#include "worker/trainer/nn/cuda/executor.h"
#include "worker/trainer/nn/cuda/passes.h"

namespace bsnn::trainer::cuda {

inline constexpr int kRowThreads = 512;

/// Blocks that take 32 channels each and share the pictures among their rows of threads.
struct ChannelRows {
  static constexpr int kChannels = 32;
  int64_t channel;
  int row, rows;
  bool active;
  BSNN_INLINE ChannelRows(const Place& at, int64_t channels)
      : channel(at.block * kChannels + at.thread % kChannels),
        row(at.thread / kChannels),
        rows(at.threads / kChannels),
        active(channel < channels) {}
  /// The sum over rows of what each thread Put; r as in BlockSum.
  BSNN_INLINE double Total(const double* scratch, const Place& at, int r) const {
    double sum = 0;
    for (int i = 0; i < rows; ++i) {
      sum += scratch[r * at.threads + i * kChannels + at.thread % kChannels];
    }
    return sum;
  }
};

/// From sums of pictures to mean and variance of channels; moves the running statistics.
struct StatisticsBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = 2;
  NormForwardPass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const NormShape& shape = p.state.shape;
    const ChannelRows place(at, shape.channels);
    if (!place.active) return;
    const int64_t c = place.channel;
    const double pixels = static_cast<double>(shape.pixels);
    const double count = static_cast<double>(shape.steps * shape.batch) * pixels;
    double part = 0;
    if (phase == 0) {
      for (int64_t n = place.row; n < shape.steps * shape.batch; n += place.rows) {
        part += p.state.sum[n * shape.channels + c];
      }
      BlockSum<2>::Put(scratch, at, 0, part);
      return;
    }
    const double mean = place.Total(scratch, at, 0) / count;
    if (phase == 1) {
      for (int64_t n = place.row; n < shape.steps * shape.batch; n += place.rows) {
        const double offset = p.state.sum[n * shape.channels + c] / pixels - mean;
        part += p.square[n * shape.channels + c] + pixels * offset * offset;
      }
      BlockSum<2>::Put(scratch, at, 1, part);
      return;
    }
    if (place.row == 0) Keep(c, mean, place.Total(scratch, at, 1) / count);
  }

  BSNN_INLINE void Keep(int64_t c, double mean, double variance) const {
    const double unbiased = variance * p.count / (p.count > 2 ? p.count - 1 : 1);
    p.running_mean[c] = Moved(p.running_mean[c], mean, p.momentum);
    p.running_var[c] = Moved(p.running_var[c], unbiased, p.momentum);
    Write(p, c, mean, variance);
  }
  BSNN_INLINE static float Moved(float running, double batch, double momentum) {
    return static_cast<float>((1 - momentum) * static_cast<double>(running) + momentum * batch);
  }
  BSNN_INLINE static void Write(const NormForwardPass& p, int64_t c, double mean, double variance) {
    p.state.mean[c] = mean;
    p.state.center[c] = static_cast<float>(mean);
    p.state.inverse_std[c] = 1 / sqrt(variance + p.epsilon);
  }
};

struct RunningStatisticsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  NormForwardPass p;
  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t c = at.index();
    if (c >= p.state.shape.channels) return;
    StatisticsBody::Write(p, c, static_cast<double>(p.running_mean[c]),
                          static_cast<double>(p.running_var[c]));
  }
};

/// Reads one entry (n, c) of a normalisation's small state.
struct GateReader {
  const NormState& s;
  BSNN_INLINE int64_t channels() const { return s.shape.channels; }
  BSNN_INLINE double slope(int64_t c) const {
    return static_cast<double>(s.weight[c]) * s.inverse_std[c];
  }
  BSNN_INLINE int64_t StepOf(int64_t n) const { return n / s.shape.batch; }
  BSNN_INLINE double Alpha(int64_t n, int64_t c) const {
    const int64_t t = StepOf(n);
    return static_cast<double>(s.alpha[s.alpha_per_channel ? t * channels() + c : t]);
  }
  BSNN_INLINE int64_t GateAt(int64_t n, int64_t c) const {
    if (s.gate_reduce == GateReduce::kChannel) return n * channels() + c;
    return s.gate_reduce == GateReduce::kStep ? StepOf(n) : n;
  }
  BSNN_INLINE double Factor(int64_t n, int64_t c) const {
    return s.gate_reduce == GateReduce::kNone ? 1.0 : Alpha(n, c) * s.gate[GateAt(n, c)];
  }
  /// The mean of the normalised map of one picture and channel.
  BSNN_INLINE double MeanOutput(int64_t n, int64_t c) const {
    const double mean_x = s.sum[n * channels() + c] / static_cast<double>(s.shape.pixels);
    return slope(c) * (mean_x - s.mean[c]) + static_cast<double>(s.bias[c]);
  }
  /// sum_p delta y
  BSNN_INLINE double Dot(const double* sums, int64_t n, int64_t c) const {
    const int64_t at = n * channels() + c, entries = s.shape.steps * s.shape.batch * channels();
    return slope(c) * sums[entries + at] + static_cast<double>(s.bias[c]) * sums[at];
  }
};

/// A gate's entries (n, c): those of a picture (sample), of a step (step), or one (channel).
struct GateEntries {
  int64_t first_n, pictures;
  BSNN_INLINE GateEntries(const NormState& s, int64_t gate)
      : first_n(s.gate_reduce == GateReduce::kStep ? gate * s.shape.batch : gate),
        pictures(s.gate_reduce == GateReduce::kStep ? s.shape.batch : 1) {}
};

BSNN_INLINE double Sigmoid(double e) { return 1.0 / (1.0 + exp(-e)); }

/// One block for each gate of a sample or a step.
struct GateBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = BlockSum<1>::kScratch;
  NormForwardPass p;

  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const NormState& s = p.state;
    const GateEntries entries(s, at.block);
    const int64_t count = entries.pictures * s.shape.channels;
    if (phase == 0) {
      double part = 0;
      for (int64_t i = at.thread; i < count; i += at.threads) {
        part +=
            GateReader{s}.MeanOutput(entries.first_n + i / s.shape.channels, i % s.shape.channels);
      }
      BlockSum<1>::Put(scratch, at, 0, part);
    } else if (phase == 1) {
      BlockSum<1>::AddParts(scratch, at);
    } else if (at.thread == 0) {
      double energy = BlockSum<1>::Total(scratch, at, 0) / static_cast<double>(count);
      if (s.gate_reduce == GateReduce::kStep) {
        float& running = p.running_energy[at.block];
        if (p.training) {
          running = StatisticsBody::Moved(running, energy, p.energy_momentum);
        } else {
          energy = static_cast<double>(running);
        }
      }
      s.gate[at.block] = Sigmoid(energy);
    }
  }
};

/// One thread for each (n, c), with reduce = channel.
struct ChannelGateBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  NormState s;
  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t channels = s.shape.channels, n = at.index() / channels;
    if (n >= s.shape.steps * s.shape.batch) return;
    s.gate[at.index()] = Sigmoid(GateReader{s}.MeanOutput(n, at.index() % channels));
  }
};

/// gate_sum += (sum of the gates, their number). One block.
struct GateSumBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = BlockSum<1>::kScratch;
  const double* gate;
  int64_t count;
  double* gate_sum;
  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    if (phase == 0) {
      double part = 0;
      for (int64_t i = at.thread; i < count; i += at.threads) part += gate[i];
      BlockSum<1>::Put(scratch, at, 0, part);
    } else if (phase == 1) {
      BlockSum<1>::AddParts(scratch, at);
    } else if (at.thread == 0) {
      gate_sum[0] += BlockSum<1>::Total(scratch, at, 0);
      gate_sum[1] += static_cast<double>(count);
    }
  }
};

/// One thread for each (n, c): X' = scale x + shift.
struct CoefficientsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  NormForwardPass p;
  BSNN_INLINE void Run(int, Place at, double*) const {
    const NormState& s = p.state;
    const int64_t n = at.index() / s.shape.channels, c = at.index() % s.shape.channels;
    if (n >= s.shape.steps * s.shape.batch) return;
    const GateReader reader{s};
    const double factor = reader.Factor(n, c), a = reader.slope(c);
    p.scale[at.index()] = static_cast<float>(factor * a);
    p.shift[at.index()] =
        static_cast<float>(factor * (static_cast<double>(s.bias[c]) - a * s.mean[c]));
  }
};

/// dL/dE / (elements of E), one block for each gate of a sample or a step. Where alpha is [T], a
/// picture's share of its gradient falls off: dots [N].
struct EnergyGradientBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = BlockSum<1>::kScratch;
  NormBackwardPass p;
  BSNN_INLINE static double Scale(const NormState& s, double gate, double entries) {
    if (s.energy_is_fixed) return 0.0;
    return gate * (1 - gate) / (entries * static_cast<double>(s.shape.pixels));
  }
  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const NormState& s = p.state;
    const GateEntries entries(s, at.block);
    const int64_t count = entries.pictures * s.shape.channels;
    const GateReader reader{s};
    if (phase == 0) {
      double part = 0;
      for (int64_t i = at.thread; i < count; i += at.threads) {
        const int64_t n = entries.first_n + i / s.shape.channels, c = i % s.shape.channels;
        part += (s.alpha_per_channel ? reader.Alpha(n, c) : 1.0) * reader.Dot(p.sums, n, c);
      }
      BlockSum<1>::Put(scratch, at, 0, part);
    } else if (phase == 1) {
      BlockSum<1>::AddParts(scratch, at);
    } else if (at.thread == 0) {
      const double total = BlockSum<1>::Total(scratch, at, 0), gate = s.gate[at.block];
      const double alpha = s.alpha_per_channel ? 1.0 : reader.Alpha(entries.first_n, 0);
      p.energy[at.block] = alpha * total * Scale(s, gate, static_cast<double>(count));
      p.dots[at.block] = gate * total;
    }
  }
};

struct ChannelEnergyGradientBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  NormBackwardPass p;
  BSNN_INLINE void Run(int, Place at, double*) const {
    const NormState& s = p.state;
    const int64_t n = at.index() / s.shape.channels, c = at.index() % s.shape.channels;
    if (n >= s.shape.steps * s.shape.batch) return;
    p.energy[at.index()] = GateReader{s}.Alpha(n, c) * GateReader{s}.Dot(p.sums, n, c) *
                           EnergyGradientBody::Scale(s, s.gate[at.index()], 1);
  }
};

/// The gradient of alpha [T]: one block a step. From dots, or with reduce = channel from all.
struct AlphaGradientBody {
  static constexpr int kPhases = 3;
  static constexpr int kScratch = BlockSum<1>::kScratch;
  NormBackwardPass p;
  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    if (phase == 0) {
      BlockSum<1>::Put(scratch, at, 0, Part(at));
    } else if (phase == 1) {
      BlockSum<1>::AddParts(scratch, at);
    } else if (at.thread == 0) {
      p.grad_alpha[at.block] = static_cast<float>(BlockSum<1>::Total(scratch, at, 0));
    }
  }
  BSNN_INLINE double Part(const Place& at) const {
    const NormState& s = p.state;
    const GateReader reader{s};
    double part = 0;
    if (s.gate_reduce != GateReduce::kChannel) {
      const int64_t gates = s.gate_reduce == GateReduce::kStep ? 1 : s.shape.batch;
      for (int64_t i = at.thread; i < gates; i += at.threads) part += p.dots[at.block * gates + i];
      return part;
    }
    for (int64_t i = at.thread; i < s.shape.batch * s.shape.channels; i += at.threads) {
      const int64_t n = at.block * s.shape.batch + i / s.shape.channels;
      const int64_t c = i % s.shape.channels;
      part += s.gate[reader.GateAt(n, c)] * reader.Dot(p.sums, n, c);
    }
    return part;
  }
};

/// The gradient of alpha [T, C]: one thread for each.
struct ChannelAlphaGradientBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  NormBackwardPass p;
  BSNN_INLINE void Run(int, Place at, double*) const {
    const NormState& s = p.state;
    const int64_t t = at.index() / s.shape.channels, c = at.index() % s.shape.channels;
    if (t >= s.shape.steps) return;
    const GateReader reader{s};
    double sum = 0;
    for (int64_t b = 0; b < s.shape.batch; ++b) {
      const int64_t n = t * s.shape.batch + b;
      sum += s.gate[reader.GateAt(n, c)] * reader.Dot(p.sums, n, c);
    }
    p.grad_alpha[at.index()] = static_cast<float>(sum);
  }
};

/// The gradients of weight and bias, and what the channels' coefficients need: sums over pictures.
struct ChannelGradientBody {
  static constexpr int kPhases = 2;
  static constexpr int kScratch = 2;
  NormBackwardPass p;
  BSNN_INLINE void Run(int phase, Place at, double* scratch) const {
    const NormState& s = p.state;
    const ChannelRows place(at, s.shape.channels);
    if (!place.active) return;
    const int64_t c = place.channel, pictures = s.shape.steps * s.shape.batch;
    if (phase == 0) {
      double sum = 0, sum_x = 0;
      for (int64_t n = place.row; n < pictures; n += place.rows) Add(n, c, sum, sum_x);
      BlockSum<2>::Put(scratch, at, 0, sum);
      BlockSum<2>::Put(scratch, at, 1, sum_x);
    } else if (place.row == 0) {
      const double bias = place.Total(scratch, at, 0);
      const double weight = s.inverse_std[c] * place.Total(scratch, at, 1);
      const double count = static_cast<double>(pictures * s.shape.pixels);
      p.grad_bias[c] = static_cast<float>(bias);
      p.grad_weight[c] = static_cast<float>(weight);
      p.slope[c] =
          s.batch_statistics
              ? static_cast<float>(-GateReader{s}.slope(c) * s.inverse_std[c] * weight / count)
              : 0.0f;
      p.channel[c] = s.batch_statistics ? bias / count : 0.0;
    }
  }
  BSNN_INLINE void Add(int64_t n, int64_t c, double& sum, double& sum_x) const {
    const NormState& s = p.state;
    const GateReader reader{s};
    const int64_t i = n * s.shape.channels + c;
    const int64_t entries = s.shape.steps * s.shape.batch * s.shape.channels;
    const double factor = reader.Factor(n, c), pixels = static_cast<double>(s.shape.pixels);
    sum += factor * p.sums[i];
    sum_x += factor * p.sums[entries + i];
    if (s.gate_reduce == GateReduce::kNone) return;
    const double k = p.energy[reader.GateAt(n, c)];
    sum += k * pixels;
    sum_x += k * (s.sum[i] - pixels * s.mean[c]);
  }
};

/// One thread for each (n, c): grad_x = scale delta + shift + slope (x - mean).
struct BackwardCoefficientsBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  NormBackwardPass p;
  BSNN_INLINE void Run(int, Place at, double*) const {
    const NormState& s = p.state;
    const int64_t n = at.index() / s.shape.channels, c = at.index() % s.shape.channels;
    if (n >= s.shape.steps * s.shape.batch) return;
    const GateReader reader{s};
    const double k = s.gate_reduce == GateReduce::kNone ? 0.0 : p.energy[reader.GateAt(n, c)];
    p.scale[at.index()] = static_cast<float>(reader.Factor(n, c) * reader.slope(c));
    p.shift[at.index()] = static_cast<float>(reader.slope(c) * (k - p.channel[c]));
  }
};

}  // namespace bsnn::trainer::cuda
