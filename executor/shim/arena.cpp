// The arena's bookkeeping: best fit, lowest address first among equals, neighbours joined at once.
#include "arena.hpp"

#include <sys/mman.h>

#include <iterator>

namespace pleach {

namespace {

// Addresses cost nothing, except where the system counts them: then less is taken.
constexpr size_t most = size_t{1} << 40;
constexpr size_t least = size_t{1} << 28;

// Two cache lines, which are fetched together.
constexpr size_t unit = 128;

size_t rounded(size_t bytes) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Arena::Arena() {
  for (reserved_ = most; reserved_ >= least; reserved_ /= 2) {
    void* range = mmap(nullptr, reserved_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range != MAP_FAILED) {
      base_ = static_cast<char*>(range);
      return;
    }
  }
  reserved_ = 0;
}

void* Arena::take(size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes == 0 || bytes > reserved_) return nullptr;
  size_t size = rounded(bytes);
  auto fit = sizes_.lower_bound({size, 0});
  size_t offset = fit == sizes_.end() ? grow(size) : fit->second;
  if (offset == end_ && fit == sizes_.end()) return nullptr;
  if (fit != sizes_.end()) {
    size_t found = fit->first;
    remove(offset, found);
    if (found > size) add(offset + size, found - size);
  }
  used_[offset] = bytes;
  return base_ + offset;
}

// Nothing fits: the end moves up, beginning with what is free there. Answers the end itself where it cannot.
size_t Arena::grow(size_t size) {
  size_t offset = end_;
  auto last = free_.empty() ? free_.end() : std::prev(free_.end());
  if (last != free_.end() && last->first + last->second == end_) offset = last->first;
  if (size > reserved_ - offset) return end_;
  if (offset != end_) remove(offset, end_ - offset);
  end_ = offset + size;
  return offset;
}

size_t Arena::extent() {
  std::lock_guard<std::mutex> lock(mutex_);
  return end_;
}

std::optional<size_t> Arena::give(void* block) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto* place = static_cast<char*>(block);
  if (place < base_ || place >= base_ + reserved_) return std::nullopt;
  auto found = used_.find(place - base_);
  if (found == used_.end()) return std::nullopt;
  auto [offset, bytes] = *found;
  used_.erase(found);
  join(offset, rounded(bytes));
  return bytes;
}

// Frees a stretch together with its free neighbours.
void Arena::join(size_t offset, size_t size) {
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + size) {
    size_t more = next->second;
    remove(offset + size, more);
    size += more;
  }
  auto after = free_.lower_bound(offset);
  if (after != free_.begin()) {
    auto [start, length] = *std::prev(after);
    if (start + length == offset) {
      remove(start, length);
      offset = start;
      size += length;
    }
  }
  add(offset, size);
}

void Arena::add(size_t offset, size_t size) {
  free_[offset] = size;
  sizes_.insert({size, offset});
}

void Arena::remove(size_t offset, size_t size) {
  free_.erase(offset);
  sizes_.erase({size, offset});
}

}  // namespace pleach
