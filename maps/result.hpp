/// Errors are values: Result<T> is a T or an Error, and the compiler refuses to let one be ignored.
///
///   Result<Fd> open_map(const std::string& path) {
///     int fd = bpf_obj_get(path.c_str());
///     if (fd < 0) return fail(errno, "open map " + path);
///     return Fd(fd);
///   }
///   Fd map = TRY(open_map(path));            // hands an error on
///   Fd map = TRY(open_map(path).context("load pod.bpf.o"));  // "load pod.bpf.o: open map ...: No such file or
///   directory"
#pragma once

#include <cstring>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

/// What went wrong: an errno value that callers branch on, and a sentence from the task to the cause that people read.
struct Error {
  int code = 0;
  std::string message;
};

/// An error of the system: `message` gets the words for `code` (an errno value) at its end.
[[nodiscard]] inline Error fail(int code, std::string_view message) {
  return Error{code, std::string(message) + ": " + std::strerror(code)};
}

/// An error that `message` tells in full; `code` is there to branch on.
[[nodiscard]] inline Error refuse(int code, std::string message) { return Error{code, std::move(message)}; }

template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : inner_(std::move(value)) {}                       // NOLINT(google-explicit-constructor)
  Result(Error error) : inner_(std::unexpected(std::move(error))) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return inner_.has_value(); }
  T& operator*() & { return *inner_; }
  const T& operator*() const& { return *inner_; }
  T&& operator*() && { return *std::move(inner_); }
  T* operator->() { return &*inner_; }
  const T* operator->() const { return &*inner_; }

  [[nodiscard]] const Error& error() const { return inner_.error(); }
  [[nodiscard]] bool failed_with(int code) const { return !inner_ && inner_.error().code == code; }
  T value_or(T other) && { return inner_ ? *std::move(inner_) : std::move(other); }

  /// The same result; an error's message then starts with what was being done.
  Result context(std::string_view doing) && {
    if (!inner_) inner_.error().message = std::string(doing) + ": " + inner_.error().message;
    return std::move(*this);
  }

 private:
  std::expected<T, Error> inner_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : inner_(std::unexpected(std::move(error))) {}  // NOLINT(google-explicit-constructor)

  explicit operator bool() const { return inner_.has_value(); }
  void operator*() const {}

  [[nodiscard]] const Error& error() const { return inner_.error(); }
  [[nodiscard]] bool failed_with(int code) const { return !inner_ && inner_.error().code == code; }

  Result context(std::string_view doing) && {
    if (!inner_) inner_.error().message = std::string(doing) + ": " + inner_.error().message;
    return std::move(*this);
  }

 private:
  std::expected<void, Error> inner_;
};

}  // namespace sluice

/// The value of a Result, or a return of its error from the function around it. May stand inside another TRY.
#define TRY(expression) SLUICE_TRY_AS(SLUICE_TRY_NAME(try_result_, __COUNTER__), expression)

#define SLUICE_TRY_NAME(stem, number) SLUICE_TRY_JOIN(stem, number)
#define SLUICE_TRY_JOIN(stem, number) stem##number
#define SLUICE_TRY_AS(name, expression) \
  __extension__({                       \
    auto name = (expression);           \
    if (!name) return name.error();     \
    *std::move(name);                   \
  })
