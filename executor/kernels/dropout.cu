// Dropout of rows, drawn as plan/src/dropping.rs writes it down: from a word for each row and a counter for each pair of columns.

// `y` may be `x`; one key for each row.
struct Dropout {
  const void *x, *keys;
  void* y;
  i64 count, width, threshold;
  double grown;
};

__device__ inline u64 mixed(u64 word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ull;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBull;
  return word ^ (word >> 31);
}

template <class T>
__device__ void dropout(const Dropout& a) {
  typedef typename Math<T>::Wide W;
  const i64 threads = static_cast<i64>(gridDim.x) * blockDim.x;
  for (i64 at = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; at < a.count; at += threads) {
    const i64 row = at / a.width, column = at % a.width;
    u64 word = mixed(static_cast<const u64*>(a.keys)[row] + static_cast<u64>(column / 2 + 1) * 0x9E3779B97F4A7C15ull);
    i64 draw = column % 2 == 0 ? word & 0xFFFFFFFFull : word >> 32;
    W value = widen(static_cast<const T*>(a.x)[at]) * static_cast<W>(a.grown);
    static_cast<T*>(a.y)[at] = Narrow<T>::of(draw >= a.threshold ? value : W(0));
  }
}

KERNEL(dropout, Dropout)
