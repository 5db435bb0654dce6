/// An array map's elements in memory, shared with the programs (BPF_F_MMAPABLE): written without a system call each.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "maps/map.hpp"

namespace sluice::maps {

template <typename Value>
class MappedArray {
 public:
  static Result<MappedArray> open(const Fd& map, std::uint32_t capacity) {
    const std::size_t size = std::size_t{capacity} * kStride;
    return MappedArray(static_cast<char*>(TRY(raw::map_memory(map, size))), capacity);
  }
  MappedArray(MappedArray&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), capacity_(other.capacity_) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~MappedArray() {
    if (memory_ != nullptr) raw::unmap_memory(memory_, std::size_t{capacity_} * kStride);
  }

  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  /// Below capacity(). Not atomic for a Value of more than one word.
  Value& operator[](std::uint32_t index) const { return *reinterpret_cast<Value*>(memory_ + index * kStride); }

 private:
  static constexpr std::size_t kStride = (sizeof(Value) + 7) & ~std::size_t{7};  // as the kernel lays elements out

  MappedArray(char* memory, std::uint32_t capacity) : memory_(memory), capacity_(capacity) {}

  char* memory_;
  std::uint32_t capacity_;
};

}  // namespace sluice::maps
