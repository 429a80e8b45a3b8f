#include "nf_lib/attachment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf_dyn.h>
#include <rte_version.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/interprocess/file_mapping.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <nlohmann/json.hpp>
#include <vector>

#include "nf_lib/cpu_list.h"
#include "nf_lib/fault_point.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/surviving.h"

namespace hb {
namespace {

namespace bip = boost::interprocess;

/// Maps a whole control file and checks its header.
Result<bip::mapped_region> map_file(const std::string& path, bip::mode_t mode, std::uint64_t magic,
                                    std::size_t bytes) {
  try {
    bip::mapped_region region(bip::file_mapping(path.c_str(), mode), mode);
    const auto* header = static_cast<const ControlHeader*>(region.get_address());
    if (region.get_size() < bytes || header->magic != magic || header->version != kControlVersion ||
        header->layout_hash != layout_hash())
      return Error{fmt::format("'{}' was written by a manager of another build", path),
                   "build all programs from one tree and restart the manager"};
    return region;
  } catch (const bip::interprocess_exception& error) {
    return Error{fmt::format("'{}' can't be mapped: {}", path, error.what()),
                 "start the manager first, with the same --prefix"};
  }
}

}  // namespace

struct Attachment::Mappings {
  bip::mapped_region registry;
  bip::mapped_region routes;
  std::vector<bip::mapped_region> pages;
  std::byte* region = nullptr;
  std::uint64_t region_bytes = 0;

  ~Mappings() {
    if (region != nullptr) munmap(region, region_bytes);
  }
};

Attachment::Attachment() : mappings_(std::make_unique<Mappings>()) {}
Attachment::Attachment(Attachment&&) noexcept = default;
Attachment& Attachment::operator=(Attachment&&) noexcept = default;
Attachment::~Attachment() = default;

Result<Attachment> Attachment::open(const std::string& prefix) {
  if (!prefix_is_valid(prefix))
    return Error{fmt::format("--prefix '{}' is not a plain word", prefix),
                 "use up to 24 letters, digits, '-' and '_'"};
  Attachment attachment;
  attachment.prefix_ = prefix;
  Result<ControlSocket> socket = ControlSocket::connect(prefix);
  if (!socket) return socket.error();
  attachment.socket_ = std::move(*socket);
  fault_point("connected");

  const std::string directory = runtime_directory(prefix);
  auto registry =
      map_file(directory + "/registry", bip::read_only, kRegistryMagic, sizeof(Registry));
  if (!registry) return registry.error();
  auto routes = map_file(directory + "/routes", bip::read_only, kRoutesMagic, sizeof(RouteTables));
  if (!routes) return routes.error();
  attachment.mappings_->registry = std::move(*registry);
  attachment.mappings_->routes = std::move(*routes);
  attachment.view_.registry =
      static_cast<const Registry*>(attachment.mappings_->registry.get_address());
  attachment.view_.routes =
      static_cast<const RouteTables*>(attachment.mappings_->routes.get_address());
  // Acquire: pairs with the manager's release store once the registry is filled in.
  if (attachment.view_.registry->ready.load(std::memory_order_acquire) != 1)
    return Error{fmt::format("the manager of prefix '{}' is still starting", prefix),
                 "try again when it says that it is ready"};
  return attachment;
}

Result<void> Attachment::start_eal(const std::string& program, const EalOptions& options) {
  std::vector<std::string> args = {program, "--no-pci", "--no-telemetry", "--log-level=*:critical"};
  Result<std::string> cpus = lcore_cpus(options.cores);
  if (!cpus) return cpus.error();
  std::string lcores;
  for (const unsigned lcore : options.lcores)
    lcores += fmt::format("{}{}@({})", lcores.empty() ? "" : ",", lcore, *cpus);
  args.push_back("--lcores=" + lcores);
  if (options.isolation == Isolation::kPrivate) {
    args.insert(args.end(), {"--no-shconf", "--no-huge", "-m", std::to_string(options.memory_mb)});
  } else {
    args.insert(args.end(), {"--proc-type=secondary", "--file-prefix=hummingbird-" + prefix_});
  }
  args.insert(args.end(), options.more.begin(), options.more.end());
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0)
    return Error{fmt::format("DPDK's environment can't be started: {}", rte_strerror(rte_errno)),
                 "see the lines above"};
  fault_point("eal_started");
  return {};
}

Result<void> Attachment::map_packets() {
  const Registry& registry = *view_.registry;
  const int fd = ::open(registry.region_path, O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return Error{fmt::format("the SVM region '{}' can't be opened", registry.region_path),
                 "run this as the user who started the manager"};
  Result<std::byte*> base = map_region(fd, registry.region.total_bytes);
  close(fd);
  if (!base) return base.error();
  mappings_->region = *base;
  mappings_->region_bytes = registry.region.total_bytes;
  // A child (a compiler, say) must neither keep the region alive nor write to it.
  madvise(*base, registry.region.total_bytes, MADV_DONTFORK);
  view_.region = RegionView(*base, registry.region);
  view_.check = PacketCheck(registry.region, registry.pool);

  const int wanted = registry.packet_meta_offset;
  if (rte_mbuf_dynfield_register_offset(&kPacketMetaField, static_cast<size_t>(wanted)) != wanted)
    return Error{fmt::format("the metadata field can't be placed at offset {} of an mbuf: {}",
                             wanted, rte_strerror(rte_errno)),
                 "another library of this program has taken it"};
  packet_meta_offset = wanted;
  const int carried = registry.carried_word_offset;
  if (rte_mbuf_dynfield_register_offset(&kCarriedWordField, static_cast<size_t>(carried)) !=
      carried)
    return Error{fmt::format("the carried word can't be placed at offset {} of an mbuf: {}",
                             carried, rte_strerror(rte_errno)),
                 "another library of this program has taken it"};
  carried_word_offset = carried;
  fault_point("packets_mapped");
  return {};
}

Result<ContextPage*> Attachment::map_context(const std::string& page_name) {
  auto page = map_file(runtime_directory(prefix_) + "/" + page_name, bip::read_write, kContextMagic,
                       sizeof(ContextPage));
  if (!page) return page.error();
  mappings_->pages.push_back(std::move(*page));
  return static_cast<ContextPage*>(mappings_->pages.back().get_address());
}

Result<std::span<std::byte>> Attachment::map_surviving(const std::string& name,
                                                       std::uint64_t bytes) {
  auto file = map_file(runtime_directory(prefix_) + "/" + name, bip::read_write, kSurvivingMagic,
                       kSurvivingData + bytes);
  if (!file) return file.error();
  // What it says is no packet's business, and may be secret enough to keep out of core files.
  madvise(file->get_address(), file->get_size(), MADV_DONTDUMP);
  mappings_->pages.push_back(std::move(*file));
  auto* const base = static_cast<std::byte*>(mappings_->pages.back().get_address());
  return std::span(base + kSurvivingData, bytes);
}

nlohmann::json register_message(const std::string& role) {
  return {{"op", "register"},
          {"role", role},
          {"layout_hash", layout_hash()},
          {"dpdk", rte_version()},
          {"pid", getpid()}};
}

int open_own_pidfd() { return static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)); }

}  // namespace hb
