// An AEAD engine in front of another one that records what it is about to seal. Slower by a few instructions a packet;
// its keys take one cache line more.
#pragma once

#include "dataplane/aead/engine.h"
#include "tests/nonces/log.h"

namespace sealcast::nonces {

class RecordingEngine final : public dataplane::aead::Engine {
 public:
  // log outlives it.
  RecordingEngine(std::unique_ptr<Engine> engine, Log& log) : engine_(std::move(engine)), log_(log) {}

  std::string_view name() const override { return engine_->name(); }
  std::size_t context_bytes() const override;
  Result<dataplane::aead::Key> expand_key(std::span<const std::uint8_t> key, dataplane::aead::Direction direction,
                                          void* context) const override;
  void release_key(dataplane::aead::Key& key) const override;
  void prefetch(const dataplane::aead::Key& key) const noexcept override;
  bool wants_keys_together() const noexcept override { return engine_->wants_keys_together(); }
  void seal(std::span<dataplane::aead::SealItem> items) const override;
  void open(std::span<dataplane::aead::OpenItem> items) const override;

 private:
  std::unique_ptr<Engine> engine_;
  Log& log_;
};

}  // namespace sealcast::nonces
