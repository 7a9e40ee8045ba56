// Kernels that libtorch has but tch does not bind: LayerNorm's backward.
#include <ATen/ATen.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <torch/version.h>

#include "common.hpp"

using pleach::guarded;

namespace pleach {

std::string& last_error() {
  static thread_local std::string text;
  return text;
}

}  // namespace pleach

extern "C" {

const char* pleach_last_error() { return pleach::last_error().c_str(); }

// The version of the headers this shim was compiled with.
const char* pleach_compiled_version() { return TORCH_VERSION; }

// Only dx: libtorch sums the gradients of weight and bias in the type of x, which for 16 bits loses most of them.
int pleach_layer_norm_backward(
    at::Tensor* dy, at::Tensor* x, at::Tensor* mean, at::Tensor* rstd, at::Tensor* weight, at::Tensor** dx) {
  return guarded([&] {
    auto results = at::native_layer_norm_backward(
        *dy, *x, {x->size(-1)}, *mean, *rstd, *weight, *weight, {true, false, false});
    *dx = new at::Tensor(std::move(std::get<0>(results)));
  });
}

}  // extern "C"
