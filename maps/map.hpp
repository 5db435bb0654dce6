/// Typed views of the node's maps, opened by their pins. A view owns its descriptor and nothing else: the map lives on.
///
/// No lookup or update here is atomic against the programs beyond what the kernel promises for one element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::maps {

namespace raw {  // what the templates below share

/// ENOENT: no such pin. EPROTO: what is pinned there has keys or values of another size.
Result<Fd> open_pin(const std::filesystem::path& pin, std::size_t key_size, std::size_t value_size);
Result<bool> lookup(const Fd& map, const void* key, void* value);
Result<void> update(const Fd& map, const void* key, const void* value, std::uint64_t flags);
/// `done` of the elements are written, also where one fails.
Result<void> update_all(const Fd& map, const std::byte* keys, std::size_t key_size, const std::byte* values,
                        std::size_t value_size, std::size_t count, std::size_t& done);
Result<bool> erase(const Fd& map, const void* key);
/// Calls `visit` for each element. An element that is changed meanwhile may be missing or old.
Result<void> walk(const Fd& map, std::size_t key_size, std::size_t value_size,
                  const std::function<void(const std::byte* key, const std::byte* value)>& visit);
Result<std::uint32_t> capacity(const Fd& map);
/// Maps the whole value of a one-element array that was made for it (BPF_F_MMAPABLE).
Result<void*> map_memory(const Fd& map, std::size_t size);
void unmap_memory(void* memory, std::size_t size);
std::size_t possible_cpus();

}  // namespace raw

/// A hash or an array.
template <typename Key, typename Value>
class Map {
  static_assert(std::has_unique_object_representations_v<Key>, "hidden padding would make keys that never match");
  static_assert(std::is_trivially_copyable_v<Value>);

 public:
  using key_type = Key;
  using value_type = Value;

  explicit Map(Fd fd) : fd_(std::move(fd)) {}

  Result<std::optional<Value>> lookup(const Key& key) const {
    Value value;
    if (!TRY(raw::lookup(fd_, &key, &value))) return std::optional<Value>();
    return std::optional<Value>(value);
  }

  /// Writes a new element or over an old one. E2BIG: the map is full.
  Result<void> put(const Key& key, const Value& value) { return raw::update(fd_, &key, &value, 0); }

  /// Writes elements in turn, by few system calls. `done` are written, also where one fails.
  Result<void> put_all(const std::vector<std::pair<Key, Value>>& elements, std::size_t& done) {
    std::vector<std::byte> keys(elements.size() * sizeof(Key)), values(elements.size() * sizeof(Value));
    for (std::size_t i = 0; i < elements.size(); i++) {
      std::memcpy(&keys[i * sizeof(Key)], &elements[i].first, sizeof(Key));
      std::memcpy(&values[i * sizeof(Value)], &elements[i].second, sizeof(Value));
    }
    return raw::update_all(fd_, keys.data(), sizeof(Key), values.data(), sizeof(Value), elements.size(), done);
  }

  /// Writes a new element. EEXIST: there is one. E2BIG: the map is full.
  Result<void> insert(const Key& key, const Value& value) {
    return raw::update(fd_, &key, &value, 1 /* BPF_NOEXIST */);
  }

  /// Writes over an old one. ENOENT: it is not there.
  Result<void> replace(const Key& key, const Value& value) { return raw::update(fd_, &key, &value, 2 /* BPF_EXIST */); }

  /// False: it was not there.
  Result<bool> erase(const Key& key) { return raw::erase(fd_, &key); }

  /// Calls `visit(key, value)` for each element, some thousands of which are held in memory at a time.
  template <typename Visit>
  [[nodiscard]] Result<void> each(Visit visit) const {
    return raw::walk(fd_, sizeof(Key), sizeof(Value), [&](const std::byte* key_bytes, const std::byte* value_bytes) {
      Key key;
      Value value;
      std::memcpy(&key, key_bytes, sizeof(Key));
      std::memcpy(&value, value_bytes, sizeof(Value));
      visit(key, value);
    });
  }

  [[nodiscard]] Result<std::vector<std::pair<Key, Value>>> dump() const {
    std::vector<std::pair<Key, Value>> elements;
    TRY(each([&](const Key& key, const Value& value) { elements.emplace_back(key, value); }));
    return elements;
  }

  /// The most elements that it may hold.
  [[nodiscard]] Result<std::uint32_t> capacity() const { return raw::capacity(fd_); }
  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  Fd fd_;
};

/// An array with a value for each CPU.
template <typename Value>
class PerCpuArray {
  static_assert(sizeof(Value) % 8 == 0, "the kernel rounds each CPU's value up to 8 bytes");

 public:
  using key_type = std::uint32_t;
  using value_type = Value;

  explicit PerCpuArray(Fd fd) : fd_(std::move(fd)) {}

  /// One value for each CPU that the machine may have.
  Result<std::vector<Value>> lookup(std::uint32_t index) const {
    std::vector<Value> values(raw::possible_cpus());
    if (!TRY(raw::lookup(fd_, &index, values.data()))) return refuse(ENOENT, "per-CPU array has no such index");
    return values;
  }

  [[nodiscard]] Result<std::uint32_t> capacity() const { return raw::capacity(fd_); }
  [[nodiscard]] const Fd& fd() const { return fd_; }

 private:
  Fd fd_;
};

/// The value of a memory-mapped map, shared with the programs: changed by atomic operations only.
template <typename Value>
class Mapped {
 public:
  static Result<Mapped> open(const Fd& map) {
    return Mapped(static_cast<Value*>(TRY(raw::map_memory(map, sizeof(Value)))));
  }
  Mapped(Mapped&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  Mapped& operator=(Mapped&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Mapped() {
    if (value_ != nullptr) raw::unmap_memory(value_, sizeof(Value));
  }

  Value* operator->() const { return value_; }
  Value& operator*() const { return *value_; }

 private:
  explicit Mapped(Value* value) : value_(value) {}

  Value* value_;
};

}  // namespace sluice::maps
