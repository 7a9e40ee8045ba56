// The CPU allocator of a worker: blocks come from the arena, and bytes are counted as they are asked for.
//
// A block's context is its own address, because libraries below libtorch (oneDNN) take bare pointers, which only such an
// allocator may give.
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>

#include "arena.hpp"
#include "common.hpp"

using pleach::guarded;

namespace {

std::atomic<int64_t> live{0};
std::atomic<int64_t> peak{0};
// The most since somebody last began to look.
std::atomic<int64_t> window{0};
c10::Allocator* inner = nullptr;

pleach::Arena& arena() {
  // Never destroyed: tensors of other static objects may outlive any order of destruction.
  static auto* whole = new pleach::Arena;
  return *whole;
}

void raise(std::atomic<int64_t>& most, int64_t now) {
  int64_t seen = most.load(std::memory_order_relaxed);
  while (seen < now && !most.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

void count(int64_t bytes) {
  int64_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  raise(peak, now);
  raise(window, now);
}

void release(void* block) {
  if (auto bytes = arena().give(block)) {
    live.fetch_sub(static_cast<int64_t>(*bytes), std::memory_order_relaxed);
  } else {
    // Made before counting began.
    inner->raw_deallocate(block);
  }
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    void* block = arena().take(bytes);
    TORCH_CHECK(block != nullptr, "no memory for ", bytes, " bytes beside ", live.load(), " in use");
    count(static_cast<int64_t>(bytes));
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

extern "C" {

// Puts the counting allocator in front; once, before any tensor whose bytes matter.
int pleach_memory_count() {
  return guarded([&] {
    inner = c10::GetDefaultCPUAllocator();
    c10::SetCPUAllocator(new CountingAllocator, 100);
  });
}

int64_t pleach_memory_live() { return live.load(std::memory_order_relaxed); }

int64_t pleach_memory_peak() { return peak.load(std::memory_order_relaxed); }

void pleach_memory_begin_window() { window.store(live.load(std::memory_order_relaxed), std::memory_order_relaxed); }

int64_t pleach_memory_window() { return window.load(std::memory_order_relaxed); }

int64_t pleach_memory_extent() { return static_cast<int64_t>(arena().extent()); }

// Address and bytes of the storage behind a tensor.
int pleach_storage(at::Tensor* tensor, uintptr_t* address, uint64_t* bytes) {
  return guarded([&] {
    *address = reinterpret_cast<uintptr_t>(tensor->storage().data());
    *bytes = tensor->storage().nbytes();
  });
}

}  // extern "C"
