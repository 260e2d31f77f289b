// Errors as values. Nothing in Sealcast reports a failure by exception.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace sealcast {

// What went wrong, in one line for an operator: what was expected, what came, and where. Never holds a secret (H14).
struct Error {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string message) {
  return tl::unexpected<Error>(Error{std::move(message)});
}

}  // namespace sealcast

// SEALCAST_TRY(step()) evaluates step() once. If it failed, the function around the macro returns the error as it is;
// in a lambda that is the lambda. Otherwise the function goes on and drops the value: one that must live on, such as a
// lock, needs SEALCAST_TRY_ASSIGN.
#define SEALCAST_TRY(...)                                                          \
  do {                                                                             \
    auto sealcast_tried = (__VA_ARGS__);                                           \
    if (!sealcast_tried) return tl::unexpected(std::move(sealcast_tried).error()); \
  } while (false)

// SEALCAST_TRY_ASSIGN(auto name, step()) does the same and moves the value into the new variable; without auto, into
// one that is there. It is several statements, so it can't be the body of an if. The line number names the temporary:
// in a header, __COUNTER__ would give it another name in each file that includes it.
#define SEALCAST_TRY_ASSIGN(variable, ...) SEALCAST_TRY_ASSIGN_AT(__LINE__, variable, __VA_ARGS__)
#define SEALCAST_TRY_ASSIGN_AT(line, variable, ...) SEALCAST_TRY_ASSIGN_FROM(line, variable, __VA_ARGS__)
#define SEALCAST_TRY_ASSIGN_FROM(line, variable, ...)                                          \
  auto sealcast_tried_##line = (__VA_ARGS__);                                                  \
  if (!sealcast_tried_##line) return tl::unexpected(std::move(sealcast_tried_##line).error()); \
  variable = *std::move(sealcast_tried_##line)
