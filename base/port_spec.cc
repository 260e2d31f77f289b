#include "base/port_spec.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <optional>

#include "base/limits.h"

namespace sealcast::dataplane {
namespace {

struct KindRow {
  PortKind kind;
  std::string_view name;
  std::string_view example;
};

constexpr std::array<KindRow, 10> kinds{{
    {PortKind::pci, "pci", "pci:0000:3b:00.0"},
    {PortKind::virtio_user, "virtio-user", "virtio-user:/run/x.sock"},
    {PortKind::vhost_user, "vhost-user", "vhost-user:/run/x.sock"},
    {PortKind::af_packet, "af_packet", "af_packet:eth1"},
    {PortKind::af_xdp, "af_xdp", "af_xdp:eth1"},
    {PortKind::tap, "tap", "tap:name"},
    {PortKind::memif, "memif", "memif:/run/x.sock"},
    {PortKind::pcap, "pcap", "pcap:in.pcap,out.pcap"},
    {PortKind::ring, "ring", "ring:name"},
    {PortKind::null, "null", "null"},
}};

constexpr unsigned of(PortKind kind) {
  return 1U << static_cast<unsigned>(kind);
}
template <typename... Kinds>
constexpr unsigned of(PortKind first, Kinds... others) {
  return of(first) | of(others...);
}

// Every option: its name, what it may be, and the kinds that take it.
enum class Form : std::uint8_t { number, power_of_two, octal, role, mac, name, path };
struct OptionRow {
  std::string_view name;
  unsigned kinds;
  Form form;
  std::uint64_t least, most;  // numbers only
  void (*set)(PortSpec&, std::uint64_t);
};
using enum PortKind;
constexpr OptionRow options[] = {
    {"queues", of(pci, virtio_user, vhost_user, af_packet, af_xdp, tap, memif, ring), Form::number, 1,
     worker_limits.most, [](PortSpec& s, std::uint64_t n) { s.queues = static_cast<std::uint16_t>(n); }},
    {"descriptors", of(pci, virtio_user, af_xdp, memif, ring), Form::power_of_two, 64, 4096,
     [](PortSpec& s, std::uint64_t n) { s.descriptors = static_cast<std::uint32_t>(n); }},
    {"mbufs", of(pci, virtio_user, vhost_user, af_packet, af_xdp, tap, memif, pcap, ring, null), Form::number, 1024,
     4'194'304, [](PortSpec& s, std::uint64_t n) { s.mbufs = static_cast<std::uint32_t>(n); }},
    {"server", of(virtio_user, vhost_user), Form::number, 0, 1,
     [](PortSpec& s, std::uint64_t n) { s.socket_server = n != 0; }},
    {"role", of(memif), Form::role, 0, 0, [](PortSpec& s, std::uint64_t n) { s.socket_server = n != 0; }},
    {"id", of(memif), Form::number, 0, 0xffffffff,
     [](PortSpec& s, std::uint64_t n) { s.memif_id = static_cast<std::uint32_t>(n); }},
    {"mode", of(memif), Form::octal, 0600, 0666,
     [](PortSpec& s, std::uint64_t n) { s.socket_mode = static_cast<std::uint16_t>(n); }},
    {"secret_file", of(memif), Form::path, 0, 0, nullptr},
    // A frame never straddles two blocks of the kernel's ring, so that only powers of two fill the blocks.
    {"framesz", of(af_packet), Form::power_of_two, 2048, 65536,
     [](PortSpec& s, std::uint64_t n) { s.framesz = static_cast<std::uint32_t>(n); }},
    {"framecnt", of(af_packet), Form::power_of_two, 64, 16384,
     [](PortSpec& s, std::uint64_t n) { s.framecnt = static_cast<std::uint32_t>(n); }},
    {"start_queue", of(af_xdp), Form::number, 0, 255,
     [](PortSpec& s, std::uint64_t n) { s.start_queue = static_cast<std::uint16_t>(n); }},
    {"copy", of(af_xdp), Form::number, 0, 1, [](PortSpec& s, std::uint64_t n) { s.copy = n != 0; }},
    {"mac", of(tap), Form::mac, 0, 0, nullptr},
    {"netns", of(tap), Form::name, 0, 0, nullptr},
    {"infinite", of(pcap), Form::number, 0, 1, [](PortSpec& s, std::uint64_t n) { s.infinite = n != 0; }},
    {"size", of(null), Form::number, 60, 9018,
     [](PortSpec& s, std::uint64_t n) { s.frame_bytes = static_cast<std::uint16_t>(n); }},
};

const KindRow& row(PortKind kind) {
  return kinds[static_cast<std::size_t>(kind)];
}

std::string all_kinds() {
  std::string text;
  for (const KindRow& k : kinds)
    text += (text.empty() ? "" : ", ") + std::string(k.name);
  return text;
}

std::string taken_by(PortKind kind) {
  std::string text;
  for (const OptionRow& option : options)
    if ((option.kinds & of(kind)) != 0) text += (text.empty() ? "" : " ") + std::string(option.name);
  return text;
}

tl::unexpected<Error> bad(std::string_view port, const std::string& why) {
  return fail("port \"" + std::string(port) + "\": " + why);
}

bool is_power_of_two(std::uint64_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

// Device arguments are comma-separated lists in which these characters are syntax: a name with one of them would reach
// the driver as something else.
std::optional<char> forbidden_character(std::string_view name) {
  for (char c : name)
    if (c == ',' || c == '=' || c == '[' || c == ']' || c == '(' || c == ')' || c == '"' || c == '\'' || c <= ' ' ||
        c == '\x7f')
      return c;
  return std::nullopt;
}

Result<void> check_name(std::string_view port, std::string_view what, std::string_view name, std::size_t longest) {
  if (name.empty()) return bad(port, "the " + std::string(what) + " is missing");
  if (name.size() > longest)
    return bad(port, "the " + std::string(what) + " has " + std::to_string(name.size()) + " bytes, at most " +
                         std::to_string(longest) + " are possible");
  if (auto c = forbidden_character(name))
    return bad(port, "the " + std::string(what) + " holds " +
                         (*c <= ' ' || *c == '\x7f' ? "a space or control character" : "'" + std::string(1, *c) + "'") +
                         ", which no driver argument can carry");
  return {};
}

// dddd:bb:dd.f in hexadecimal, as lspci -D prints it.
bool is_pci_address(std::string_view text) {
  constexpr std::string_view form = "hhhh:hh:hh.o";
  if (text.size() != form.size()) return false;
  for (std::size_t i = 0; i < form.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    if (form[i] == 'h' ? !hex : form[i] == 'o' ? (c < '0' || c > '7') : c != form[i]) return false;
  }
  return true;
}

Result<void> check_interface(std::string_view port, std::string_view name) {
  SEALCAST_TRY(check_name(port, "interface name", name, 15));  // IFNAMSIZ - 1
  if (name.find('/') != std::string_view::npos || name == "." || name == "..")
    return bad(port, "\"" + std::string(name) + "\" cannot be an interface name");
  return {};
}

Result<void> read_target(PortSpec& spec, std::string_view target) {
  const std::string_view port = spec.text;
  switch (spec.kind) {
    case PortKind::pci:
      if (!is_pci_address(target))
        return bad(port, "expected a PCI address with its domain, lower case, like pci:0000:3b:00.0 (lspci -D)");
      break;
    case PortKind::virtio_user:
    case PortKind::vhost_user:
    case PortKind::memif:
      // sun_path holds 107 bytes and the closing zero (unix(7)).
      SEALCAST_TRY(check_name(port, "socket path", target, 107));
      break;
    case PortKind::af_packet:
    case PortKind::af_xdp:
    case PortKind::tap:
      SEALCAST_TRY(check_interface(port, target));
      break;
    case PortKind::ring:
      SEALCAST_TRY(check_name(port, "ring name", target, 20));
      break;
    case PortKind::null:
      if (!target.empty()) return bad(port, "null takes no name, only options: null?size=64");
      break;
    case PortKind::pcap: {
      const std::size_t comma = target.find(',');
      const std::string_view in = target.substr(0, comma);
      const std::string_view out = comma == std::string_view::npos ? std::string_view{} : target.substr(comma + 1);
      if (in.empty() && out.empty()) return bad(port, "expected a file to read, a file to write, or both: pcap:in,out");
      if (!in.empty()) SEALCAST_TRY(check_name(port, "file to read", in, 1024));
      if (!out.empty()) SEALCAST_TRY(check_name(port, "file to write", out, 1024));
      if (!in.empty() && in == out) return bad(port, "reads and writes the same file");
      spec.target = in;
      spec.output = out;
      return {};
    }
  }
  spec.target = target;
  return {};
}

std::string octal(std::uint64_t n) {
  std::string text;
  for (; n != 0; n /= 8)
    text.insert(text.begin(), static_cast<char>('0' + n % 8));
  return "0" + text;
}

// A number in decimal or, for permissions, octal digits.
Result<std::uint64_t> bounded_number(const PortSpec& spec, const OptionRow& option, std::string_view value) {
  const int base = option.form == Form::octal ? 8 : 10;
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n, base);
  const std::string least = base == 8 ? octal(option.least) : std::to_string(option.least);
  const std::string most = base == 8 ? octal(option.most) : std::to_string(option.most);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size() || n < option.least ||
      n > option.most)
    return bad(spec.text, "option " + std::string(option.name) + ": expected a number from " + least + " to " + most +
                              ", got \"" + std::string(value) + "\"");
  if (option.form == Form::power_of_two && !is_power_of_two(n))
    return bad(spec.text, "option " + std::string(option.name) + ": expected a power of two, got " + std::to_string(n));
  return n;
}

// A unicast Ethernet address, "02:00:00:00:00:01".
std::optional<std::array<std::uint8_t, 6>> ethernet_address(std::string_view text) {
  std::array<std::uint8_t, 6> address{};
  if (text.size() != 17) return std::nullopt;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* const from = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(from, from + 2, address[i], 16);
    if (error != std::errc{} || end != from + 2 || (i < 5 && *end != ':')) return std::nullopt;
  }
  if ((address[0] & 1) != 0 || address == std::array<std::uint8_t, 6>{}) return std::nullopt;
  return address;
}

Result<void> read_option(PortSpec& spec, std::string_view key, std::string_view value) {
  const OptionRow* option = nullptr;
  for (const OptionRow& row : options)
    if (row.name == key && (row.kinds & of(spec.kind)) != 0) option = &row;
  if (option == nullptr)
    return bad(spec.text, "unknown option \"" + std::string(key) + "\"; " + std::string(name(spec.kind)) +
                              " takes: " + taken_by(spec.kind));
  switch (option->form) {
    case Form::number:
    case Form::power_of_two:
    case Form::octal: {
      SEALCAST_TRY_ASSIGN(const auto n, bounded_number(spec, *option, value));
      option->set(spec, n);
      return {};
    }
    case Form::role:
      if (value != "server" && value != "client")
        return bad(spec.text, "option role: expected server or client, got \"" + std::string(value) + "\"");
      option->set(spec, value == "server" ? 1 : 0);
      return {};
    case Form::mac:
      spec.mac = ethernet_address(value);
      if (!spec.mac)
        return bad(spec.text, "option mac: expected a unicast Ethernet address like 02:00:00:00:00:01, got \"" +
                                  std::string(value) + "\"");
      return {};
    case Form::name:
      SEALCAST_TRY(check_name(spec.text, "name of netns", value, 200));
      if (value.find('/') != std::string_view::npos || value == "." || value == "..")
        return bad(spec.text, "option netns: expected a name as ip netns shows it, got \"" + std::string(value) + "\"");
      spec.netns = value;
      return {};
    case Form::path:
      SEALCAST_TRY(check_name(spec.text, "path of secret_file", value, 1024));
      spec.secret_file = value;
      return {};
  }
  return {};
}

Result<void> read_options(PortSpec& spec, std::string_view rest) {
  std::string seen = " ";
  while (true) {
    const std::size_t end = rest.find('&');
    const std::string_view option = rest.substr(0, end);
    const std::size_t equals = option.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return bad(spec.text, "expected name=value after '?' and '&', got \"" + std::string(option) + "\"");
    const std::string key = std::string(option.substr(0, equals)) + " ";
    if (seen.find(" " + key) != std::string::npos)
      return bad(spec.text, "option " + std::string(option.substr(0, equals)) + " is given twice");
    seen += key;
    SEALCAST_TRY(read_option(spec, option.substr(0, equals), option.substr(equals + 1)));
    if (end == std::string_view::npos) return {};
    rest = rest.substr(end + 1);
  }
}

}  // namespace

std::string_view name(PortKind kind) {
  return row(kind).name;
}

std::string kind_options(PortKind kind) {
  std::string text;
  for (const OptionRow& option : options) {
    if ((option.kinds & of(kind)) == 0) continue;
    text += (text.empty() ? "" : " ") + std::string(option.name) + "=";
    switch (option.form) {
      case Form::number:
      case Form::power_of_two:
        text += std::to_string(option.least) + ".." + std::to_string(option.most);
        break;
      case Form::octal:
        text += octal(option.least) + ".." + octal(option.most);
        break;
      case Form::role:
        text += "server|client";
        break;
      case Form::mac:
        text += "MAC";
        break;
      case Form::name:
        text += "NAME";
        break;
      case Form::path:
        text += "PATH";
        break;
    }
  }
  return text;
}

Result<PortSpec> parse_port(std::string_view text) {
  if (text.empty()) return fail("port: the string is empty; expected kind:name with kind one of " + all_kinds());
  const std::size_t question = text.find('?');
  const std::string_view device = text.substr(0, question);
  const std::size_t colon = device.find(':');
  const std::string_view kind_name = device.substr(0, colon);
  const KindRow* kind = nullptr;
  for (const KindRow& k : kinds)
    if (k.name == kind_name) kind = &k;
  if (kind == nullptr)
    return bad(text, "unknown kind \"" + std::string(kind_name) + "\"; expected one of " + all_kinds());
  if (colon == std::string_view::npos && kind->kind != PortKind::null)
    return bad(text, "expected a name after the kind, like " + std::string(kind->example));

  PortSpec spec;
  spec.kind = kind->kind;
  spec.text = text;
  // Only this pairing survives a restart of either end (docs/ports.md).
  spec.socket_server = kind->kind == PortKind::virtio_user;
  SEALCAST_TRY(read_target(spec, colon == std::string_view::npos ? std::string_view{} : device.substr(colon + 1)));
  if (question != std::string_view::npos) SEALCAST_TRY(read_options(spec, text.substr(question + 1)));
  if (spec.infinite && spec.target.empty()) return bad(text, "infinite=1 needs a file to read");
  if (spec.infinite && !spec.output.empty())
    return bad(text, "infinite=1 discards what is sent; leave out the file to write");
  return spec;
}

Result<std::string> resolve_port(std::string_view text, const std::string& folder) {
  SEALCAST_TRY_ASSIGN(auto spec, parse_port(text));
  const auto absolute = [&](const std::string& path) {
    if (path.empty() || path.front() == '/' || folder.empty()) return path;
    return (std::filesystem::path(folder) / path).lexically_normal().string();
  };
  const std::size_t question = text.find('?');
  std::string options_text(question == std::string_view::npos ? std::string_view{} : text.substr(question));
  if (!spec.secret_file.empty()) {
    constexpr std::string_view option = "secret_file=";
    const std::size_t at = options_text.find(option) + option.size();
    options_text.replace(at, spec.secret_file.size(), absolute(spec.secret_file));
  }
  std::string resolved(text);
  switch (spec.kind) {
    case PortKind::virtio_user:
    case PortKind::vhost_user:
    case PortKind::memif:
      resolved = std::string(name(spec.kind)) + ":" + absolute(spec.target) + options_text;
      break;
    case PortKind::pcap:
      resolved = "pcap:" + absolute(spec.target) + "," + absolute(spec.output) + options_text;
      break;
    default:
      break;
  }
  // The longer path may be too long for a socket, or its folder may hold a character that no driver argument can carry.
  SEALCAST_TRY(parse_port(resolved));
  return resolved;
}

std::vector<std::string> port_warnings(const PortSpec& spec) {
  std::vector<std::string> warnings;
  if (spec.kind == PortKind::virtio_user)
    warnings.push_back("port \"" + spec.text +
                       "\": the peer of a virtio-user port can read and write this gateway's packet memory; between "
                       "trust domains make the gateway the vhost-user end");
  return warnings;
}

}  // namespace sealcast::dataplane
