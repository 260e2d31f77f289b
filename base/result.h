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
