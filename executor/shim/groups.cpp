// Rendezvous and communication: TCPStore and Gloo process groups through c10d.
//
// The store's server listens on a socket that the caller has bound, so that it is reachable on one interface only. Every
// wait carries a deadline. A group gets its own prefix in the store, since two groups on one prefix read each other's keys.
#include <ATen/ATen.h>
#include <malloc.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "common.hpp"

using pleach::guarded;
using Milliseconds = std::chrono::milliseconds;
using StoreHandle = c10::intrusive_ptr<c10d::Store>;
using WorkHandle = c10::intrusive_ptr<c10d::Work>;

namespace {

struct Group {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  Milliseconds deadline;
};

// What these classes measure in libtorch 2.11 for x86-64, Gloo's real headers included.
constexpr size_t group_bytes = 488;
constexpr size_t options_bytes = 176;

}  // namespace

extern "C" {

// Compares what this file was compiled with to what the library makes.
int pleach_group_layout() {
  return guarded([&] {
    TORCH_CHECK(
        sizeof(c10d::ProcessGroupGloo) == group_bytes && sizeof(c10d::ProcessGroupGloo::Options) == options_bytes,
        "c10d's classes measure ", sizeof(c10d::ProcessGroupGloo), " and ", sizeof(c10d::ProcessGroupGloo::Options),
        " bytes here, ", group_bytes, " and ", options_bytes, " were expected");
    auto options = c10d::ProcessGroupGloo::Options::create_default(Milliseconds(1000));
    size_t made = malloc_usable_size(options.get());
    TORCH_CHECK(
        made >= options_bytes && made < options_bytes + 32, "libtorch makes process group options of up to ", made,
        " bytes, ", options_bytes, " were expected");
  });
}

// `listener` is the bound socket of the server, -1 for a client.
int pleach_store_open(const char* host, int port, int listener, int64_t deadline_ms, StoreHandle** out) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = listener >= 0;
    options.waitWorkers = false;
    options.timeout = Milliseconds(deadline_ms);
    if (listener >= 0) options.masterListenFd = listener;
    *out = new StoreHandle(c10::make_intrusive<c10d::TCPStore>(host, options));
  });
}

int pleach_store_prefix(StoreHandle* store, const char* prefix, StoreHandle** out) {
  return guarded([&] { *out = new StoreHandle(c10::make_intrusive<c10d::PrefixStore>(prefix, *store)); });
}

int pleach_store_set(StoreHandle* store, const char* key, const uint8_t* bytes, size_t length) {
  return guarded([&] { (*store)->set(key, std::vector<uint8_t>(bytes, bytes + length)); });
}

// Waits for the key, then copies at most `capacity` bytes of its value; `length` is the whole value's length.
int pleach_store_get(StoreHandle* store, const char* key, int64_t deadline_ms, uint8_t* bytes, size_t capacity, size_t* length) {
  return guarded([&] {
    (*store)->wait({key}, Milliseconds(deadline_ms));
    auto value = (*store)->get(key);
    *length = value.size();
    std::copy_n(value.begin(), std::min(capacity, value.size()), bytes);
  });
}

int pleach_store_check(StoreHandle* store, const char* key, int* present) {
  return guarded([&] { *present = (*store)->check({key}) ? 1 : 0; });
}

void pleach_store_close(StoreHandle* store) {
  guarded([&] { delete store; });
}

int pleach_group_open(StoreHandle* store, const char* address, int rank, int size, int64_t deadline_ms, Group** out) {
  return guarded([&] {
    auto options = c10d::ProcessGroupGloo::Options::create(Milliseconds(deadline_ms));
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
    options->threads = 1;
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(*store, rank, size, options);
    *out = new Group{std::move(gloo), Milliseconds(deadline_ms)};
  });
}

void pleach_group_close(Group* group) {
  guarded([&] { delete group; });
}

int pleach_group_send(Group* group, at::Tensor* tensor, int peer, int tag, WorkHandle** out) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{*tensor};
    *out = new WorkHandle(group->gloo->send(tensors, peer, tag));
  });
}

int pleach_group_receive(Group* group, at::Tensor* tensor, int peer, int tag, WorkHandle** out) {
  return guarded([&] {
    std::vector<at::Tensor> tensors{*tensor};
    *out = new WorkHandle(group->gloo->recv(tensors, peer, tag));
  });
}

int pleach_work_wait(WorkHandle* work, int64_t deadline_ms) {
  return guarded([&] { TORCH_CHECK((*work)->wait(Milliseconds(deadline_ms)), "the transfer was aborted"); });
}

void pleach_work_close(WorkHandle* work) {
  guarded([&] { delete work; });
}

}  // extern "C"
