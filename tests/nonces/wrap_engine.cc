// Replaces aead::create_engine() at link time: the same engines, each behind a recorder.
#include "tests/nonces/recording_engine.h"

using sealcast::Result;
using sealcast::dataplane::aead::Engine;

Result<std::unique_ptr<Engine>> real_create_engine(std::string_view) __asm__(
    "__real__ZN8sealcast9dataplane4aead13create_engineESt17basic_string_viewIcSt11char_traitsIcEE");
Result<std::unique_ptr<Engine>> recording_create_engine(std::string_view) __asm__(
    "__wrap__ZN8sealcast9dataplane4aead13create_engineESt17basic_string_viewIcSt11char_traitsIcEE");

Result<std::unique_ptr<Engine>> recording_create_engine(std::string_view name) {
  SEALCAST_TRY_ASSIGN(auto log, sealcast::nonces::Log::of_process());
  SEALCAST_TRY_ASSIGN(auto engine, real_create_engine(name));
  return std::make_unique<sealcast::nonces::RecordingEngine>(std::move(engine), *log);
}
