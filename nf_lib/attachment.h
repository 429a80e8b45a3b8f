// A process' attachment to a running manager: control files, EAL, region, control channel.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nf_lib/control_layout.h"
#include "nf_lib/control_socket.h"
#include "nf_lib/platform_view.h"
#include "nf_lib/result.h"

namespace hb {

struct EalOptions {
  Isolation isolation = Isolation::kPrivate;
  std::uint32_t memory_mb = 512;       ///< bound of a private EAL's memory
  std::string cores;                   ///< CPU list as taskset's, empty: where the process may run
  std::vector<unsigned> lcores = {0};  ///< each runs on any of these CPUs; the first is main's
  std::vector<std::string> more = {};  ///< further arguments for rte_eal_init
};

/// In the order open, start_eal, map_packets; map_context once the manager has named a page.
/// Owns the mappings; views handed out live as long as it does. Set-up thread only.
class Attachment {
 public:
  /// Maps the control files and connects. Refuses another layout, version or DPDK.
  static Result<Attachment> open(const std::string& prefix);
  Attachment(Attachment&&) noexcept;
  Attachment& operator=(Attachment&&) noexcept;
  ~Attachment();

  /// Starts this process' own EAL (or, for Isolation::kSecondary, joins the manager's).
  Result<void> start_eal(const std::string& program, const EalOptions& options);

  /// Maps the region and registers the metadata field at the manager's offset. After start_eal.
  Result<void> map_packets();

  /// Maps a context's page, which the manager has made for this process alone.
  Result<ContextPage*> map_context(const std::string& page_name);

  /// Maps a service's surviving block, which all its instances may write.
  /// @return its `bytes` bytes, without the header
  Result<std::span<std::byte>> map_surviving(const std::string& name, std::uint64_t bytes);

  [[nodiscard]] const PlatformView& view() const noexcept { return view_; }
  [[nodiscard]] const Registry& registry() const noexcept { return *view_.registry; }
  [[nodiscard]] ControlSocket& socket() noexcept { return socket_; }
  [[nodiscard]] const std::string& prefix() const noexcept { return prefix_; }

 private:
  struct Mappings;
  Attachment();

  std::string prefix_;
  std::unique_ptr<Mappings> mappings_;
  PlatformView view_;
  ControlSocket socket_;
};

/// Fills in what every register message says: layout hash, DPDK version, process id.
nlohmann::json register_message(const std::string& role);

/// A file of this process' process id, to pass along with a register message; -1 if none.
int open_own_pidfd();

}  // namespace hb
