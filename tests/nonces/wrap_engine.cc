// Replaces aead::create_engine() at link time: the same engines, each behind a recorder.
#include "tests/nonces/recording_engine.h"

using sealcast::Result;
using sealcast::dataplane::aead::Engine;

Result<std::unique_ptr<Engine>> real_create_engine(std::string_view) __asm__(
    "__real__ZN8sealcast9dataplane4aead13create_engineESt17basic_string_viewIcSt11char_traitsIcEE");
Result<std::unique_ptr<Engine>> recording_create_engine(std::string_view) __asm__(
    "__wrap__ZN8sealcast9dataplane4aead13create_engineESt17basic_string_viewIcSt11char_traitsIcEE");

Result<std::unique_ptr<Engine>> recording_create_engine(std::string_view name) {
  auto log = sealcast::nonces::Log::of_process();
  if (!log) return tl::unexpected<sealcast::Error>(log.error());
  auto engine = real_create_engine(name);
  if (!engine) return engine;
  return std::make_unique<sealcast::nonces::RecordingEngine>(std::move(*engine), **log);
}
