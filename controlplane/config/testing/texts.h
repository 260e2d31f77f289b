// What the configuration's tests do to texts, and how they read diagnostics.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "controlplane/config/config.h"

namespace sealcast::config {

// text with the first `from` replaced; a test whose own text lacks it fails.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "the test's own text has no " << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

// One line each, as an operator reads it.
inline std::vector<std::string> texts(const std::vector<Diagnostic>& diagnostics) {
  std::vector<std::string> out;
  for (const Diagnostic& diagnostic : diagnostics)
    out.push_back(diagnostic.text());
  return out;
}

}  // namespace sealcast::config
