// LayerNorm and RMSNorm of rows, with a residual that is added before; their gradients. One block for each row, one column of
// blocks for 32 columns of the parameters' gradients.

// Without `more` nothing is added and `sum` is not written; without `mean` it is an RMSNorm, which has no bias.
struct Norm {
  const void *x, *more;
  void* sum;
  const void *weight, *bias;
  void *y, *mean, *rstd;
  i64 width;
  double eps;
};

template <class T, int N>
__device__ void norm_row(const Norm& a) {
  typedef typename Math<T>::Wide W;
  const i64 row = blockIdx.x, at = row * a.width;
  const T* x = static_cast<const T*>(a.x) + at;
  const W* weight = static_cast<const W*>(a.weight);
  const W* bias = static_cast<const W*>(a.bias);
  T* y = static_cast<T*>(a.y) + at;
  const i64 first = threadIdx.x * N, stride = blockDim.x * N;
  W sum = 0;
  if (a.more) {
    const T* more = static_cast<const T*>(a.more) + at;
    T* total = static_cast<T*>(a.sum) + at;
    for (i64 c = first; c < a.width; c += stride) {
      Lanes<T, N> one = load<T, N>(x + c), other = load<T, N>(more + c);
      for (int l = 0; l < N; l++) {
        one.lane[l] = Narrow<T>::of(widen(one.lane[l]) + widen(other.lane[l]));
        sum += widen(one.lane[l]);
      }
      store<T, N>(total + c, one);
    }
    x = total;
  } else if (a.mean) {
    for (i64 c = first; c < a.width; c += stride) {
      Lanes<T, N> own = load<T, N>(x + c);
      for (int l = 0; l < N; l++) sum += widen(own.lane[l]);
    }
  }
  const W middle = a.mean ? block_sum(sum) / static_cast<W>(a.width) : W(0);
  W square = 0;
  for (i64 c = first; c < a.width; c += stride) {
    Lanes<T, N> own = load<T, N>(x + c);
    for (int l = 0; l < N; l++) {
      W off = widen(own.lane[l]) - middle;
      square += off * off;
    }
  }
  const W scale = W(1) / root(block_sum(square) / static_cast<W>(a.width) + static_cast<W>(a.eps));
  for (i64 c = first; c < a.width; c += stride) {
    Lanes<T, N> own = load<T, N>(x + c);
    for (int l = 0; l < N; l++) {
      W value = (widen(own.lane[l]) - middle) * scale * weight[c + l];
      own.lane[l] = Narrow<T>::of(bias ? value + bias[c + l] : value);
    }
    store<T, N>(y + c, own);
  }
  if (threadIdx.x == 0) {
    if (a.mean) static_cast<W*>(a.mean)[row] = middle;
    static_cast<W*>(a.rstd)[row] = scale;
  }
}

template <class T>
__device__ void norm(const Norm& a) {
  bool packed = a.width % Pack<T>::size == 0 && aligned(a.x) && aligned(a.y);
  if (packed && (!a.more || (aligned(a.more) && aligned(a.sum)))) {
    norm_row<T, Pack<T>::size>(a);
  } else {
    norm_row<T, 1>(a);
  }
}

// Without `mean` it is an RMSNorm.
struct NormBackward {
  const void *dy, *x, *weight, *mean, *rstd;
  void* dx;
  i64 width;
};

template <class T, int N>
__device__ void norm_backward_row(const NormBackward& a) {
  typedef typename Math<T>::Wide W;
  const i64 row = blockIdx.x, at = row * a.width;
  const T *dy = static_cast<const T*>(a.dy) + at, *x = static_cast<const T*>(a.x) + at;
  const W* weight = static_cast<const W*>(a.weight);
  T* dx = static_cast<T*>(a.dx) + at;
  const W scale = static_cast<const W*>(a.rstd)[row];
  const W middle = a.mean ? static_cast<const W*>(a.mean)[row] : W(0);
  const i64 first = threadIdx.x * N, stride = blockDim.x * N;
  W plain = 0, along = 0;
  for (i64 c = first; c < a.width; c += stride) {
    Lanes<T, N> g = load<T, N>(dy + c), own = load<T, N>(x + c);
    for (int l = 0; l < N; l++) {
      W pull = widen(g.lane[l]) * weight[c + l];
      plain += pull;
      along += pull * (widen(own.lane[l]) - middle) * scale;
    }
  }
  along = block_sum(along) / static_cast<W>(a.width);
  plain = a.mean ? block_sum(plain) / static_cast<W>(a.width) : W(0);
  for (i64 c = first; c < a.width; c += stride) {
    Lanes<T, N> g = load<T, N>(dy + c), own = load<T, N>(x + c);
    for (int l = 0; l < N; l++) {
      W normal = (widen(own.lane[l]) - middle) * scale;
      g.lane[l] = Narrow<T>::of(scale * (widen(g.lane[l]) * weight[c + l] - plain - normal * along));
    }
    store<T, N>(dx + c, g);
  }
}

template <class T>
__device__ void norm_backward(const NormBackward& a) {
  bool packed = a.width % Pack<T>::size == 0 && aligned(a.dy) && aligned(a.x) && aligned(a.dx);
  packed ? norm_backward_row<T, Pack<T>::size>(a) : norm_backward_row<T, 1>(a);
}

// Sums over one stretch of rows (`blockIdx.y` of `parts`) into `partial[part][2][width]`: for the weight, then for the bias.
struct NormColumns {
  const void *dy, *x, *mean, *rstd;
  void* partial;
  i64 rows, width, parts;
};

template <class T>
__device__ void norm_columns(const NormColumns& a) {
  typedef typename Math<T>::Wide W;
  __shared__ W sums[2][8][32];
  const unsigned lane = threadIdx.x % 32, turn = threadIdx.x / 32;
  const i64 column = static_cast<i64>(blockIdx.x) * 32 + lane;
  const i64 begin = a.rows * blockIdx.y / a.parts, end = a.rows * (blockIdx.y + 1) / a.parts;
  W weight = 0, bias = 0;
  if (column < a.width) {
    for (i64 row = begin + turn; row < end; row += 8) {
      W g = widen(static_cast<const T*>(a.dy)[row * a.width + column]);
      W own = widen(static_cast<const T*>(a.x)[row * a.width + column]);
      W middle = a.mean ? static_cast<const W*>(a.mean)[row] : W(0);
      weight += g * (own - middle) * static_cast<const W*>(a.rstd)[row];
      bias += g;
    }
  }
  sums[0][turn][lane] = weight, sums[1][turn][lane] = bias;
  __syncthreads();
  if (turn < 2 && column < a.width) {
    W sum = 0;
    for (int one = 0; one < 8; one++) sum += sums[turn][one][lane];
    static_cast<W*>(a.partial)[(blockIdx.y * 2 + turn) * a.width + column] = sum;
  }
}

// Adds the partial sums to the gradients of weight and, where there is one, bias.
struct NormTotal {
  const void* partial;
  void *dweight, *dbias;
  i64 width, parts;
};

template <class T>
__device__ void norm_total(const NormTotal& a) {
  typedef typename Math<T>::Wide W;
  const i64 column = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column >= a.width) return;
  for (int which = 0; which < 2; which++) {
    W* target = static_cast<W*>(which == 0 ? a.dweight : a.dbias);
    if (!target) continue;
    W sum = 0;
    for (i64 part = 0; part < a.parts; part++) sum += static_cast<const W*>(a.partial)[(part * 2 + which) * a.width + column];
    target[column] += sum;
  }
}

KERNEL(norm, Norm)
KERNEL(norm_backward, NormBackward)
KERNEL(norm_columns, NormColumns)
KERNEL(norm_total, NormTotal)
