// The NF API: derive from NetworkFunction, say what you do with a burst, call nf_main.
// nfs/forward is the example to copy.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nf_lib/control_layout.h"
#include "nf_lib/copy_queue.h"
#include "nf_lib/kernel_file.h"
#include "nf_lib/memory_file.h"
#include "nf_lib/packet_meta.h"
#include "nf_lib/result.h"
#include "nf_lib/verdict.h"

namespace CLI {
class App;
}

namespace hb {

using NameList = std::vector<std::string>;

/// What the platform needs to know of an NF before it starts.
struct NfDescription {
  std::string name;     ///< the service's default name and the program's
  std::string summary;  ///< one line for --help
  /// Names of the NF's drop reasons; Verdict::drop(i) means drop_reasons[i].
  std::vector<std::string> drop_reasons = {};
  /// Names of what it counts beside packets, at most kMaxNfCounters: `counters` of its statistics.
  /// NfContext::set_counter sets them.
  std::vector<std::string> counters = {};
  InstanceChoice choice = InstanceChoice::kFlowHash;
  std::uint16_t key_offset = 0;       ///< kOwnKey: bytes [offset, offset+bytes) of the packet
  std::uint8_t key_bytes = 0;         ///< spread it, at most 16
  std::uint64_t tick_every_us = 0;    ///< 0: tick() is never called
  std::uint32_t eal_memory_mb = 512;  ///< bound of the private EAL's memory; untouched is free
  bool originates = false;            ///< it sends packets of its own
  /// Processing a packet twice does no harm: when the process dies, the burst that it had in hand
  /// is left to its successor instead of being lost. The NF may have changed packets of that burst.
  bool idempotent = false;
  /// Packet types that it may set, and services that it may name in a verdict; unset: any. Flows
  /// whose packets can't come to where routes change go on while they do: NameList{} says none.
  std::optional<NameList> sets_types = std::nullopt;
  std::optional<NameList> names_services = std::nullopt;
  /// Bytes that outlive the process: NfContext::surviving. 0: none.
  std::uint64_t surviving_bytes = 0;
};

/// The platform as an NF meets it. Only the NF's own thread calls it; setup() gets it first.
class NfContext {
 public:
  virtual ~NfContext() = default;

  /// @return the service's id, whether or not it is running; nullopt if the name is unknown yet
  [[nodiscard]] virtual std::optional<ServiceId> find_service(std::string_view name) const = 0;
  /// @return the packet type's number, for PacketMeta::type; nullopt if no file names it
  [[nodiscard]] virtual std::optional<std::uint8_t> find_type(std::string_view name) const = 0;
  [[nodiscard]] virtual std::uint32_t n_ports() const = 0;
  /// The port's own Ethernet address, 6 bytes. port < n_ports().
  [[nodiscard]] virtual std::span<const std::uint8_t, 6> port_mac(std::uint32_t port) const = 0;
  /// A file port is open: queues beside the path wait instead of overflowing.
  [[nodiscard]] virtual bool lossless() const = 0;

  /// Sets the idx-th of NfDescription::counters, which counts for this life of the process; the
  /// statistics add up all lives. Any thread; the NF's own to call in order.
  virtual void set_counter(std::uint32_t idx, std::uint64_t n) noexcept = 0;

  /// The service's surviving block, of the size that was declared: zero at the service's first
  /// start, later as its last process left it, however that ended. Another instance of the
  /// service has it too. Empty if none was declared.
  [[nodiscard]] virtual std::span<std::byte> surviving() const = 0;

  /// To be called at least every 10 ms while the NF, in any of its calls, waits for somebody to
  /// take its output (a disk, the reader of a pipe): an NF that says nothing is killed as hung.
  /// @return false once the NF or the platform is to end: nothing is waited for then that makes no
  ///         progress
  [[nodiscard]] virtual bool may_wait_for_output() noexcept = 0;

  /// Sends held packets on their way. Allowed in process_burst, tick and flush.
  /// @param packets  held packets, any number; others are ignored
  /// @param verdicts same length; hold() keeps the packet held
  virtual void release(std::span<rte_mbuf* const> packets,
                       std::span<const Verdict> verdicts) noexcept = 0;
  [[nodiscard]] virtual std::uint32_t n_held() const noexcept = 0;

  /// Fresh packets, empty, for the NF to fill. Allowed in process_burst, tick and flush; the NF
  /// sends all of them with send_originated before it returns.
  /// @return how many of out (at most kMaxBurst) it got; fewer when the manager is behind
  [[nodiscard]] virtual std::uint32_t originate(std::span<rte_mbuf*> out) noexcept = 0;
  /// @param verdicts one for each packet that the last originate() gave, in its order
  virtual void send_originated(std::span<const Verdict> verdicts) noexcept = 0;
};

/// One network function on a CPU core. All calls come from one thread.
class NetworkFunction {
 public:
  virtual ~NetworkFunction() = default;
  /// Adds the NF's own options to the program's command line.
  virtual void add_options(CLI::App& /*app*/) {}
  /// Loads tables, before any packet arrives. The context lives as long as the NF.
  virtual Result<void> setup(NfContext& /*context*/) { return {}; }
  /// @param burst     1..kMaxBurst packets in arrival order, single segments; the NF may change
  ///                  bytes, data offset and length, and PacketMeta::type
  /// @param verdicts  same length, every entry is written
  virtual void process_burst(std::span<rte_mbuf* const> burst,
                             std::span<Verdict> verdicts) noexcept = 0;
  /// Called about every tick_every_us, also when no packet comes.
  virtual void tick(std::uint64_t /*now_ns*/) noexcept {}
  /// The platform drains: release what is held; the rest is dropped as held_at_exit.
  virtual void flush() noexcept {}
  /// `hbctl reload NF ARGS...`: takes new configuration while packets go on. Called on a thread of
  /// its own, beside process_burst and tick: prepare everything here, then let the run loop take it
  /// over with one store. One reload at a time. An Error changes nothing.
  /// @return one line for the one who asked, saying what is in force now
  virtual Result<std::string> reload(std::span<const std::string> args);
  /// After the last packet.
  virtual void tear_down() noexcept {}
};

/// What a control process says of a packet that waits for it.
struct GpuAnswer {
  Verdict verdict = Verdict::next();  ///< not hold()
  std::optional<std::uint8_t> type;   ///< it goes on as a packet of this type
};

/// The control side of a GPU NF: its table, and what must be done on the CPU for single packets.
class GpuNetworkFunction {
 public:
  virtual ~GpuNetworkFunction() = default;
  virtual void add_options(CLI::App& /*app*/) {}
  virtual Result<void> setup(NfContext& /*context*/) { return {}; }
  /// Name of the kernel in gpu_host's catalog.
  [[nodiscard]] virtual std::string kernel() const = 0;
  /// A kernel of its own instead (docs/gpu-nf.md); its name is what messages call the file.
  [[nodiscard]] virtual const KernelFile* kernel_file() const { return nullptr; }
  /// Last word on the description, once the options are known.
  virtual Result<void> describe(NfDescription& /*description*/) { return {}; }
  /// The kernel's read-only table, in the layout of kernels/<kernel>_table.h; may be empty.
  virtual Result<std::vector<std::byte>> table() { return std::vector<std::byte>{}; }
  /// The same as a file that gpu_host can read: for tables with secrets, which belong into no other
  /// memory than a SecretVector's.
  virtual Result<MemoryFile> table_file();
  /// A packet for which the kernel set HB_RESULT_COPY_TO_CPU. Same thread as setup().
  /// @param bytes  the packet as it left the GPU NF
  virtual void on_copy(const CopyRecord& /*record*/,
                       std::span<const std::uint8_t> /*bytes*/) noexcept {}
  /// A packet for which the kernel set HB_RESULT_ASK_CPU: it waits, and so do later ones of its
  /// flow, until this has answered. Otherwise as on_copy().
  virtual GpuAnswer on_question(const CopyRecord& record,
                                std::span<const std::uint8_t> bytes) noexcept {
    on_copy(record, bytes);
    return {};
  }
  /// As NetworkFunction::reload, beside on_copy. Then table() and kernel_file() are asked again, on
  /// the same thread, and what they give replaces the old ones between two rounds: every packet is
  /// judged by the whole old or the whole new. The first table is version 1, each replacement that
  /// succeeds adds 1, and CopyRecord::table_version says which judged the packet. So copies of both
  /// versions come until the new one has been in force for a while; one reload later none is left
  /// of the version before the last. If the replacement fails, the version stays.
  virtual Result<std::string> reload(std::span<const std::string> args);
  /// What became of the replacement that a reload asked for; on on_copy's thread, which has seen
  /// every copy by then that was judged by the version which is no more. If the replacement failed,
  /// the old table and kernel are in force.
  virtual void on_replaced(bool /*in_force*/) {}
  /// After the last copy.
  virtual void tear_down() noexcept {}
};

/// Makes the NF when its options are known to be needed.
struct NfFactories {
  std::unique_ptr<NetworkFunction> (*cpu)() = nullptr;
  std::unique_ptr<GpuNetworkFunction> (*gpu)() = nullptr;
};

/// Runs an NF program: options, attachment, run loop, end. Returns the exit status.
int nf_main(int argc, char** argv, const NfDescription& description, const NfFactories& factories);

/// The same for an NF type without (or with) a GPU twin.
template <typename Cpu>
int nf_main(int argc, char** argv, const NfDescription& description) {
  return nf_main(argc, argv, description,
                 {.cpu = [] { return std::unique_ptr<NetworkFunction>(std::make_unique<Cpu>()); }});
}
template <typename Cpu, typename Gpu>
int nf_main(int argc, char** argv, const NfDescription& description) {
  return nf_main(
      argc, argv, description,
      {.cpu = [] { return std::unique_ptr<NetworkFunction>(std::make_unique<Cpu>()); },
       .gpu = [] { return std::unique_ptr<GpuNetworkFunction>(std::make_unique<Gpu>()); }});
}

}  // namespace hb
