// A CPU allocator that counts: bytes in use now, and the most since the last look.
//
// It hands every request to libtorch's own allocator. Blocks are found again by their address, because libraries below
// libtorch (oneDNN) ask for bare pointers, which only an allocator whose context is the data itself may give.
#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>

#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "common.hpp"

using pleach::guarded;

namespace {

std::atomic<int64_t> live{0};
std::atomic<int64_t> peak{0};
c10::Allocator* inner = nullptr;

struct Block {
  c10::DataPtr memory;
  int64_t bytes;
};

// Blocks by address, in several parts so that threads seldom wait for each other.
struct Part {
  std::mutex mutex;
  std::unordered_map<void*, Block> blocks;
};

Part& part_of(void* data) {
  static std::array<Part, 64> parts;
  return parts[(reinterpret_cast<uintptr_t>(data) >> 6) % parts.size()];
}

void count(int64_t bytes) {
  int64_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < now && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

void release(void* data) {
  Part& part = part_of(data);
  std::unique_lock<std::mutex> lock(part.mutex);
  auto block = part.blocks.extract(data);
  lock.unlock();
  if (block.empty()) {
    // Made before counting began.
    inner->raw_deallocate(data);
    return;
  }
  live.fetch_sub(block.mapped().bytes, std::memory_order_relaxed);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr memory = inner->allocate(bytes);
    void* data = memory.get();
    if (data == nullptr) {
      return memory;
    }
    auto size = static_cast<int64_t>(bytes);
    {
      Part& part = part_of(data);
      std::lock_guard<std::mutex> lock(part.mutex);
      part.blocks.insert_or_assign(data, Block{std::move(memory), size});
    }
    count(size);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
};

}  // namespace

extern "C" {

// Puts the counting allocator in front; once, before any tensor whose bytes matter.
int pleach_memory_count() {
  return guarded([&] {
    static CountingAllocator counting;
    inner = c10::GetDefaultCPUAllocator();
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
