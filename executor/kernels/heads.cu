// The joint projection to queries, keys and values with rotary positions, and back: one pass, each element written once.

// `joint` is [tokens, heads, group + 2, width], q [tokens, heads * group, width], k and v [tokens, heads, width], the table
// [2, of at least `positions`, half]: cosines, sines. Backward turns the other way.
struct Heads {
  void *joint, *q, *k, *v;
  const void* table;
  i64 count, positions, heads, group, width, half, sines, forward;
};

template <class T>
__device__ void split_heads(const Heads& a) {
  typedef typename Math<T>::Wide W;
  T* parts[3] = {static_cast<T*>(a.q), static_cast<T*>(a.k), static_cast<T*>(a.v)};
  const W* table = static_cast<const W*>(a.table);
  const i64 threads = static_cast<i64>(gridDim.x) * blockDim.x;
  for (i64 at = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; at < a.count; at += threads) {
    const i64 column = at % a.width, whole = at / a.width;
    const i64 slot = whole % (a.group + 2), row = whole / (a.group + 2);
    const i64 part = slot < a.group ? 0 : slot - a.group + 1;
    T* own = parts[part] + (part == 0 ? row * a.group + slot : row) * a.width;
    T* joint = static_cast<T*>(a.joint) + whole * a.width;
    const T* from = a.forward ? joint : own;
    T* to = a.forward ? own : joint;
    if (part == 2 || column >= 2 * a.half) {
      to[column] = from[column];
      continue;
    }
    const bool low = column < a.half;
    const i64 position = row / a.heads % a.positions, pair = position * a.half + (low ? column : column - a.half);
    const W cosine = table[pair], sine = a.forward ? table[a.sines + pair] : -table[a.sines + pair];
    const W one = widen(from[column]), other = widen(from[low ? column + a.half : column - a.half]);
    to[column] = Narrow<T>::of(low ? one * cosine - other * sine : one * cosine + other * sine);
  }
}

KERNEL(split_heads, Heads)
