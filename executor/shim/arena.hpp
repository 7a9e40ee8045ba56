// The memory that tensors live in: one range of addresses, handed out lowest first, joined again when freed.
//
// A training step asks for the same sizes in the same order every time. Under a general allocator that either costs fresh pages
// (each cleared by the kernel) or fragments; here the pages stay, and their number is the step's real peak, rounded up a
// little. That is what makes a process's resident size predictable.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

namespace pleach {

class Arena {
 public:
  // Reserves addresses only; pages come when they are first written.
  Arena();

  // A block of at least `bytes`, or null where the range is exhausted.
  void* take(size_t bytes);

  // How far the range has been used: what of it may be resident.
  size_t extent();

  // Gives a block back and says how many bytes were asked for; nothing where it is not from here.
  std::optional<size_t> give(void* block);

 private:
  size_t grow(size_t size);
  void join(size_t offset, size_t size);
  void add(size_t offset, size_t size);
  void remove(size_t offset, size_t size);

  std::mutex mutex_;
  char* base_ = nullptr;
  size_t reserved_ = 0;
  size_t end_ = 0;
  std::unordered_map<size_t, size_t> used_;    // offset → bytes asked for
  std::map<size_t, size_t> free_;              // offset → size
  std::set<std::pair<size_t, size_t>> sizes_;  // (size, offset) of what is free
};

}  // namespace pleach
