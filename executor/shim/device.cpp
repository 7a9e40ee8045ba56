// An accelerator behind libtorch's device-generic interfaces: how many there are, streams, events, what the allocator holds.
//
// No symbol of the CUDA back end is named, so that one binary serves machines with and without it: the back end is opened at run time, and
// registers itself where these interfaces look it up.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "common.hpp"

using pleach::guarded;
using c10::DeviceType;
using c10::impl::VirtualGuardImpl;

namespace {

VirtualGuardImpl cuda() { return VirtualGuardImpl(DeviceType::CUDA); }

c10::Device at_index(int index) { return {DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)}; }

}  // namespace

extern "C" {

int pleach_device_count(int* count) {
  return guarded([&] { *count = cuda().deviceCount(); });
}

// Makes a device this thread's, with its context.
int pleach_device_set(int index) {
  return guarded([&] {
    at::globalContext().lazyInitDevice(DeviceType::CUDA);
    cuda().setDevice(at_index(index));
    at::empty({1}, at::TensorOptions().device(at_index(index)));
  });
}

// Kernels that add in a fixed order, where libtorch has them; elsewhere it warns.
int pleach_device_deterministic() {
  return guarded([] { at::globalContext().setDeterministicAlgorithms(true, true); });
}

// Waits until everything that this device was given is done.
int pleach_device_synchronize(int index) {
  return guarded([&] { cuda().synchronizeDevice(static_cast<c10::DeviceIndex>(index)); });
}

// Bytes free and in all on the device; live now, live at most and reserved at most by libtorch.
int pleach_device_memory(int index, uint64_t* free, uint64_t* total, uint64_t* live, uint64_t* peak, uint64_t* reserved) {
  return guarded([&] {
    auto device = static_cast<c10::DeviceIndex>(index);
    auto* allocator = c10::getDeviceAllocator(DeviceType::CUDA);
    auto [left, whole] = allocator->getMemoryInfo(device);
    auto stats = allocator->getDeviceStats(device);
    *free = left, *total = whole;
    // The first of each array is over all pools.
    *live = stats.requested_bytes[0].current, *peak = stats.requested_bytes[0].peak;
    *reserved = stats.reserved_bytes[0].peak;
  });
}

int pleach_device_reset_peak(int index) {
  return guarded([&] { c10::getDeviceAllocator(DeviceType::CUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(index)); });
}

// The stream that libtorch's operations of this thread go to, or one of its pool.
int pleach_stream_open(int index, int own, c10::Stream** out) {
  return guarded([&] {
    auto device = at_index(index);
    *out = new c10::Stream(own ? cuda().getStreamFromGlobalPool(device, true) : cuda().getStream(device));
  });
}

void* pleach_stream_handle(c10::Stream* stream) { return cuda().getStreamNativeHandle(*stream); }

void pleach_stream_close(c10::Stream* stream) { delete stream; }

int pleach_event_open(int timed, c10::Event** out) {
  return guarded([&] {
    auto flag = timed ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT;
    *out = new c10::Event(DeviceType::CUDA, flag);
  });
}

int pleach_event_record(c10::Event* event, c10::Stream* stream) {
  return guarded([&] { event->record(*stream); });
}

// Lets a stream wait until the event's point of its own stream is reached; the host goes on.
int pleach_event_block(c10::Event* event, c10::Stream* stream) {
  return guarded([&] { event->block(*stream); });
}

int pleach_event_reached(c10::Event* event, int* reached) {
  return guarded([&] { *reached = event->query() ? 1 : 0; });
}

// Milliseconds between two events that were made to be timed, once both are reached.
int pleach_event_elapsed(c10::Event* from, c10::Event* to, double* milliseconds) {
  return guarded([&] {
    to->synchronize();
    *milliseconds = from->elapsedTime(*to);
  });
}

void pleach_event_close(c10::Event* event) {
  guarded([&] { delete event; });
}

}  // extern "C"
