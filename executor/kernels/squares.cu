// The sum of squares of a flat storage: one double for each block of a fixed stretch, added up by the host's next operation.

struct Squares {
  const void* x;
  void* sums;
  i64 count, stretch;
};

template <class T>
__device__ void squares(const Squares& a) {
  const T* x = static_cast<const T*>(a.x);
  const i64 begin = blockIdx.x * a.stretch, end = begin + a.stretch < a.count ? begin + a.stretch : a.count;
  double sum = 0;
  for (i64 at = begin + threadIdx.x; at < end; at += blockDim.x) {
    double value = widen(x[at]);
    sum += value * value;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) static_cast<double*>(a.sums)[blockIdx.x] = sum;
}

KERNEL(squares, Squares)
