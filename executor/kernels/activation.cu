// GELU, SiLU and ReLU, alone and as the gate of a product, and their gradients: one pass over memory each, 16 bytes a load.

enum Bend { EXACT = 0, TANH = 1, RELU = 2, SILU = 3 };

// The value and the slope of a nonlinearity.
template <class W>
struct Curve {
  W value, slope;
};

template <class W>
__device__ Curve<W> curve(i64 kind, W x) {
  if (kind == RELU) return {x > W(0) ? x : W(0), x > W(0) ? W(1) : W(0)};
  if (kind == SILU) {
    W share = W(1) / (W(1) + power(-x));
    return {x * share, share * (W(1) + x * (W(1) - share))};
  }
  if (kind == TANH) {
    const W factor = W(0.7978845608028654), cube = W(0.044715);
    W inner = bend(factor * (x + cube * x * x * x));
    W steep = factor * (W(1) + W(3) * cube * x * x);
    return {W(0.5) * x * (W(1) + inner), W(0.5) * (W(1) + inner) + W(0.5) * x * (W(1) - inner * inner) * steep};
  }
  W below = W(0.5) * (W(1) + error_function(x * W(0.7071067811865476)));
  W density = W(0.3989422804014327) * power(W(-0.5) * x * x);
  return {x * below, below + x * density};
}

// Calls `rule(first, lanes)` for whole packs, then for what is left, over all threads of the grid.
template <class T, class Rule>
__device__ void sweep(i64 count, bool packed, Rule rule) {
  const i64 thread = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  const i64 threads = static_cast<i64>(gridDim.x) * blockDim.x;
  const i64 packs = packed ? count / Pack<T>::size : 0;
  for (i64 at = thread; at < packs; at += threads) rule.template run<Pack<T>::size>(at * Pack<T>::size);
  for (i64 at = packs * Pack<T>::size + thread; at < count; at += threads) rule.template run<1>(at);
}

struct Activation {
  const void* x;
  void* y;
  i64 count, kind;
};

template <class T>
struct ActivationRule {
  const Activation& a;
  template <int N>
  __device__ void run(i64 at) const {
    Lanes<T, N> x = load<T, N>(static_cast<const T*>(a.x) + at);
    for (int l = 0; l < N; l++) x.lane[l] = Narrow<T>::of(curve(a.kind, widen(x.lane[l])).value);
    store<T, N>(static_cast<T*>(a.y) + at, x);
  }
};

// `y` may be `x`.
template <class T>
__device__ void activation(const Activation& a) {
  sweep<T>(a.count, aligned(a.x) && aligned(a.y), ActivationRule<T>{a});
}

struct ActivationBackward {
  const void *dy, *x;
  void* dx;
  i64 count, kind;
};

template <class T>
struct ActivationBackwardRule {
  const ActivationBackward& a;
  template <int N>
  __device__ void run(i64 at) const {
    Lanes<T, N> dy = load<T, N>(static_cast<const T*>(a.dy) + at), x = load<T, N>(static_cast<const T*>(a.x) + at);
    for (int l = 0; l < N; l++) x.lane[l] = Narrow<T>::of(widen(dy.lane[l]) * curve(a.kind, widen(x.lane[l])).slope);
    store<T, N>(static_cast<T*>(a.dx) + at, x);
  }
};

// `dx` may be `dy`.
template <class T>
__device__ void activation_backward(const ActivationBackward& a) {
  sweep<T>(a.count, aligned(a.dy) && aligned(a.x) && aligned(a.dx), ActivationBackwardRule<T>{a});
}

struct Gated {
  const void *gate, *up;
  void* y;
  i64 count, kind;
};

template <class T>
struct GatedRule {
  const Gated& a;
  template <int N>
  __device__ void run(i64 at) const {
    Lanes<T, N> gate = load<T, N>(static_cast<const T*>(a.gate) + at), up = load<T, N>(static_cast<const T*>(a.up) + at);
    for (int l = 0; l < N; l++) gate.lane[l] = Narrow<T>::of(curve(a.kind, widen(gate.lane[l])).value * widen(up.lane[l]));
    store<T, N>(static_cast<T*>(a.y) + at, gate);
  }
};

template <class T>
__device__ void gated(const Gated& a) {
  sweep<T>(a.count, aligned(a.gate) && aligned(a.up) && aligned(a.y), GatedRule<T>{a});
}

struct GatedBackward {
  const void *dy, *gate, *up;
  void *dgate, *dup;
  i64 count, kind;
};

template <class T>
struct GatedBackwardRule {
  const GatedBackward& a;
  template <int N>
  __device__ void run(i64 at) const {
    Lanes<T, N> dy = load<T, N>(static_cast<const T*>(a.dy) + at), gate = load<T, N>(static_cast<const T*>(a.gate) + at);
    Lanes<T, N> up = load<T, N>(static_cast<const T*>(a.up) + at);
    for (int l = 0; l < N; l++) {
      auto bent = curve(a.kind, widen(gate.lane[l]));
      auto g = widen(dy.lane[l]);
      gate.lane[l] = Narrow<T>::of(g * widen(up.lane[l]) * bent.slope);
      up.lane[l] = Narrow<T>::of(g * bent.value);
    }
    store<T, N>(static_cast<T*>(a.dgate) + at, gate);
    store<T, N>(static_cast<T*>(a.dup) + at, up);
  }
};

template <class T>
__device__ void gated_backward(const GatedBackward& a) {
  bool packed = aligned(a.dy) && aligned(a.gate) && aligned(a.up) && aligned(a.dgate) && aligned(a.dup);
  sweep<T>(a.count, packed, GatedBackwardRule<T>{a});
}

KERNEL(activation, Activation)
KERNEL(activation_backward, ActivationBackward)
KERNEL(gated, Gated)
KERNEL(gated_backward, GatedBackward)
