#include "manager/port_spec.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "manager/csv.h"
#include "manager/port_files.h"

namespace hb {
namespace {

namespace fs = std::filesystem;

constexpr char kForms[] =
    "write pcap:rx=FILE[,tx=FILE], tap:NAME, af_packet:IFACE, null[:size=BYTES], "
    "gen:size=BYTES|imix[,...], pci:BDF or vdev:STRING";
constexpr std::uint32_t kMinPacketBytes = 14;  // an Ethernet header
constexpr std::uint32_t kDefaultNullBytes = 64;

/// Closes a descriptor at the end of its block.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Error bad(const PortSpec& spec, const std::string& why, const std::string& fix) {
  return Error{.what = fmt::format("--port '{}': {}", spec.text, why), .fix = fix};
}

/// DPDK splits a device's arguments at commas and equal signs and reads brackets as lists; all else
/// arrives as it is.
bool survives_devargs(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return c == ',' || c == '=' || c == '[' || c == ']' || static_cast<unsigned char>(c) < 0x20 ||
           c == 0x7f;
  });
}

/// What is wrong with a file that the spec names, as the spec's error.
Result<void> of_port(const PortSpec& spec, const Result<void>& file) {
  return file ? file : bad(spec, file.error().what, file.error().fix);
}

/// net_pcap's arguments. Leading slashes fill the first one up to where the driver cuts the copy
/// that secondary processes (dpdk-dumpcap) read: they would open the output file again, and empty
/// it, if they saw its name.
std::string pcap_devargs(const std::string& rx_path, const std::string& tx_path) {
  constexpr std::size_t kCopiedBytes = 63;
  constexpr std::string_view kRx = "rx_pcap=";
  if (tx_path.empty()) return fmt::format("{}{}", kRx, rx_path);
  const std::size_t used = std::min(kCopiedBytes, kRx.size() + rx_path.size());
  return fmt::format("{}{}{},tx_pcap={}", kRx, std::string(kCopiedBytes - used, '/'), rx_path,
                     tx_path);
}

Result<void> parse_pcap(std::string_view rest, unsigned index, PortSpec& spec) {
  spec.kind = PortKind::kPcap;
  spec.lossless = true;
  constexpr char kForm[] = "write pcap:rx=FILE or pcap:rx=FILE,tx=FILE";
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    const bool is_rx = part.starts_with("rx=");
    if (!is_rx && !part.starts_with("tx="))
      return bad(spec, fmt::format("'{}' is neither rx=FILE nor tx=FILE", part),
                 "paths can't contain commas; " + std::string(kForm));
    std::string& file = is_rx ? spec.rx_file : spec.tx_file;
    if (!file.empty()) return bad(spec, fmt::format("{} is given twice", part.substr(0, 2)), kForm);
    file = part.substr(3);
    if (file.empty()) return bad(spec, fmt::format("{} names no file", part), kForm);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (spec.rx_file.empty()) return bad(spec, "rx=FILE is missing", kForm);
  if (const auto good = of_port(spec, check_rx_file(spec.rx_file)); !good) return good;
  if (!spec.tx_file.empty()) {
    if (const auto good = of_port(spec, check_tx_file(spec.tx_file, spec.rx_file)); !good)
      return good;
  }
  // Absolute, as libpcap takes "-" for standard input and output.
  const std::string rx_path = fs::absolute(spec.rx_file);
  const std::string tx_path = spec.tx_file.empty() ? "" : fs::absolute(spec.tx_file).string();
  for (const std::string& path : {rx_path, tx_path}) {
    if (!survives_devargs(path))
      return bad(spec, fmt::format("path '{}' has a character that DPDK can't take", path),
                 "use a path without , = [ ] and control characters");
  }
  spec.device = fmt::format("net_pcap{}", index);
  spec.eal_arg = fmt::format("--vdev={},{}", spec.device, pcap_devargs(rx_path, tx_path));
  return {};
}

/// True when the kernel and DPDK both take this as an interface's name.
bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         survives_devargs(name) && std::none_of(name.begin(), name.end(), [](char c) {
           return c == '/' || c == ':' || c == '=' || c == '%' || c == ' ';
         });
}

ifreq request_for(std::string_view interface) {
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

Result<void> parse_tap(std::string_view name, unsigned index, PortSpec& spec) {
  spec.kind = PortKind::kTap;
  if (!is_interface_name(name))
    return bad(spec, fmt::format("'{}' is no interface name", name),
               "write tap:NAME with 1 to 15 characters, none of them , : = / % [ ] or a blank");
  // Create it for a moment, as only the kernel knows whether that works.
  const Descriptor tun(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (tun.get() < 0)
    return bad(spec, fmt::format("can't open /dev/net/tun: {}", std::strerror(errno)),
               "load the kernel module tun, and run as root");
  ifreq request = request_for(name);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE);
  if (::ioctl(tun.get(), TUNSETIFF, &request) != 0)
    return bad(spec, fmt::format("can't create interface '{}': {}", name, std::strerror(errno)),
               errno == EPERM ? "run as root, or with CAP_NET_ADMIN"
                              : "choose a name that no other interface or program has");
  spec.device = fmt::format("net_tap{}", index);
  spec.eal_arg = fmt::format("--vdev={},iface={}", spec.device, name);
  return {};
}

Result<void> parse_af_packet(std::string_view name, unsigned index, PortSpec& spec) {
  spec.kind = PortKind::kAfPacket;
  if (!is_interface_name(name) || if_nametoindex(std::string(name).c_str()) == 0)
    return bad(spec, fmt::format("there is no interface '{}'", name),
               "write af_packet:IFACE with a name that 'ip link' shows");
  const Descriptor socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (socket.get() < 0)
    return bad(spec, fmt::format("can't open a packet socket: {}", std::strerror(errno)),
               "run as root, or with CAP_NET_RAW");
  ifreq request = request_for(name);
  if (::ioctl(socket.get(), SIOCGIFHWADDR, &request) == 0 &&
      request.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
      request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
    return bad(spec, fmt::format("interface '{}' is not Ethernet", name),
               "choose an Ethernet interface");
  request = request_for(name);
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) == 0)
    return bad(spec, fmt::format("interface '{}' is down", name),
               fmt::format("bring it up first: ip link set {} up", name));
  spec.device = fmt::format("net_af_packet{}", index);
  spec.eal_arg = fmt::format("--vdev={},iface={}", spec.device, name);
  return {};
}

Result<void> parse_null(std::optional<std::string_view> rest, unsigned index,
                        std::uint32_t max_packet_bytes, PortSpec& spec) {
  spec.kind = PortKind::kNull;
  std::uint32_t size_bytes = std::min(kDefaultNullBytes, max_packet_bytes);
  if (rest) {
    constexpr std::string_view kKey = "size=";
    if (!rest->starts_with(kKey) ||
        !parse_decimal(rest->substr(kKey.size()), max_packet_bytes, size_bytes) ||
        size_bytes < kMinPacketBytes)
      return bad(spec, fmt::format("'{}' is no packet size", *rest),
                 fmt::format("write null:size=BYTES with {} to {} (--mbuf-size) bytes",
                             kMinPacketBytes, max_packet_bytes));
  }
  spec.generator.sizes = {static_cast<std::uint16_t>(size_bytes)};
  spec.generator.is_blank = true;
  spec.device = fmt::format("net_null{}", index);
  spec.eal_arg = fmt::format("--vdev={},size={}", spec.device, size_bytes);
  return {};
}

Result<void> parse_gen(std::string_view rest, unsigned index, std::uint32_t max_packet_bytes,
                       PortSpec& spec) {
  spec.kind = PortKind::kGen;
  constexpr char kForm[] = "write gen:size=BYTES|imix[,flows=N][,payload=FILE][,rate=PPS]";
  GeneratorSpec& generator = spec.generator;
  std::string seen;
  while (true) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string_view key = part.substr(0, equals);
    const std::string_view value = part.substr(std::min(equals + 1, part.size()));
    std::uint32_t number = 0;
    const auto wrong = [&](std::uint32_t least, std::uint32_t most, const char* unit) {
      return bad(spec, fmt::format("{}={} is out of range", key, value),
                 fmt::format("give {} to {}{}", least, most, unit));
    };
    const auto in_range = [&](std::uint32_t least, std::uint32_t most) {
      return parse_decimal(value, most, number) && number >= least;
    };
    if (seen.find(fmt::format(",{}=", key)) != std::string::npos)
      return bad(spec, fmt::format("{} is given twice", key), kForm);
    seen += fmt::format(",{}=", key);
    if (key == "size" && value == "imix") {
      generator.sizes = imix_sizes();
      const std::uint16_t largest = *std::ranges::max_element(generator.sizes);
      if (largest > max_packet_bytes)
        return bad(spec, fmt::format("imix has packets of {} bytes", largest),
                   "give the manager a larger --mbuf-size");
    } else if (key == "size") {
      if (!in_range(kGeneratedHeaderBytes, max_packet_bytes))
        return wrong(kGeneratedHeaderBytes, max_packet_bytes, " (--mbuf-size) bytes, or imix");
      generator.sizes = {static_cast<std::uint16_t>(number)};
    } else if (key == "flows") {
      if (!in_range(1, kMaxGeneratedFlows - 1)) return wrong(1, kMaxGeneratedFlows - 1, " flows");
      generator.n_flows = number;
    } else if (key == "rate") {
      if (!in_range(1, kMostGeneratedPps)) return wrong(1, kMostGeneratedPps, " packets a second");
      generator.rate_pps = number;
    } else if (key == "payload") {
      spec.rx_file = generator.payload_file = value;
      if (const auto good = of_port(spec, check_rx_file(spec.rx_file)); !good) return good;
    } else {
      return bad(spec, fmt::format("'{}' is no size=, flows=, payload= or rate=", part), kForm);
    }
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (generator.sizes.empty()) return bad(spec, "size= is missing", kForm);
  spec.device = fmt::format("net_null{}", index);
  spec.eal_arg = fmt::format("--vdev={},size={}", spec.device, kMinPacketBytes);
  return {};
}

/// "DDDD:BB:DD.F" in lower case from that or from "BB:DD.F"; empty when it is neither.
std::string canonical_bdf(std::string_view text) {
  std::array<unsigned, 4> part{};
  int used = 0;
  const std::string full = std::count(text.begin(), text.end(), ':') == 1
                               ? "0000:" + std::string(text)
                               : std::string(text);
  const bool clean = std::all_of(full.begin(), full.end(), [](unsigned char c) {
    return std::isxdigit(c) != 0 || c == ':' || c == '.';
  });
  if (!clean || full.size() > sizeof("0000:00:00.0") - 1 ||
      std::sscanf(full.c_str(), "%4x:%2x:%2x.%1x%n", &part[0], &part[1], &part[2], &part[3],
                  &used) != 4 ||
      static_cast<std::size_t>(used) != full.size() || part[2] > 31 || part[3] > 7)
    return {};
  return fmt::format("{:04x}:{:02x}:{:02x}.{}", part[0], part[1], part[2], part[3]);
}

Result<void> parse_pci(std::string_view text, PortSpec& spec) {
  spec.kind = PortKind::kPci;
  const std::string bdf = canonical_bdf(text);
  if (bdf.empty())
    return bad(spec, fmt::format("'{}' is no PCI address", text),
               "write pci:BB:DD.F or pci:DDDD:BB:DD.F, as lspci -D shows it");
  std::error_code ignored;
  if (!fs::exists("/sys/bus/pci/devices/" + bdf, ignored))
    return bad(spec, fmt::format("there is no PCI device {}", bdf),
               "choose one that lspci -D shows");
  spec.device = bdf;
  spec.eal_arg = "--allow=" + bdf;
  return {};
}

Result<void> parse_vdev(std::string_view text, PortSpec& spec) {
  spec.kind = PortKind::kVdev;
  const std::string_view name = text.substr(0, text.find(','));
  const bool clean = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  if (!clean || !(name.starts_with("net_") || name.starts_with("eth_")))
    return bad(spec, fmt::format("'{}' is no name of a virtual Ethernet device", name),
               "write vdev:DRIVER<N>[,ARGS], for example vdev:net_ring0");
  spec.device = name;
  spec.eal_arg = fmt::format("--vdev={}", text);
  return {};
}

/// Refuses what two ports can't share; `earlier` come before `spec` on the command line.
Result<void> check_against(const std::vector<PortSpec>& earlier, const PortSpec& spec) {
  std::error_code ignored;
  const auto same_file = [&ignored](const std::string& a, const std::string& b) {
    return !a.empty() && !b.empty() &&
           (fs::weakly_canonical(a, ignored) == fs::weakly_canonical(b, ignored) ||
            fs::equivalent(a, b, ignored));
  };
  const auto target = [](const PortSpec& s) { return s.text.substr(s.text.find(':') + 1); };
  for (const PortSpec& other : earlier) {
    const bool same_interface = spec.kind == other.kind && target(spec) == target(other) &&
                                (spec.kind == PortKind::kTap || spec.kind == PortKind::kAfPacket);
    if (same_interface || spec.device == other.device)
      return bad(spec, fmt::format("uses the same device as --port '{}'", other.text),
                 "give each device once");
    if (same_file(spec.tx_file, other.tx_file) || same_file(spec.tx_file, other.rx_file) ||
        same_file(spec.rx_file, other.tx_file))
      return bad(spec, fmt::format("writes or reads an output file of --port '{}'", other.text),
                 "give each output file once");
  }
  return {};
}

}  // namespace

Result<PortSpec> parse_port_spec(const std::string& text, unsigned index,
                                 std::uint32_t max_packet_bytes) {
  PortSpec spec;
  spec.text = text;
  const std::string_view view = text;
  const std::size_t colon = view.find(':');
  const std::string_view kind = view.substr(0, colon);
  std::optional<std::string_view> rest;
  if (colon != std::string_view::npos) rest = view.substr(colon + 1);
  const auto parse = [&]() -> Result<void> {
    if (kind == "null") return parse_null(rest, index, max_packet_bytes, spec);
    if (rest && kind == "gen") return parse_gen(*rest, index, max_packet_bytes, spec);
    if (rest && kind == "pcap") return parse_pcap(*rest, index, spec);
    if (rest && kind == "tap") return parse_tap(*rest, index, spec);
    if (rest && kind == "af_packet") return parse_af_packet(*rest, index, spec);
    if (rest && kind == "pci") return parse_pci(*rest, spec);
    if (rest && kind == "vdev") return parse_vdev(*rest, spec);
    return bad(spec, "unknown kind of port", kForms);
  };
  if (const Result<void> result = parse(); !result) return result.error();
  return spec;
}

Result<std::vector<PortSpec>> parse_port_specs(const std::vector<std::string>& texts,
                                               std::uint32_t max_packet_bytes) {
  std::vector<PortSpec> specs;
  for (const std::string& text : texts) {
    const Result<PortSpec> spec =
        parse_port_spec(text, static_cast<unsigned>(specs.size()), max_packet_bytes);
    if (!spec) return spec.error();
    if (const Result<void> check = check_against(specs, *spec); !check) return check.error();
    specs.push_back(*spec);
  }
  return specs;
}

std::vector<std::string> port_eal_args(const std::vector<PortSpec>& specs) {
  std::vector<std::string> args;
  for (const PortSpec& spec : specs) args.push_back(spec.eal_arg);
  if (std::none_of(specs.begin(), specs.end(),
                   [](const PortSpec& spec) { return spec.kind == PortKind::kPci; }))
    args.emplace_back("--no-pci");
  return args;
}

}  // namespace hb
