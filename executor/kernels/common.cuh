// What the kernels share: types, conversions, loads of 16 bytes, sums over a block.
//
// A kernel takes one structure of 8-byte fields (pointers, i64, double), so that its host fills an array of words. `KERNEL` makes an entry
// for each type: `norm_bf16` and so on. The same text is compiled by NVRTC for a device and, under `PLEACH_HOST`, by the C++ compiler for
// the emulation in `host.hpp`. Sums go in an order that depends on sizes alone.
#pragma once

typedef long long i64;
typedef unsigned long long u64;

struct bf16 {
  unsigned short bits;
};
struct f16 {
  unsigned short bits;
};

// The type that a type is computed in.
template <class T>
struct Math {
  typedef float Wide;
};
template <>
struct Math<double> {
  typedef double Wide;
};

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }
__device__ inline float widen(bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ inline float widen(f16 x) { return half_to_float(x.bits); }

template <class T>
struct Narrow;
template <>
struct Narrow<float> {
  static __device__ float of(float x) { return x; }
};
template <>
struct Narrow<double> {
  static __device__ double of(double x) { return x; }
};
template <>
struct Narrow<f16> {
  static __device__ f16 of(float x) { return {float_to_half(x)}; }
};
// To the nearest, ties to even; no number stays none.
template <>
struct Narrow<bf16> {
  static __device__ bf16 of(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fc0};
    return {static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
  }
};

__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }
__device__ inline float power(float x) { return expf(x); }
__device__ inline double power(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float error_function(float x) { return erff(x); }
__device__ inline double error_function(double x) { return erf(x); }
__device__ inline float bend(float x) { return tanhf(x); }
__device__ inline double bend(double x) { return tanh(x); }

// Neighbouring elements that are loaded and stored at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Lanes {
  T lane[N];
};

template <class T, int N>
__device__ inline Lanes<T, N> load(const T* place) {
  return *reinterpret_cast<const Lanes<T, N>*>(place);
}

template <class T, int N>
__device__ inline void store(T* place, const Lanes<T, N>& lanes) {
  *reinterpret_cast<Lanes<T, N>*>(place) = lanes;
}

// As many elements as 16 bytes hold.
template <class T>
struct Pack {
  static constexpr int size = 16 / sizeof(T);
};

__device__ inline bool aligned(const void* place) { return reinterpret_cast<u64>(place) % 16 == 0; }

// The sum over a block of whole warps; every thread gets it.
template <class W>
__device__ W block_sum(W value) {
  __shared__ W parts[32];
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  W sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; warp++) sum += parts[warp];
  return sum;
}

// The largest over a block; a value that is no number wins.
template <class W>
__device__ W larger(W one, W other) {
  return one != one || one > other ? one : other;
}

template <class W>
__device__ W block_max(W value) {
  __shared__ W parts[32];
  for (int step = 16; step > 0; step /= 2) value = larger(value, __shfl_xor_sync(0xffffffffu, value, step));
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  W most = parts[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; warp++) most = larger(most, parts[warp]);
  return most;
}

#ifdef PLEACH_HOST
#define ENTRY(name, suffix, T, Arguments) \
  extern "C" void name##_##suffix(const void* a) { name<T>(*static_cast<const Arguments*>(a)); }
#else
#define ENTRY(name, suffix, T, Arguments) \
  extern "C" __global__ void name##_##suffix(const Arguments a) { name<T>(a); }
#endif

#define KERNEL(name, Arguments)         \
  ENTRY(name, f32, float, Arguments)    \
  ENTRY(name, f64, double, Arguments)   \
  ENTRY(name, f16, f16, Arguments)      \
  ENTRY(name, bf16, bf16, Arguments)
