#include "onvm_compat/command_line.h"

#include <fmt/format.h>
#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "onvm_compat/include/onvm_common.h"

namespace hb::onvm {
namespace {

constexpr const char* kForm =
    "the command line is NF <EAL args> -- -r SERVICE -- <NF args>, or NF -F FILE.json";

Result<std::uint32_t> number(std::string_view option, std::string_view text, std::uint32_t low,
                             std::uint32_t high) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high)
    return Error{fmt::format("{} '{}' is out of range", option, text),
                 fmt::format("give a number from {} to {}", low, high)};
  return value;
}

/// EAL's "-l 0-2,5".
Result<std::vector<unsigned>> core_list(std::string_view text) {
  std::vector<unsigned> cores;
  for (std::string_view rest = text; !rest.empty() || cores.empty();) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const std::size_t dash = part.find('-');
    const auto first = number("EAL's core list", part.substr(0, dash), 0, RTE_MAX_LCORE - 1);
    if (!first) return first.error();
    auto last = first;
    if (dash != std::string_view::npos)
      last = number("EAL's core list", part.substr(dash + 1), *first, RTE_MAX_LCORE - 1);
    if (!last) return last.error();
    for (unsigned core = *first; core <= *last; ++core)
      if (std::ranges::find(cores, core) == cores.end()) cores.push_back(core);
  }
  return cores;
}

/// EAL's "--lcores (0-3)@1,5@(6,7)": which lcores there are. Where they run is for --cores to say.
Result<std::vector<unsigned>> lcore_map(const std::string& text) {
  const Error bad{fmt::format("EAL's lcore map '{}' can't be read", text),
                  "write it like 0,1 or (0-3)@1 or 0@(2,3)"};
  std::string lcores;
  bool in_group = false, in_cpus = false;
  for (const char c : text) {
    if (c == '(' || c == ')') {
      if (in_group != (c == ')')) return bad;
      in_group = c == '(';
    } else if (c == '@' && !in_group) {
      if (std::exchange(in_cpus, true)) return bad;
    } else if (c == ',' && !in_group) {
      in_cpus = false;
      lcores += c;
    } else if (!in_cpus) {
      lcores += c;
    }
  }
  if (in_group) return bad;
  return core_list(lcores);
}

Result<std::vector<unsigned>> core_mask(const std::string& text) {
  char* end = nullptr;
  const unsigned long long mask = std::strtoull(text.c_str(), &end, 16);
  if (text.empty() || *end != '\0' || mask == 0)
    return Error{fmt::format("EAL's core mask '{}' is not a hexadecimal number", text),
                 "name at least one core, like -c 0x1, or use -l"};
  std::vector<unsigned> cores;
  for (unsigned core = 0; core < 64; ++core)
    if ((mask >> core & 1) != 0) cores.push_back(core);
  return cores;
}

/// An EAL option as rte_eal_init knows it.
struct EalOption {
  std::string_view name;
  bool has_argument;
};
constexpr EalOption kIgnored[] = {{"-n", true},
                                  {"-r", true},
                                  {"-v", false},
                                  {"-b", true},
                                  {"-w", true},
                                  {"-a", true},
                                  {"-d", true},
                                  {"--proc-type", true},
                                  {"--file-prefix", true},
                                  {"--socket-mem", true},
                                  {"--huge-dir", true},
                                  {"--huge-unlink", false},
                                  {"--no-pci", false},
                                  {"--no-huge", false},
                                  {"--no-hpet", false},
                                  {"--no-shconf", false},
                                  {"--in-memory", false},
                                  {"--legacy-mem", false},
                                  {"--base-virtaddr", true},
                                  {"--iova-mode", true},
                                  {"--syslog", true},
                                  {"--no-telemetry", false},
                                  {"--telemetry", false},
                                  {"--match-allocations", false},
                                  {"--single-file-segments", false},
                                  {"--vdev", true},
                                  {"--allow", true},
                                  {"--block", true},
                                  {"--socket-limit", true},
                                  {"-s", true},
                                  {"-S", true},
                                  {"--vfio-intr", true},
                                  {"--vfio-vf-token", true},
                                  {"--create-uio-dev", false},
                                  {"--pci-whitelist", true},
                                  {"--pci-blacklist", true},
                                  {"--mbuf-pool-ops-name", true},
                                  {"--force-max-simd-bitwidth", true},
                                  {"--huge-worker-stack", false},
                                  {"--vmware-tsc-map", false},
                                  {"--trace", true},
                                  {"--trace-dir", true},
                                  {"--trace-bufsz", true},
                                  {"--trace-mode", true}};

Result<void> parse_eal(int argc, char* argv[], CommandLine& line) {
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    std::string value;
    bool has_value = false;
    if (const std::size_t equals = name.find('=');
        name.starts_with("--") && equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
      has_value = true;
    } else if (name.size() > 2 && name[0] == '-' && name[1] != '-') {  // -l0
      value = name.substr(2);
      name.resize(2);
      has_value = true;
    }
    const auto known = std::ranges::find(kIgnored, name, &EalOption::name);
    const bool used = name == "-l" || name == "-c" || name == "-m" || name == "--lcores" ||
                      name == "--main-lcore" || name == "--master-lcore" || name == "--log-level";
    if (!used && known == std::end(kIgnored))
      return Error{fmt::format("EAL argument '{}' is not known", argv[i]), kForm};
    if ((used || known->has_argument) && !has_value) {
      if (i + 1 == argc) return Error{fmt::format("EAL argument '{}' needs a value", name), ""};
      value = argv[++i];
    }
    if (name == "-l" || name == "--lcores" || name == "-c") {
      auto cores = name == "-c"         ? core_mask(value)
                   : name == "--lcores" ? lcore_map(value)
                                        : core_list(value);
      if (!cores) return cores.error();
      line.lcores = std::move(*cores);
    } else if (name == "-m") {
      const auto mb = number("-m", value, 16, 1u << 20);
      if (!mb) return mb.error();
      line.memory_mb = *mb;
    } else if (name == "--log-level") {
      line.log_levels.push_back("--log-level=" + value);
    }
  }
  return {};
}

/// The NF parses its own options next. glibc remembers "+" behind the scenes and forgets it only
/// when it starts with optind = 0; NFs expect 1.
void forget_getopt_state() {
  char name[] = "";
  char* none[] = {name, nullptr};
  optind = 0;
  (void)getopt(1, none, "");
  optind = 1;
  opterr = 0;
}

Result<void> parse_onvm(int argc, char* argv[], CommandLine& line, int& used) {
  constexpr int kPrefix = 256, kService = 257, kCores = 258;
  const option long_options[] = {{"prefix", required_argument, nullptr, kPrefix},
                                 {"service", required_argument, nullptr, kService},
                                 {"cores", required_argument, nullptr, kCores},
                                 {nullptr, 0, nullptr, 0}};
  const auto set = [](const char* name, std::uint32_t low, std::uint32_t high,
                      std::uint16_t& to) -> Result<void> {
    const auto value = number(name, optarg, low, high);
    if (!value) return value.error();
    to = static_cast<std::uint16_t>(*value);
    return {};
  };
  optind = 0;  // glibc: start anew
  opterr = 0;
  Result<void> good;
  bool has_service = false;
  for (int option;
       good && (option = getopt_long(argc, argv, "+:r:n:t:l:ms", long_options, nullptr)) != -1;) {
    switch (option) {
      case 'r':
        has_service = true;
        if (std::string_view(optarg) != "auto") good = set("-r", 1, MAX_SERVICES - 1, line.service);
        break;
      case 'n':
        good = set("-n", 0, MAX_NFS - 1, line.instance);
        break;
      case 't':
        good = set("-t", 1, 0xffff, line.time_to_live);
        break;
      case 'l':
        good = set("-l", 1, 0xffff, line.pkt_limit);
        break;
      case 'm':
        line.manual_core = true;
        break;
      case 's':
        line.share_core = true;
        break;
      case kPrefix:
        line.prefix = optarg;
        break;
      case kService:
        line.service_name = optarg;
        break;
      case kCores:
        line.cores = optarg;
        break;
      case ':':
        good = Error{fmt::format("'{}' needs a value", argv[optind - 1]), ""};
        break;
      default:
        good =
            Error{fmt::format("OpenNetVM argument '{}' is not known", argv[optind - 1]),
                  "there are -r SERVICE, -n INSTANCE, -t SECONDS, -l MILLIONS, -m, -s, --prefix, "
                  "--service and --cores"};
    }
  }
  used = optind;
  forget_getopt_state();
  if (good && used < argc && std::string_view(argv[used - 1]) != "--")
    return Error{
        fmt::format("'{}' does not belong into OpenNetVM's part of the command line", argv[used]),
        kForm};
  if (good && !has_service)
    return Error{"the service id is missing",
                 "give it between the two '--', like: NF -l 0 -- -r 1 -- <NF args>"};
  return good;
}

}  // namespace

Result<void> check_words_behind_file(int argc, char* argv[]) {
  if (argc <= 3 || std::count_if(argv + 3, argv + argc, [](const char* word) {
                     return std::strcmp(word, "--") == 0;
                   }) >= 2)
    return {};
  return Error{fmt::format("'{}' behind -F {}: there are less than two '--'", argv[3], argv[2]),
               "write -F FILE.json -- -- <NF args>, with EAL's and OpenNetVM's arguments that are "
               "not to be the file's before each '--'"};
}

Result<CommandLine> parse_command_line(int argc, char* argv[]) {
  CommandLine line;
  const auto environment = [](const char* name, std::string& to) {
    if (const char* const value = std::getenv(name); value != nullptr && *value != '\0') to = value;
  };
  environment("HB_PREFIX", line.prefix);
  environment("HB_SERVICE", line.service_name);
  environment("HB_CORES", line.cores);
  const auto is_separator = [](const char* word) { return std::strcmp(word, "--") == 0; };
  const auto first = static_cast<int>(std::find_if(argv + 1, argv + argc, is_separator) - argv);
  if (first == argc) return Error{"the command line has no '--'", kForm};
  if (const auto good = parse_eal(first, argv, line); !good) return good.error();
  // getopt wants a program's name in front: the separator's place will do.
  std::vector<char*> words(argv + first, argv + argc);
  words[0] = argv[0];
  int used = 0;
  words.push_back(nullptr);
  if (const auto good = parse_onvm(argc - first, words.data(), line, used); !good)
    return good.error();
  line.consumed = first + used - 1;
  return line;
}

}  // namespace hb::onvm
