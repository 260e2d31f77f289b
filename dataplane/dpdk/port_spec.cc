#include "dataplane/dpdk/port_spec.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <optional>

namespace sealcast::dataplane {
namespace {

struct KindRow {
  PortKind kind;
  std::string_view name;
  bool supported;
  std::string_view example;
  std::string_view options;  // those the kind takes, space-separated, for the error message
};

constexpr std::array<KindRow, 10> kinds{{
    {PortKind::pci, "pci", true, "pci:0000:3b:00.0", "queues descriptors"},
    {PortKind::virtio_user, "virtio-user", true, "virtio-user:/run/x.sock", "queues descriptors server"},
    {PortKind::vhost_user, "vhost-user", true, "vhost-user:/run/x.sock", "queues server"},
    {PortKind::af_packet, "af_packet", true, "af_packet:eth1", "queues framesz framecnt"},
    {PortKind::af_xdp, "af_xdp", false, "af_xdp:eth1", "queues"},
    {PortKind::tap, "tap", false, "tap:name", "queues"},
    {PortKind::memif, "memif", false, "memif:/run/x.sock", "server"},
    {PortKind::pcap, "pcap", true, "pcap:in.pcap,out.pcap", "infinite"},
    {PortKind::ring, "ring", true, "ring:name", "queues descriptors"},
    {PortKind::null, "null", true, "null", "size"},
}};

const KindRow& row(PortKind kind) {
  return kinds[static_cast<std::size_t>(kind)];
}

std::string all_kinds() {
  std::string text;
  for (const KindRow& k : kinds)
    text += (text.empty() ? "" : ", ") + std::string(k.name);
  return text;
}

bool takes(const KindRow& kind, std::string_view option) {
  std::string_view rest = kind.options;
  while (!rest.empty()) {
    const std::size_t space = rest.find(' ');
    if (rest.substr(0, space) == option) return true;
    rest = space == std::string_view::npos ? std::string_view{} : rest.substr(space + 1);
  }
  return false;
}

tl::unexpected<Error> bad(std::string_view port, const std::string& why) {
  return fail("port \"" + std::string(port) + "\": " + why);
}

bool is_power_of_two(std::uint64_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

// Device arguments are comma-separated lists in which these have a meaning of their own; a name with one of them would
// reach the driver as something else.
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
  if (auto ok = check_name(port, "interface name", name, 15); !ok) return ok;  // IFNAMSIZ - 1
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
      if (auto ok = check_name(port, "socket path", target, 107); !ok) return ok;
      break;
    case PortKind::af_packet:
    case PortKind::af_xdp:
    case PortKind::tap:
      if (auto ok = check_interface(port, target); !ok) return ok;
      break;
    case PortKind::ring:
      if (auto ok = check_name(port, "ring name", target, 20); !ok) return ok;
      break;
    case PortKind::null:
      if (!target.empty()) return bad(port, "null takes no name, only options: null?size=64");
      break;
    case PortKind::pcap: {
      const std::size_t comma = target.find(',');
      const std::string_view in = target.substr(0, comma);
      const std::string_view out = comma == std::string_view::npos ? std::string_view{} : target.substr(comma + 1);
      if (in.empty() && out.empty()) return bad(port, "expected a file to read, a file to write, or both: pcap:in,out");
      if (!in.empty())
        if (auto ok = check_name(port, "file to read", in, 1024); !ok) return ok;
      if (!out.empty())
        if (auto ok = check_name(port, "file to write", out, 1024); !ok) return ok;
      if (!in.empty() && in == out) return bad(port, "reads and writes the same file");
      spec.target = in;
      spec.output = out;
      return {};
    }
  }
  spec.target = target;
  return {};
}

Result<std::uint64_t> number(const PortSpec& spec, std::string_view option, std::string_view value, std::uint64_t least,
                             std::uint64_t most) {
  std::uint64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size() || n < least || n > most)
    return bad(spec.text, "option " + std::string(option) + ": expected a number from " + std::to_string(least) +
                              " to " + std::to_string(most) + ", got \"" + std::string(value) + "\"");
  return n;
}

Result<void> power_of_two(const PortSpec& spec, std::string_view option, std::uint64_t n) {
  if (is_power_of_two(n)) return {};
  return bad(spec.text, "option " + std::string(option) + ": expected a power of two, got " + std::to_string(n));
}

Result<void> read_option(PortSpec& spec, std::string_view option, std::string_view value) {
  if (!takes(row(spec.kind), option))
    return bad(spec.text, "unknown option \"" + std::string(option) + "\"; " + std::string(name(spec.kind)) +
                              " takes: " + std::string(row(spec.kind).options));
  const auto set = [&](auto& field, std::uint64_t least, std::uint64_t most, bool power = false) -> Result<void> {
    auto n = number(spec, option, value, least, most);
    if (!n) return tl::unexpected(n.error());
    if (power)
      if (auto ok = power_of_two(spec, option, *n); !ok) return ok;
    field = static_cast<std::remove_reference_t<decltype(field)>>(*n);
    return {};
  };
  if (option == "queues") return set(spec.queues, 1, 16);
  if (option == "descriptors") return set(spec.descriptors, 64, 4096, true);
  if (option == "server") return set(spec.socket_server, 0, 1);
  if (option == "infinite") return set(spec.infinite, 0, 1);
  if (option == "size") return set(spec.frame_bytes, 60, 9018);
  // A frame never straddles two blocks of the kernel's ring, so that only powers of two fill the blocks.
  if (option == "framesz") return set(spec.framesz, 2048, 65536, true);
  return set(spec.framecnt, 64, 16384, true);  // framecnt
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
    if (auto ok = read_option(spec, option.substr(0, equals), option.substr(equals + 1)); !ok) return ok;
    if (end == std::string_view::npos) return {};
    rest = rest.substr(end + 1);
  }
}

}  // namespace

std::string_view name(PortKind kind) {
  return row(kind).name;
}

bool supported(PortKind kind) {
  return row(kind).supported;
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
  if (auto ok = read_target(spec, colon == std::string_view::npos ? std::string_view{} : device.substr(colon + 1)); !ok)
    return tl::unexpected(ok.error());
  if (question != std::string_view::npos)
    if (auto ok = read_options(spec, text.substr(question + 1)); !ok) return tl::unexpected(ok.error());
  if (spec.infinite && spec.target.empty()) return bad(text, "infinite=1 needs a file to read");
  if (spec.infinite && !spec.output.empty())
    return bad(text, "infinite=1 discards what is sent; leave out the file to write");
  return spec;
}

Result<std::string> resolve_port(std::string_view text, const std::string& folder) {
  auto spec = parse_port(text);
  if (!spec) return tl::unexpected(spec.error());
  const auto absolute = [&](const std::string& path) {
    if (path.empty() || path.front() == '/') return path;
    return (std::filesystem::path(folder) / path).lexically_normal().string();
  };
  const std::size_t question = text.find('?');
  const std::string options(question == std::string_view::npos ? std::string_view{} : text.substr(question));
  std::string resolved(text);
  switch (spec->kind) {
    case PortKind::virtio_user:
    case PortKind::vhost_user:
    case PortKind::memif:
      resolved = std::string(name(spec->kind)) + ":" + absolute(spec->target) + options;
      break;
    case PortKind::pcap:
      resolved = "pcap:" + absolute(spec->target) + "," + absolute(spec->output) + options;
      break;
    default:
      break;
  }
  // The longer path can be too long for a socket, or the folder hold a character no driver argument can carry.
  if (auto again = parse_port(resolved); !again) return tl::unexpected(again.error());
  return resolved;
}

std::vector<std::string> port_warnings(const PortSpec& spec) {
  std::vector<std::string> warnings;
  if (!supported(spec.kind))
    warnings.push_back("port \"" + spec.text + "\": " + std::string(name(spec.kind)) + " is not yet supported");
  if (spec.kind == PortKind::virtio_user)
    warnings.push_back("port \"" + spec.text +
                       "\": the peer of a virtio-user port can read and write this gateway's packet memory; between "
                       "trust domains make the gateway the vhost-user end");
  return warnings;
}

}  // namespace sealcast::dataplane
