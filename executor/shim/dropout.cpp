// Dropout of rows: what is kept is counted from a word for each row, as plan/src/dropping.rs writes it down.
//
// Each element has one writer and draws from its own counter, so the result does not depend on the number of threads.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>

#include "common.hpp"

using pleach::guarded;

namespace {

constexpr uint64_t STRIDE = 0x9E3779B97F4A7C15u;

uint64_t mixed(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
  return word ^ (word >> 31);
}

}  // namespace

extern "C" {

// `y` may be `x`. One key for each row of the last dimension.
int pleach_dropout(at::Tensor* x, at::Tensor* y, at::Tensor* keys, int64_t threshold, double grown) {
  return guarded([&] {
    TORCH_CHECK(x->is_contiguous() && y->is_contiguous(), "what is dropped from must be contiguous");
    TORCH_CHECK(x->sizes() == y->sizes() && x->scalar_type() == y->scalar_type(), "the result must be like the operand");
    int64_t width = x->size(-1), rows = keys->numel();
    TORCH_CHECK(x->numel() == rows * width, "a key for each row");
    const auto* words = keys->const_data_ptr<int64_t>();
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x->scalar_type(), "dropout", [&] {
      using Wide = at::opmath_type<scalar_t>;
      const auto* from = x->const_data_ptr<scalar_t>();
      auto* to = y->data_ptr<scalar_t>();
      at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
          uint64_t key = static_cast<uint64_t>(words[row]);
          for (int64_t column = 0; column < width; column++) {
            uint64_t word = mixed(key + static_cast<uint64_t>(column / 2 + 1) * STRIDE);
            int64_t draw = column % 2 == 0 ? word & 0xFFFFFFFFu : word >> 32;
            int64_t index = row * width + column;
            Wide value = static_cast<Wide>(from[index]) * static_cast<Wide>(grown);
            to[index] = draw >= threshold ? static_cast<scalar_t>(value) : scalar_t(0);
          }
        }
      });
    });
  });
}

}  // extern "C"
