// What an operator may have meant by a name that no member bears.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sealcast::keyserver {

// Of known, those that are like name: the same but for the case of letters, the same up to the first dot, or at most
// two letters apart. The closest first, at most `most`.
std::vector<std::string> similar_names(std::string_view name, const std::set<std::string>& known, std::size_t most = 5);

}  // namespace sealcast::keyserver
