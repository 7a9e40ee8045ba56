// Cross-entropy over this rank's rows of the vocabulary: the largest logit, the sums, and the gradient, which may take the
// logits' place. One block for each token, one pass over its logits each, nothing beside.

struct Largest {
  const void* logits;
  void* max;
  i64 width;
};

template <class T, int N>
__device__ void largest_row(const Largest& a) {
  typedef typename Math<T>::Wide W;
  const T* row = static_cast<const T*>(a.logits) + blockIdx.x * a.width;
  W most = widen(row[0]);
  for (i64 c = threadIdx.x * N; c < a.width; c += blockDim.x * N) {
    Lanes<T, N> own = load<T, N>(row + c);
    for (int l = 0; l < N; l++) most = larger(most, static_cast<W>(widen(own.lane[l])));
  }
  most = block_max(most);
  if (threadIdx.x == 0) static_cast<W*>(a.max)[blockIdx.x] = most;
}

template <class T>
__device__ void largest(const Largest& a) {
  a.width % Pack<T>::size == 0 && aligned(a.logits) ? largest_row<T, Pack<T>::size>(a) : largest_row<T, 1>(a);
}

// `terms` is [2 or, smoothed, 3, rows]: the sum of `exp(logit - max)`, the target's `logit - max` where it is ours, the sum of `logit - max`.
struct Terms {
  const void *logits, *targets, *max;
  void* terms;
  i64 width, rows, first, smoothed;
};

template <class T, int N>
__device__ void terms_row(const Terms& a) {
  typedef typename Math<T>::Wide W;
  const i64 row = blockIdx.x;
  const T* logits = static_cast<const T*>(a.logits) + row * a.width;
  const W most = static_cast<const W*>(a.max)[row];
  W sum = 0, even = 0;
  for (i64 c = threadIdx.x * N; c < a.width; c += blockDim.x * N) {
    Lanes<T, N> own = load<T, N>(logits + c);
    for (int l = 0; l < N; l++) {
      W shifted = widen(own.lane[l]) - most;
      sum += power(shifted);
      even += shifted;
    }
  }
  sum = block_sum(sum);
  even = a.smoothed ? block_sum(even) : W(0);
  if (threadIdx.x == 0) {
    W* terms = static_cast<W*>(a.terms);
    const i64 target = static_cast<const i64*>(a.targets)[row] - a.first;
    terms[row] = sum;
    terms[a.rows + row] = target >= 0 && target < a.width ? widen(logits[target]) - most : W(0);
    if (a.smoothed) terms[2 * a.rows + row] = even;
  }
}

template <class T>
__device__ void terms(const Terms& a) {
  a.width % Pack<T>::size == 0 && aligned(a.logits) ? terms_row<T, Pack<T>::size>(a) : terms_row<T, 1>(a);
}

// `scale * weight * ((1 + 2 z (log(sum) + max)) softmax - even - own onehot)`; without `weights` each target weighs 1.
struct Gradient {
  const void *logits, *targets, *max, *sums, *weights;
  void* gradient;
  i64 width, first;
  double scale, z_loss, own, even;
};

template <class T, int N>
__device__ void gradient_row(const Gradient& a) {
  typedef typename Math<T>::Wide W;
  const i64 row = blockIdx.x;
  const T* logits = static_cast<const T*>(a.logits) + row * a.width;
  T* gradient = static_cast<T*>(a.gradient) + row * a.width;
  const W most = static_cast<const W*>(a.max)[row], sum = static_cast<const W*>(a.sums)[row];
  const W weight = static_cast<W>(a.scale) * (a.weights ? static_cast<const W*>(a.weights)[row] : W(1));
  const W squared = a.z_loss != 0 ? W(1) + W(2 * a.z_loss) * (logarithm(sum) + most) : W(1);
  const W factor = weight * squared / sum;
  const W even = weight * static_cast<W>(a.even), own = weight * static_cast<W>(a.own);
  const i64 target = static_cast<const i64*>(a.targets)[row] - a.first;
  for (i64 c = threadIdx.x * N; c < a.width; c += blockDim.x * N) {
    Lanes<T, N> lanes = load<T, N>(logits + c);
    for (int l = 0; l < N; l++) {
      W value = power(widen(lanes.lane[l]) - most) * factor - even;
      lanes.lane[l] = Narrow<T>::of(c + l == target ? value - own : value);
    }
    store<T, N>(gradient + c, lanes);
  }
}

template <class T>
__device__ void gradient(const Gradient& a) {
  bool packed = a.width % Pack<T>::size == 0 && aligned(a.logits) && aligned(a.gradient);
  packed ? gradient_row<T, Pack<T>::size>(a) : gradient_row<T, 1>(a);
}

KERNEL(largest, Largest)
KERNEL(terms, Terms)
KERNEL(gradient, Gradient)
