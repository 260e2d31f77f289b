// The tables of keys in docs/configuration.md. They are made by the readers themselves, so that the page cannot differ
// from what the daemons accept.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "controlplane/config/table_reader.h"

namespace sealcast::config {

// Every key there is, as a gateway's file with an embedded key server has them; in the readers' order.
std::vector<KeyRow> key_rows();

// The page with its tables written anew: what stands between a line `<!-- keys: TABLE… -->` and the next line
// `<!-- end -->`. A marker with several tables makes one of them, in which equal rows stand once. Refuses a page in
// which a marker has no end, names a table that no file has, or is missing for a table.
Result<std::string> with_key_tables(std::string_view page);

}  // namespace sealcast::config
