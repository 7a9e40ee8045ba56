// Updates of flat storages, each in one pass over weight, moments and gradient: libtorch's fused Adam, and loops of our own for what it has
// not (Lion) or has not for a momentum of zero (gradient descent).
//
// Each element has one writer, so the result does not depend on the number of threads.
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/GradMode.h>

#include "common.hpp"

using pleach::guarded;

namespace {

constexpr int64_t GRAIN = 1 << 14;

// Applies `rule(weight, m, gradient)` to every element of three flat tensors of one type and size.
template <class Rule>
void each(at::Tensor& weight, at::Tensor& m, at::Tensor& gradient, Rule&& rule) {
  for (const at::Tensor* tensor : {&weight, &m, &gradient}) {
    TORCH_CHECK(tensor->is_contiguous(), "what is updated must be contiguous");
    TORCH_CHECK(tensor->scalar_type() == weight.scalar_type(), "what is updated must be of one type");
    TORCH_CHECK(tensor->numel() == weight.numel(), "what is updated must be of one size");
  }
  AT_DISPATCH_FLOATING_TYPES(weight.scalar_type(), "update", [&] {
    auto* w = weight.data_ptr<scalar_t>();
    auto* momentum = m.data_ptr<scalar_t>();
    const auto* g = gradient.const_data_ptr<scalar_t>();
    at::parallel_for(0, weight.numel(), GRAIN, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) rule(w[i], momentum[i], g[i]);
    });
  });
}

}  // namespace

extern "C" {

// One update of one flat tensor; `step` counts from 1. Weight decay is decoupled or part of the gradient. Nothing happens where `skipped`
// is not null and holds 1.
int pleach_adam(
    at::Tensor* weight, at::Tensor* gradient, at::Tensor* m, at::Tensor* v, int64_t step, double rate, double beta1,
    double beta2, double eps, double weight_decay, int decoupled, at::Tensor* skipped) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto count = at::full({}, static_cast<double>(step), weight->options().dtype(at::kFloat));
    std::vector<at::Tensor> weights{*weight}, gradients{*gradient}, first{*m}, second{*v}, steps{count};
    auto unless = skipped ? std::optional<at::Tensor>(*skipped) : std::nullopt;
    if (decoupled) {
      at::_fused_adamw_(
          weights, gradients, first, second, {}, steps, rate, beta1, beta2, weight_decay, eps, false, false, {}, unless);
    } else {
      at::_fused_adam_(
          weights, gradients, first, second, {}, steps, rate, beta1, beta2, weight_decay, eps, false, false, {}, unless);
    }
  });
}

int pleach_lion(
    at::Tensor* weight, at::Tensor* gradient, at::Tensor* m, double rate, double beta1, double beta2, double weight_decay) {
  return guarded([&] {
    each(*weight, *m, *gradient, [=](auto& w, auto& m, auto g) {
      using Scalar = std::decay_t<decltype(w)>;
      Scalar share = beta1, kept = beta2;
      Scalar followed = share * m + (1 - share) * g;
      Scalar sign = static_cast<Scalar>((followed > 0) - (followed < 0));
      w -= static_cast<Scalar>(rate) * (static_cast<Scalar>(weight_decay) * w + sign);
      m = kept * m + (1 - kept) * g;
    });
  });
}

int pleach_sgd(
    at::Tensor* weight, at::Tensor* gradient, at::Tensor* m, double rate, double momentum, int nesterov, double weight_decay) {
  return guarded([&] {
    each(*weight, *m, *gradient, [=](auto& w, auto& m, auto g) {
      using Scalar = std::decay_t<decltype(w)>;
      Scalar share = momentum;
      Scalar seen = g + static_cast<Scalar>(weight_decay) * w;
      m = share * m + seen;
      w -= static_cast<Scalar>(rate) * (nesterov ? seen + share * m : m);
    });
  });
}

}  // extern "C"
