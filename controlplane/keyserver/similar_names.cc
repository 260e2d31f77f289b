#include "controlplane/keyserver/similar_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace sealcast::keyserver {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view first_label(std::string_view name) {
  return name.substr(0, name.find('.'));
}

// Letters that have to be inserted, removed or replaced to make b of a.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> similar_names(std::string_view name, const std::set<std::string>& known, std::size_t most) {
  constexpr std::size_t far = 3;
  const std::string wanted = lower(name);
  std::vector<std::pair<std::size_t, std::string>> found;
  for (const std::string& one : known) {
    const std::string candidate = lower(one);
    std::size_t apart = first_label(candidate) == first_label(wanted) ? 1 : far;
    if (candidate.size() < wanted.size() + far && wanted.size() < candidate.size() + far)
      apart = std::min(apart, distance(wanted, candidate));
    if (apart < far) found.emplace_back(apart, one);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < found.size() && i < most; ++i)
    out.push_back(std::move(found[i].second));
  return out;
}

}  // namespace sealcast::keyserver
