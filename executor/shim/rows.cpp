// Loops over rows that would otherwise be many small kernels with temporaries: embedding, LayerNorm's
// parameters, rotary head split, sum of squares.
//
// All are deterministic whatever the number of threads: each element has one writer, and sums go over chunks of fixed size.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>

#include <cmath>
#include <cstring>

#include "common.hpp"

using pleach::guarded;

namespace {

void check_dense(const at::Tensor& tensor, const char* name) {
  TORCH_CHECK(tensor.is_contiguous(), name, " must be contiguous, its strides are ", tensor.strides());
}

// Copies rows of one token: per head the leading 2 * half entries are rotated, the rest is copied.
template <class Scalar>
void rotate_head(
    const Scalar* from, Scalar* to, int64_t width, int64_t half, const at::opmath_type<Scalar>* cosine,
    const at::opmath_type<Scalar>* sine, at::opmath_type<Scalar> sign) {
  using Wide = at::opmath_type<Scalar>;
  for (int64_t i = 0; i < half; i++) {
    Wide low = from[i], high = from[i + half], c = cosine[i], s = sign * sine[i];
    to[i] = low * c - high * s;
    to[i + half] = high * c + low * s;
  }
  std::memcpy(to + 2 * half, from + 2 * half, (width - 2 * half) * sizeof(Scalar));
}

// The table may reach further than the sequence: `rows` of cosines stand before the sines.
struct Heads {
  int64_t positions, heads, group, width, half, rows;
};

// Forward (sign 1) reads joint[token, head, group + 2, width] and writes q[token, head * group, width] and k, v[token, head,
// width]; backward (sign -1) the reverse.
template <class Scalar>
void split_or_join(
    Scalar* joint, Scalar* const* parts, const at::opmath_type<Scalar>* table, const Heads& shape, int64_t tokens, bool forward) {
  at::parallel_for(0, tokens, 16, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; token++) {
      const auto* cosine = table + token % shape.positions * shape.half;
      for (int64_t head = 0; head < shape.heads; head++) {
        for (int64_t slot = 0; slot < shape.group + 2; slot++) {
          Scalar* whole = joint + ((token * shape.heads + head) * (shape.group + 2) + slot) * shape.width;
          int64_t part = std::max<int64_t>(slot - shape.group + 1, 0), row = token * shape.heads + head;
          Scalar* own = parts[part] + (part == 0 ? row * shape.group + slot : row) * shape.width;
          int64_t half = part < 2 ? shape.half : 0;
          rotate_head<Scalar>(
              forward ? whole : own, forward ? own : whole, shape.width, half, cosine, cosine + shape.rows, forward ? 1 : -1);
        }
      }
    }
  });
}

template <class Scalar>
double sum_squares(const Scalar* values, int64_t count) {
  constexpr int64_t chunk = 1 << 15;
  int64_t chunks = (count + chunk - 1) / chunk;
  std::vector<double> partial(chunks, 0.0);
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at++) {
      double lanes[4] = {0, 0, 0, 0};
      int64_t stop = std::min(count, (at + 1) * chunk);
      for (int64_t i = at * chunk; i < stop; i++) {
        double value = static_cast<double>(values[i]);
        lanes[i & 3] += value * value;
      }
      partial[at] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
  });
  double sum = 0;
  for (double part : partial) sum += part;
  return sum;
}

// The sum of products of two rows, in lanes that a vector register holds.
template <class Scalar, class Sum>
Sum dot(const Scalar* left, const Sum* weight, const Scalar* right, int64_t count) {
  constexpr int64_t width = 16;
  Sum lanes[width] = {};
  auto term = [&](int64_t i) {
    Sum product = static_cast<Sum>(left[i]) * static_cast<Sum>(right[i]);
    return weight ? product * weight[i] : product;
  };
  int64_t i = 0;
  for (; i + width <= count; i += width) {
    for (int64_t lane = 0; lane < width; lane++) lanes[lane] += term(i + lane);
  }
  for (; i < count; i++) lanes[i % width] += term(i);
  for (int64_t step = width / 2; step > 0; step /= 2) {
    for (int64_t lane = 0; lane < step; lane++) lanes[lane] += lanes[lane + step];
  }
  return lanes[0];
}

// Adds sum(dy * (x - mean) * rstd) and sum(dy) over rows to columns `begin..end` of the gradients of weight and bias.
// Without `mean` it is 0; without `dbias` that sum is dropped.
template <class Scalar, class Sum>
void norm_columns(
    const Scalar* dy, const Scalar* x, const Sum* mean, const Sum* rstd, Sum* dweight, Sum* dbias, int64_t rows, int64_t width,
    int64_t begin, int64_t end) {
  // Sums of sums: rounding grows with the square root of the rows instead of the rows.
  constexpr int64_t stretch = 128, most = 64;
  for (int64_t first = 0; first < rows; first += stretch) {
    Sum weight[most] = {}, bias[most] = {};
    for (int64_t row = first; row < std::min(rows, first + stretch); row++) {
      const Scalar* gradient = dy + row * width + begin;
      const Scalar* value = x + row * width + begin;
      Sum middle = mean ? mean[row] : Sum(0), scale = rstd[row];
      for (int64_t c = 0; c < end - begin; c++) {
        Sum g = static_cast<Sum>(gradient[c]);
        weight[c] += g * ((static_cast<Sum>(value[c]) - middle) * scale);
        bias[c] += g;
      }
    }
    for (int64_t c = 0; c < end - begin; c++) {
      dweight[begin + c] += weight[c];
      if (dbias) dbias[begin + c] += bias[c];
    }
  }
}

}  // namespace

extern "C" {

// Adds the gradients of a norm's weight and bias, in the type of the statistics. RMSNorm has neither `mean` nor `dbias`.
int pleach_norm_parameters(
    at::Tensor* dy, at::Tensor* x, at::Tensor* mean, at::Tensor* rstd, at::Tensor* dweight, at::Tensor* dbias) {
  return guarded([&] {
    check_dense(*dy, "dy"), check_dense(*x, "x"), check_dense(*rstd, "rstd");
    if (mean) check_dense(*mean, "mean");
    int64_t width = x->size(-1), rows = x->numel() / width;
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x->scalar_type(), "norm_parameters", [&] {
      using Sum = at::opmath_type<scalar_t>;
      const auto *gradient = dy->const_data_ptr<scalar_t>(), *value = x->const_data_ptr<scalar_t>();
      const Sum *middle = mean ? mean->const_data_ptr<Sum>() : nullptr, *scale = rstd->const_data_ptr<Sum>();
      Sum *weight = dweight->mutable_data_ptr<Sum>(), *bias = dbias ? dbias->mutable_data_ptr<Sum>() : nullptr;
      constexpr int64_t block = 64;
      at::parallel_for(0, (width + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; at++) {
          int64_t stop = std::min(width, (at + 1) * block);
          norm_columns<scalar_t, Sum>(gradient, value, middle, scale, weight, bias, rows, width, at * block, stop);
        }
      });
    });
  });
}

// y = x * rstd * weight with rstd = 1 / sqrt(mean(x²) + eps); weight and rstd are of the wider type.
int pleach_rms_norm(at::Tensor* x, at::Tensor* weight, at::Tensor* y, at::Tensor* rstd, double eps) {
  return guarded([&] {
    check_dense(*x, "x"), check_dense(*weight, "weight"), check_dense(*y, "y"), check_dense(*rstd, "rstd");
    int64_t width = x->size(-1), rows = x->numel() / width;
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x->scalar_type(), "rms_norm", [&] {
      using Sum = at::opmath_type<scalar_t>;
      const auto* from = x->const_data_ptr<scalar_t>();
      const auto* factor = weight->const_data_ptr<Sum>();
      auto* to = y->mutable_data_ptr<scalar_t>();
      auto* scale = rstd->mutable_data_ptr<Sum>();
      at::parallel_for(0, rows, 8, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const scalar_t* own = from + row * width;
          Sum square = dot<scalar_t, Sum>(own, nullptr, own, width) / static_cast<Sum>(width);
          Sum inverse = Sum(1) / std::sqrt(square + static_cast<Sum>(eps));
          scale[row] = inverse;
          for (int64_t c = 0; c < width; c++) to[row * width + c] = static_cast<Sum>(own[c]) * inverse * factor[c];
        }
      });
    });
  });
}

// dx = rstd * (weight * dy - x * rstd² * mean(weight * dy * x)).
int pleach_rms_norm_backward(at::Tensor* dy, at::Tensor* x, at::Tensor* weight, at::Tensor* rstd, at::Tensor* dx) {
  return guarded([&] {
    check_dense(*dy, "dy"), check_dense(*x, "x"), check_dense(*weight, "weight"), check_dense(*rstd, "rstd");
    int64_t width = x->size(-1), rows = x->numel() / width;
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x->scalar_type(), "rms_norm_backward", [&] {
      using Sum = at::opmath_type<scalar_t>;
      const auto *gradient = dy->const_data_ptr<scalar_t>(), *from = x->const_data_ptr<scalar_t>();
      const auto *factor = weight->const_data_ptr<Sum>(), *scale = rstd->const_data_ptr<Sum>();
      auto* to = dx->mutable_data_ptr<scalar_t>();
      at::parallel_for(0, rows, 8, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          const scalar_t *g = gradient + row * width, *own = from + row * width;
          Sum inverse = scale[row];
          Sum along = dot<scalar_t, Sum>(g, factor, own, width) / static_cast<Sum>(width) * inverse * inverse;
          for (int64_t c = 0; c < width; c++) {
            Sum inner = static_cast<Sum>(g[c]) * factor[c] - static_cast<Sum>(own[c]) * along;
            to[row * width + c] = inverse * inner;
          }
        }
      });
    });
  });
}

// Row ids[t] - first of the table becomes row t of y; ids of other ranks give zeros.
int pleach_embedding(at::Tensor* y, at::Tensor* ids, at::Tensor* table, int64_t first) {
  return guarded([&] {
    check_dense(*y, "y"), check_dense(*ids, "ids"), check_dense(*table, "the table");
    const int64_t* id = ids->const_data_ptr<int64_t>();
    size_t row = table->size(1) * table->element_size();
    auto* to = static_cast<char*>(y->mutable_data_ptr());
    const auto* from = static_cast<const char*>(table->const_data_ptr());
    at::parallel_for(0, ids->numel(), 64, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; t++) {
        int64_t at = id[t] - first;
        bool own = at >= 0 && at < table->size(0);
        own ? std::memcpy(to + t * row, from + at * row, row) : std::memset(to + t * row, 0, row);
      }
    });
  });
}

// Adds row t of dy to row ids[t] - first of dtable. Threads share out columns, so that tokens add up in their order.
int pleach_embedding_backward(at::Tensor* dtable, at::Tensor* dy, at::Tensor* ids, int64_t first) {
  return guarded([&] {
    check_dense(*dtable, "dtable"), check_dense(*dy, "dy"), check_dense(*ids, "ids");
    const int64_t* id = ids->const_data_ptr<int64_t>();
    int64_t columns = dtable->size(1), rows = dtable->size(0), tokens = ids->numel();
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dtable->scalar_type(), "embedding_backward", [&] {
      using Sum = scalar_t;
      Sum* to = dtable->mutable_data_ptr<Sum>();
      AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dy->scalar_type(), "embedding_backward", [&] {
        const scalar_t* from = dy->const_data_ptr<scalar_t>();
        at::parallel_for(0, columns, 64, [&](int64_t begin, int64_t end) {
          for (int64_t t = 0; t < tokens; t++) {
            int64_t at = id[t] - first;
            if (at < 0 || at >= rows) continue;
            for (int64_t c = begin; c < end; c++) to[at * columns + c] += static_cast<Sum>(from[t * columns + c]);
          }
        });
      });
    });
  });
}

// `joint` is [tokens, heads, group + 2, width], q [tokens, heads * group, width], k and v [tokens, heads, width], the table [2, positions, half]: cosines, sines.
int pleach_split_heads(
    at::Tensor* joint, at::Tensor* q, at::Tensor* k, at::Tensor* v, at::Tensor* table, int64_t positions, int64_t heads,
    int64_t group, int64_t width, int forward) {
  return guarded([&] {
    check_dense(*joint, "qkv"), check_dense(*q, "q"), check_dense(*k, "k"), check_dense(*v, "v");
    Heads shape{positions, heads, group, width, table->size(2), table->size(1) * table->size(2)};
    int64_t tokens = joint->numel() / (heads * (group + 2) * width);
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, joint->scalar_type(), "split_heads", [&] {
      scalar_t* parts[3] = {
          q->mutable_data_ptr<scalar_t>(), k->mutable_data_ptr<scalar_t>(), v->mutable_data_ptr<scalar_t>()};
      using Wide = at::opmath_type<scalar_t>;
      split_or_join<scalar_t>(
          joint->mutable_data_ptr<scalar_t>(), parts, table->const_data_ptr<Wide>(), shape, tokens, forward != 0);
    });
  });
}

int pleach_sum_squares(at::Tensor* x, double* sum) {
  return guarded([&] {
    check_dense(*x, "x");
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x->scalar_type(), "sum_squares", [&] {
      *sum = sum_squares<scalar_t>(x->const_data_ptr<scalar_t>(), x->numel());
    });
  });
}

}  // extern "C"
