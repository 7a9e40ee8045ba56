// A CPU allocator that counts: bytes in use now, and the most since the last look.
//
// It hands every request to libtorch's own allocator and remembers the size in the block's deleter context.
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>

#include "common.hpp"

using pleach::guarded;

namespace {

std::atomic<int64_t> live{0};
std::atomic<int64_t> peak{0};

struct Block {
  c10::DataPtr inner;
  int64_t bytes;
};

void release(void* context) {
  auto* block = static_cast<Block*>(context);
  live.fetch_sub(block->bytes, std::memory_order_relaxed);
  delete block;
}

class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}

  c10::DataPtr allocate(size_t bytes) override {
    auto block = std::make_unique<Block>(Block{inner_->allocate(bytes), static_cast<int64_t>(bytes)});
    int64_t now = live.fetch_add(block->bytes, std::memory_order_relaxed) + block->bytes;
    int64_t seen = peak.load(std::memory_order_relaxed);
    while (seen < now && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
    }
    void* data = block->inner.get();
    return {data, block.release(), &release, c10::Device(c10::DeviceType::CPU)};
  }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  c10::Allocator* inner_;
};

}  // namespace

extern "C" {

// Puts the counting allocator in front; once, before any tensor whose bytes matter.
int pleach_memory_count() {
  return guarded([&] {
    static CountingAllocator counting(c10::GetDefaultCPUAllocator());
    c10::SetCPUAllocator(&counting, 100);
  });
}

int64_t pleach_memory_live() { return live.load(std::memory_order_relaxed); }

int64_t pleach_memory_peak() { return peak.load(std::memory_order_relaxed); }

void pleach_memory_reset_peak() { peak.store(live.load(std::memory_order_relaxed), std::memory_order_relaxed); }

// Address and bytes of the storage behind a tensor.
int pleach_storage(at::Tensor* tensor, uintptr_t* address, uint64_t* bytes) {
  return guarded([&] {
    *address = reinterpret_cast<uintptr_t>(tensor->storage().data());
    *bytes = tensor->storage().nbytes();
  });
}

}  // extern "C"
