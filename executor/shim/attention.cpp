// Attention kernels of an accelerator, which libtorch's dispatcher finds: flash for 16 bits, the memory-efficient one for others. Both are
// causal, scale by one over the root of the width, and give the logarithm of each row's sum, [B, A, S].
#include <ATen/ATen.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention.h>
#include <ATen/ops/_scaled_dot_product_efficient_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_backward.h>
#include <ATen/ops/constant_pad_nd.h>

#include <limits>
#include <optional>

#include "common.hpp"

using pleach::guarded;
using at::Tensor;

namespace {

// Backward asks for the state that dropout drew from, and reads nothing of it where nothing is dropped: that of any forward will do.
struct Drawn {
  Tensor seed, offset;
};
thread_local std::optional<Drawn> drawn[2];

const Drawn& state_of(int kernel, const Tensor& like) {
  if (!drawn[kernel]) {
    auto empty = at::zeros({2}, like.options().dtype(at::kLong));
    drawn[kernel] = Drawn{empty, empty};
  }
  return *drawn[kernel];
}

// The memory-efficient kernel keeps rows of sums in multiples of this.
constexpr int64_t sums_unit = 32;

}  // namespace

extern "C" {

int pleach_flash(Tensor* q, Tensor* k, Tensor* v, Tensor** out, Tensor** sums) {
  return guarded([&] {
    auto made = at::_scaled_dot_product_flash_attention(*q, *k, *v, 0.0, true, false);
    drawn[0] = Drawn{std::get<6>(made), std::get<7>(made)};
    *out = new Tensor(std::get<0>(made));
    *sums = new Tensor(std::get<1>(made));
  });
}

int pleach_flash_backward(
    Tensor* dout, Tensor* q, Tensor* k, Tensor* v, Tensor* out, Tensor* sums, Tensor** dq, Tensor** dk, Tensor** dv) {
  return guarded([&] {
    const auto& state = state_of(0, *q);
    auto made = at::_scaled_dot_product_flash_attention_backward(
        *dout, *q, *k, *v, *out, sums->contiguous(), {}, {}, q->size(2), k->size(2), 0.0, true, state.seed, state.offset);
    *dq = new Tensor(std::get<0>(made));
    *dk = new Tensor(std::get<1>(made));
    *dv = new Tensor(std::get<2>(made));
  });
}

int pleach_efficient(Tensor* q, Tensor* k, Tensor* v, Tensor** out, Tensor** sums) {
  return guarded([&] {
    auto made = at::_scaled_dot_product_efficient_attention(*q, *k, *v, std::nullopt, true, 0.0, true);
    drawn[1] = Drawn{std::get<2>(made), std::get<3>(made)};
    *out = new Tensor(std::get<0>(made));
    *sums = new Tensor(std::get<1>(made).narrow(2, 0, q->size(2)).contiguous());
  });
}

int pleach_efficient_backward(
    Tensor* dout, Tensor* q, Tensor* k, Tensor* v, Tensor* out, Tensor* sums, Tensor** dq, Tensor** dk, Tensor** dv) {
  return guarded([&] {
    const auto& state = state_of(1, *q);
    int64_t rest = (sums_unit - sums->size(2) % sums_unit) % sums_unit;
    auto padded = at::constant_pad_nd(*sums, {0, rest}, std::numeric_limits<double>::infinity());
    auto made = at::_scaled_dot_product_efficient_attention_backward(
        *dout, *q, *k, *v, {}, *out, padded, state.seed, state.offset, 0.0, {true, true, true, false}, true);
    *dq = new Tensor(std::get<0>(made));
    *dk = new Tensor(std::get<1>(made));
    *dv = new Tensor(std::get<2>(made));
  });
}

}  // extern "C"
