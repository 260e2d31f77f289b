#include "tests/nonces/log.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace sealcast::nonces {
namespace {

constexpr char folder_variable[] = "SEALCAST_NONCE_LOG";
constexpr std::array<char, 8> magic = {'S', 'C', 'N', 'O', 'N', 'C', 'E', '1'};

}  // namespace

std::uint64_t key_id(ByteView key) {
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(key.data(), key.size(), digest.data());
  return load_be<std::uint64_t>(digest.data());
}

Log::Log(std::string path, void* memory, std::size_t bytes)
    : path_(std::move(path)), memory_(memory), bytes_(bytes), header_(static_cast<Header*>(memory)) {
  void* const behind = static_cast<std::uint8_t*>(memory) + sizeof(Header);
  runs_ = static_cast<Run*>(behind);
}

Log::~Log() {
  munmap(memory_, bytes_);
}

Result<std::unique_ptr<Log>> Log::create(const std::string& folder, std::uint32_t capacity) {
  // Pids are reused; a template makes the name unique.
  std::string path = folder + "/" + program_invocation_short_name + "-" + std::to_string(getpid()) + "-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) return fail("nonce log " + path + ": " + std::strerror(errno));
  const std::size_t bytes = sizeof(Header) + std::size_t{capacity} * sizeof(Run);
  void* memory = MAP_FAILED;
  if (ftruncate(file, static_cast<off_t>(bytes)) == 0)
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const int why = errno;
  close(file);
  if (memory == MAP_FAILED) return fail("nonce log " + path + ": " + std::strerror(why));
  std::unique_ptr<Log> log(new Log(std::move(path), memory, bytes));
  log->header_->pid = static_cast<std::uint32_t>(getpid());
  log->header_->capacity = capacity;
  std::strncpy(log->header_->program.data(), program_invocation_short_name, log->header_->program.size() - 1);
  log->header_->magic = magic;
  return log;
}

Result<Log*> Log::of_process() {
  static const Result<std::unique_ptr<Log>> log = []() -> Result<std::unique_ptr<Log>> {
    const char* const folder = std::getenv(folder_variable);
    if (folder == nullptr)
      return fail(std::string("this program records every nonce: expected the folder for it in ") + folder_variable +
                  ", got none");
    return create(folder);
  }();
  if (!log) return tl::unexpected<Error>(log.error());
  return log->get();
}

Run* Log::begin(std::uint64_t key, std::uint32_t spi, std::uint64_t number) noexcept {
  const std::uint64_t place = header_->used.fetch_add(1, std::memory_order_relaxed);
  if (place >= header_->capacity) return nullptr;
  Run& run = runs_[place];
  run.key_id = key;
  run.spi = spi;
  run.first = number;
  run.last.store(number, std::memory_order_relaxed);
  run.whole.store(1, std::memory_order_release);
  return &run;
}

void Log::add(Run*& run, std::uint64_t key, std::uint32_t spi, std::uint64_t number) noexcept {
  const std::uint64_t last = run == nullptr ? 0 : run->last.load(std::memory_order_relaxed);
  if (run != nullptr && run->spi == spi && number > last &&
      static_cast<std::uint32_t>(number) == static_cast<std::uint32_t>(last) + 1) {
    run->last.store(number, std::memory_order_release);
  } else {
    run = begin(key, spi, number);
  }
}

}  // namespace sealcast::nonces
