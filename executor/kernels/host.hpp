// A block of threads on the CPU, for tests of the kernels: the words of CUDA that they use, and a scheduler that runs them.
//
// Each thread of a block is a fiber; barriers and shuffles hand over to the next. Fibers run up to their next barrier in one
// order or in the other, so that a missing barrier shows as another result, and one that not all reach ends with an error.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#define __device__
#define __global__
#define __shared__ static

struct Index {
  unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

inline float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
inline unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
inline float half_to_float(unsigned short bits) {
  _Float16 x;
  std::memcpy(&x, &bits, 2);
  return static_cast<float>(x);
}
inline unsigned short float_to_half(float x) {
  auto half = static_cast<_Float16>(x);
  unsigned short bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}

namespace emulation {

struct Barrier {
  unsigned members = 0, arrived = 0, generation = 0;
};

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  bool done = false;
};

constexpr size_t stack_bytes = 64 << 10;

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static unsigned running = 0;
// Whatever moves: barriers that opened and fibers that ended.
static unsigned long moves = 0;
static Barrier block;
static std::vector<Barrier> warps;
static std::vector<uint64_t> slots;
static void (*kernel)(const void*) = nullptr;
static const void* arguments = nullptr;

inline void yield() {
  unsigned own = running;
  swapcontext(&fibers[own].context, &scheduler);
  threadIdx.x = own;
}

inline void wait(Barrier& barrier) {
  unsigned generation = barrier.generation;
  if (++barrier.arrived == barrier.members) {
    barrier.arrived = 0, barrier.generation++, moves++;
    return;
  }
  while (barrier.generation == generation) yield();
}

inline void body() {
  kernel(arguments);
  fibers[running].done = true;
  moves++;
}

inline void prepare(unsigned threads) {
  if (fibers.size() < threads) fibers.resize(threads);
  for (unsigned at = 0; at < threads; at++) {
    Fiber& fiber = fibers[at];
    if (!fiber.stack) fiber.stack.reset(new char[stack_bytes]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = stack_bytes;
    fiber.context.uc_link = &scheduler;
    fiber.done = false;
    makecontext(&fiber.context, body, 0);
  }
  block = {threads, 0, 0};
  warps.assign((threads + 31) / 32, Barrier{});
  for (unsigned at = 0; at < threads; at++) warps[at / 32].members++;
  slots.assign(threads, 0);
}

// Runs one block; false where its threads wait for each other for ever.
inline bool run_block(unsigned threads, bool backwards) {
  prepare(threads);
  for (;;) {
    unsigned long before = moves;
    unsigned left = 0;
    for (unsigned turn = 0; turn < threads; turn++) {
      unsigned at = backwards ? threads - 1 - turn : turn;
      if (fibers[at].done) continue;
      running = at, threadIdx = {at, 0, 0};
      swapcontext(&scheduler, &fibers[at].context);
      if (!fibers[at].done) left++;
    }
    if (left == 0) return true;
    if (moves == before) return false;
  }
}

}  // namespace emulation

inline void __syncthreads() { emulation::wait(emulation::block); }

template <class W>
W __shfl_xor_sync(unsigned, W value, int step) {
  unsigned own = threadIdx.x, other = own ^ static_cast<unsigned>(step);
  auto& warp = emulation::warps[own / 32];
  std::memcpy(&emulation::slots[own], &value, sizeof value);
  emulation::wait(warp);
  W found = value;
  if (other < emulation::slots.size()) std::memcpy(&found, &emulation::slots[other], sizeof found);
  emulation::wait(warp);
  return found;
}

// Runs a kernel's blocks one after another; 1 where a block does not end.
extern "C" int pleach_emulate(
    void (*kernel)(const void*), unsigned width, unsigned height, unsigned threads, const void* arguments, int backwards) {
  emulation::kernel = kernel, emulation::arguments = arguments;
  gridDim = {width, height, 1}, blockDim = {threads, 1, 1};
  for (unsigned y = 0; y < height; y++) {
    for (unsigned x = 0; x < width; x++) {
      blockIdx = {x, y, 0};
      if (!emulation::run_block(threads, backwards != 0)) return 1;
    }
  }
  return 0;
}
