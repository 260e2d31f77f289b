// Writes every SA key to a file that tshark reads as its esp_sa table, so that an operator can look into a black-side
// capture. Off by default and loud (H14): with the file an attacker can read the group's traffic.
#pragma once

#include <memory>
#include <string>

#include "base/dataplane_control.h"
#include "base/result.h"

namespace sealcast::gateway {

// A DataPlaneControl that passes every call on to next and appends each SA key of these calls to the file at path (made
// anew at start, mode 0600). Two lines per SPI, one for each IP version, written before the key is used. A key that
// cannot be written is logged and used all the same: an analyser's file must not stop traffic.
class KeyExport final : public DataPlaneControl {
 public:
  static Result<std::unique_ptr<KeyExport>> open(const std::string& path, DataPlaneControl& next);
  ~KeyExport() override;

  std::uint32_t workers() const override { return next_.workers(); }
  Result<void> protect_all(const std::vector<NamedProtection>& groups) override { return next_.protect_all(groups); }
  Result<void> unprotect_all(const std::vector<std::string>& group_ids) override {
    return next_.unprotect_all(group_ids);
  }
  Result<void> install(GroupEpoch epoch) override;
  Result<void> add_inbound(const std::string& group_id, std::uint64_t epoch, std::vector<InboundSa> slots) override;
  Result<void> replace_outbound(const std::string& group_id, std::uint64_t epoch,
                                std::vector<OutboundSa> slots) override;
  Result<void> activate(const std::string& group_id, std::uint64_t epoch) override {
    return next_.activate(group_id, epoch);
  }
  Result<void> extend_lease(const std::string& group_id, SteadyTime until) override {
    return next_.extend_lease(group_id, until);
  }
  Result<void> set_clock(const std::string& group_id, std::uint64_t epoch, const EpochClock& clock) override {
    return next_.set_clock(group_id, epoch, clock);
  }
  Result<void> retire(const std::string& group_id, std::uint64_t epoch) override {
    return next_.retire(group_id, epoch);
  }
  void drop_all_outbound() override { next_.drop_all_outbound(); }
  Result<void> send_sealed(const std::string& group_id, const std::vector<std::uint8_t>& esp) override {
    return next_.send_sealed(group_id, esp);
  }
  DataPlaneEvents take_events() override { return next_.take_events(); }
  DataPlaneStatistics statistics() const override { return next_.statistics(); }
  std::vector<SaStatistics> statistics_of_group(const std::string& group_id) const override {
    return next_.statistics_of_group(group_id);
  }

 private:
  KeyExport(int file, std::string path, DataPlaneControl& next);
  void write_line(const SaKey& key);

  int file_;
  std::string path_;
  DataPlaneControl& next_;
};

// The lines for one SA, with their newlines: any source and destination, first of IPv4, then of IPv6; AES-GCM with its
// ICV checked.
std::string esp_sa_lines(const SaKey& key);

}  // namespace sealcast::gateway
