#include "dataplane/sources/local_sources.h"

namespace sealcast::dataplane {

LocalSources::LocalSources(const std::vector<Prefix>& prefixes) {
  for (const Prefix& prefix : prefixes) {
    Selector source_only;
    source_only.destination = Prefix{{prefix.address.family, {}}, 0};
    source_only.source = prefix;
    if (prefix.address.family == 4) {
      ipv4_.push_back(compile(source_only, 0));
    } else {
      ipv6_.push_back(compile_for<Address6>(source_only, 0));
    }
  }
}

}  // namespace sealcast::dataplane
