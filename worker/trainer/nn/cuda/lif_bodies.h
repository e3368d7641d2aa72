/// Leaky integrate-and-fire over all time steps, forward and backward: kernels/lif.h for a GPU.
/// The arithmetic of each number is that of the CPU, in the same order. Private to nn/cuda.
#pragma once

#include "worker/trainer/nn/cuda/lanes.h"
#include "worker/trainer/nn/cuda/passes.h"
#include "worker/trainer/nn/kernels/surrogate.h"

namespace bsnn::trainer::cuda {

BSNN_INLINE float SurrogateAt(const NeuronNumbers& k, float distance) {
  switch (k.surrogate) {
    case SurrogateKind::kTriangle:
      return kernels::TriangleDerivative(distance, k.width);
    case SurrogateKind::kRectangle:
      return kernels::RectangleDerivative(distance, k.width);
    case SurrogateKind::kSigmoid:
      return kernels::SigmoidDerivative(distance, k.width);
    default:
      return kernels::ArctangentDerivative(distance, k.width);
  }
}

/// One step of one neuron: returns u; `v` goes from the step before to this one.
BSNN_INLINE float Charge(const NeuronNumbers& k, float y, float& v) {
  const float u = k.decay * v + y;
  const bool spike = u > k.threshold;
  v = k.hard ? (spike ? 0.0f : u) : u - (spike ? 1.0f : 0.0f) * k.threshold;
  return u;
}

/// dL/dy of one step of one neuron; `carry` is dL/dv of this step before, of the step before after.
BSNN_INLINE float Unfire(const NeuronNumbers& k, float grad_spike, float u, float& carry) {
  const float gv = carry;
  const float direct = k.hard && u > k.threshold ? 0.0f : gv;
  const float through_spike = k.detach ? 0.0f : (k.hard ? u : k.threshold) * gv;
  const float dy = direct + (grad_spike - through_spike) * SurrogateAt(k, u - k.threshold);
  carry = k.decay * dy;
  return dy;
}

/// The pixels that one thread takes at once: one, or with pooling a window of 2x2, where an odd
/// side cuts the last ones short.
struct Windows {
  Lanes lanes;        ///< over windows
  int64_t plane = 0;  ///< of unpooled pictures
  int64_t pooled_plane = 0;
  int32_t width = 0;  ///< 0: no pooling
  int32_t height = 0;

  explicit Windows(const ActivationShape& shape) : plane(shape.pixels * shape.channels) {
    int64_t windows = shape.pixels;
    pooled_plane = plane;
    if (shape.pooled_width > 0) {
      width = static_cast<int32_t>(shape.pooled_width);
      height = static_cast<int32_t>(shape.pixels / shape.pooled_width);
      windows = static_cast<int64_t>((width + 1) / 2) * ((height + 1) / 2);
      pooled_plane = static_cast<int64_t>(width / 2) * (height / 2) * shape.channels;
    }
    lanes = Lanes(windows, shape.channels);
  }
};

template <int kPixels>
struct Window {
  int64_t at[kPixels];  ///< index in the picture
  bool here[kPixels];
  int64_t out;  ///< index in the pooled picture
  bool whole;   ///< whether it has one

  BSNN_INLINE Window(const Windows& w, int64_t i) {
    if constexpr (kPixels == 1) {
      at[0] = out = i;
      here[0] = whole = i < w.plane;
    } else {
      const int64_t c = w.lanes.channels, window = i / c, columns = (w.width + 1) / 2;
      const int64_t row = window / columns, column = window % columns;
      at[0] = (2 * row * w.width + 2 * column) * c + i % c;
      at[1] = at[0] + c;
      at[2] = at[0] + w.width * c;
      at[3] = at[2] + c;
      const bool wide = 2 * column + 1 < w.width, high = 2 * row + 1 < w.height;
      here[0] = i < w.lanes.plane;
      here[1] = here[0] && wide;
      here[2] = here[0] && high;
      here[3] = here[0] && wide && high;
      whole = here[3];
      out = (row * (w.width / 2) + column) * c + i % c;
    }
  }
};

/// kT > 0: T, known to the compiler; 0: any T. kPixels: 1, or 4 with pooling.
template <int V, int kT, int kPixels>
struct LifForwardBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  LifForwardPass a;
  Windows windows;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t steps = kT > 0 ? kT : a.shape.steps;
    const Lanes& lanes = windows.lanes;
    const Lane<V> lane(at, lanes, a.shape.batch);
    int fired[kT > 0 ? kT : 1] = {};
    // All threads of a warp go the same way, for AddCount.
    for (int64_t turn = 0; turn * lanes.width() < lanes.plane; ++turn) {
      const Window<kPixels> window(windows, lane.first + turn * lanes.width());
      Pack<V> v[kPixels] = {};
      BSNN_UNROLL
      for (int64_t t = 0; t < steps; ++t) {
        const int count = lane.active ? Step(lane, t, window, v) : 0;
        if constexpr (kT > 0) {
          fired[t] += count;
        } else if (a.spike_count != nullptr) {
          AddCount(a.spike_count + t, count);
        }
      }
    }
    if (a.spike_count == nullptr) return;
    if constexpr (kT > 0) {
      BSNN_UNROLL
      for (int t = 0; t < kT; ++t) AddCount(a.spike_count + t, fired[t]);
    }
    if (at.index() != 0) return;
    for (int64_t t = 0; t < steps; ++t) {
      a.spike_count[steps + t] += a.shape.batch * windows.plane;
    }
  }

  BSNN_INLINE int Step(const Lane<V>& lane, int64_t t, const Window<kPixels>& window,
                       Pack<V>* v) const {
    const int64_t n = t * a.shape.batch + lane.picture, in = a.same_input ? lane.picture : n;
    Pack<V> scale, shift, spikes{};
    if (a.scale != nullptr) {
      scale = Load<V>(a.scale + in * windows.lanes.channels + lane.channel);
      shift = Load<V>(a.shift + in * windows.lanes.channels + lane.channel);
    }
    int fired = 0;
    BSNN_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      if (!window.here[p]) continue;
      const Pack<V> x = Load<V>(a.x + in * windows.plane + window.at[p]);
      Pack<V> u;
      BSNN_UNROLL
      for (int j = 0; j < V; ++j) {
        const float y = a.scale != nullptr ? x.v[j] * scale.v[j] + shift.v[j] : x.v[j];
        u.v[j] = Charge(a.neuron, y, v[p].v[j]);
        const bool spike = u.v[j] > a.neuron.threshold;
        spikes.v[j] = spike ? 1.0f : spikes.v[j];
        fired += spike ? 1 : 0;
      }
      if (a.potential != nullptr) Store<V>(a.potential + n * windows.plane + window.at[p], u);
    }
    if (window.whole) Store<V>(a.spikes + n * windows.pooled_plane + window.out, spikes);
    return fired;
  }
};

/// Of one lane: sum dy and sum dy (x - center) for each step (or of all, with same_input). In
/// registers where T is known, else in the lane's own places of the partial sums.
template <int V, int kT>
struct LaneSums {
  static constexpr int kKept = kT > 0 ? kT : 1;
  const LifBackwardPass& a;
  const Lanes& lanes;
  const Lane<V>& lane;
  Pack<V> center{}, sum[kKept] = {}, sum_x[kKept] = {};

  BSNN_INLINE LaneSums(const LifBackwardPass& args, const Lanes& l, const Lane<V>& place)
      : a(args), lanes(l), lane(place) {
    if (a.center == nullptr) return;
    center = Load<V>(a.center + lane.channel);
    for (int64_t t = 0; kT == 0 && t < maps(); ++t) Put(t, Pack<V>{}, Pack<V>{});
  }
  BSNN_INLINE int64_t maps() const { return a.same_input ? 1 : a.shape.steps; }
  BSNN_INLINE int64_t At(int64_t t) const {
    return (t * a.shape.batch + lane.picture) * lanes.width() + lane.first;
  }
  BSNN_INLINE void Put(int64_t t, const Pack<V>& s, const Pack<V>& sx) const {
    Store<V>(a.sum_delta + At(t), s);
    Store<V>(a.sum_delta_x + At(t), sx);
  }
  BSNN_INLINE void AddTo(Pack<V>& s, Pack<V>& sx, const Pack<V>& x, const Pack<V>& dy) const {
    BSNN_UNROLL
    for (int j = 0; j < V; ++j) {
      s.v[j] += dy.v[j];
      sx.v[j] += dy.v[j] * (x.v[j] - center.v[j]);
    }
  }
  /// t is known to the compiler where kT > 0.
  BSNN_INLINE void Add(int64_t t, const float* x, const Pack<V>& dy) {
    if (a.center == nullptr) return;
    if constexpr (kT > 0) {
      AddTo(sum[t], sum_x[t], Load<V>(x), dy);
    } else {
      Pack<V> s = Load<V>(a.sum_delta + At(t)), sx = Load<V>(a.sum_delta_x + At(t));
      AddTo(s, sx, Load<V>(x), dy);
      Put(t, s, sx);
    }
  }
  BSNN_INLINE void Finish() const {
    if (a.center == nullptr) return;
    BSNN_UNROLL
    for (int t = 0; t < kT; ++t) {
      if (t < maps()) Put(t, sum[t], sum_x[t]);
    }
  }
};

template <int V, int kT, int kPixels>
struct LifBackwardBody {
  static constexpr int kPhases = 1;
  static constexpr int kScratch = 0;
  LifBackwardPass a;
  Windows windows;

  BSNN_INLINE void Run(int, Place at, double*) const {
    const int64_t steps = kT > 0 ? kT : a.shape.steps;
    const Lane<V> lane(at, windows.lanes, a.shape.batch);
    if (!lane.active) return;
    LaneSums<V, kT> sums(a, windows.lanes, lane);
    for (int64_t i = lane.first; i < windows.lanes.plane; i += windows.lanes.width()) {
      const Window<kPixels> window(windows, i);
      Pack<V> carry[kPixels] = {}, over_time[kPixels] = {};
      BSNN_UNROLL
      for (int64_t t = steps - 1; t >= 0; --t) Step(lane, t, window, carry, over_time, sums);
      if (!a.same_input) continue;
      BSNN_UNROLL
      for (int p = 0; p < kPixels; ++p) {
        if (!window.here[p]) continue;
        const int64_t here = lane.picture * windows.plane + window.at[p];
        Store<V>(a.grad + here, over_time[p]);
        sums.Add(0, a.x + here, over_time[p]);
      }
    }
    sums.Finish();
  }

  BSNN_INLINE void Step(const Lane<V>& lane, int64_t t, const Window<kPixels>& window,
                        Pack<V>* carry, Pack<V>* over_time, LaneSums<V, kT>& sums) const {
    const int64_t n = t * a.shape.batch + lane.picture;
    Pack<V> grad{};
    Pack<V> u[kPixels];
    if (window.whole) grad = Load<V>(a.grad_spikes + n * windows.pooled_plane + window.out);
    BSNN_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      u[p] = window.here[p] ? Load<V>(a.potential + n * windows.plane + window.at[p]) : Pack<V>{};
    }
    BSNN_UNROLL
    for (int p = 0; p < kPixels; ++p) {
      if (!window.here[p]) continue;
      Pack<V> dy;
      BSNN_UNROLL
      for (int j = 0; j < V; ++j) {
        const float g = Takes(u, p, j) ? grad.v[j] : 0.0f;
        dy.v[j] = Unfire(a.neuron, g, u[p].v[j], carry[p].v[j]);
        over_time[p].v[j] += dy.v[j];
      }
      if (a.same_input) continue;
      const int64_t here = n * windows.plane + window.at[p];
      Store<V>(a.grad + here, dy);
      sums.Add(t, a.x + here, dy);
    }
  }

  /// Whether pixel p of a window gets the pooled gradient: the first that fired, or the first of
  /// all where none did.
  BSNN_INLINE bool Takes(const Pack<V>* u, int p, int j) const {
    if constexpr (kPixels == 1) return true;
    const auto fired = [&](int q) { return u[q].v[j] > a.neuron.threshold; };
    bool before = false, any = false;
    BSNN_UNROLL
    for (int q = 0; q < kPixels; ++q) {
      before = before || (q < p && fired(q));
      any = any || fired(q);
    }
    return any ? fired(p) && !before : p == 0;
  }
};

}  // namespace bsnn::trainer::cuda
