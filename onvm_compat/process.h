// The one attachment of an OpenNetVM NF's process: its DPDK with the objects that NFs look up by
// name, its instances, the thread that listens for them, and the ports as NFs see them.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "nf_lib/attachment.h"
#include "onvm_compat/command_line.h"
#include "onvm_compat/instance.h"
#include "onvm_compat/packet_table.h"

namespace hb::onvm {

class Process {
 public:
  /// There is one. Made by the first call; attached by attach().
  static Process& get();

  /// EAL, region, pools. Once; the calling thread becomes EAL's main one.
  Result<void> attach(const CommandLine& line, const std::string& program);
  [[nodiscard]] bool attached() const noexcept { return attachment_.has_value(); }
  [[nodiscard]] Attachment& attachment() noexcept { return *attachment_; }
  [[nodiscard]] const CommandLine& command_line() const noexcept { return line_; }
  [[nodiscard]] PacketTable& packets() noexcept { return packets_; }
  [[nodiscard]] rte_mempool* packet_pool() noexcept { return packet_pool_; }
  [[nodiscard]] rte_mempool* message_pool() noexcept { return message_pool_; }

  /// Registers one more instance and lets the listener know of it.
  Result<Instance*> start_instance(const InstanceConfig& config);
  /// Its loop has ended: the manager need not wait for the process, nor for other instances.
  void say_bye(Instance* instance);
  /// Says goodbye for it, if that was not done, and frees it.
  void end_instance(Instance* instance);
  [[nodiscard]] Instance* instance(Slot slot) noexcept {
    // Acquire: pairs with the release store in start_instance: it is set up.
    return instances_[slot].load(std::memory_order_acquire);
  }
  /// The listener looks after an instance that has become ready.
  void listen_to(Instance& instance) noexcept;
  /// By what onvm_nf says; nullptr if it is none of this process.
  [[nodiscard]] Instance* find(const onvm_nf* nf) noexcept;
  /// The lowest instance of this process that offers the service; nullptr: none.
  [[nodiscard]] Instance* find_service(std::uint16_t number) noexcept;

  /// rte_pktmbuf_free came to the packet's own pool. Any thread.
  void give_back(rte_mbuf* mbuf) noexcept;
  /// rte_pktmbuf_alloc did. Any thread; all or nothing. @return true: out[n] are filled in
  bool allocate(rte_mbuf** out, std::uint32_t n);
  /// For instance loops: fills what threads without a context of their own have asked for.
  void restock(Instance& instance) noexcept;
  [[nodiscard]] std::uint32_t n_allocatable() noexcept;

  /// The service that has this number. Any thread; looks at most once a millisecond for one that
  /// is missing. @return kMaxServices if there is none
  [[nodiscard]] std::uint32_t service_of(std::uint32_t number) noexcept;

  void set_main_context(onvm_nf_local_ctx* ctx, handle_signal_func handler) noexcept;
  [[nodiscard]] onvm_nf_local_ctx* main_context() const noexcept {
    return main_context_.load(std::memory_order_acquire);
  }
  void on_signal(int signal) noexcept;
  /// The main NF has been told to end, and with it all instances of the process.
  [[nodiscard]] bool main_is_ending() const noexcept {
    const onvm_nf_local_ctx* const ctx = main_context();
    return ctx != nullptr && rte_atomic16_read(&ctx->keep_running) == 0;
  }
  [[nodiscard]] bool orphaned() const noexcept { return orphaned_.load(std::memory_order_acquire); }

  /// Asks the manager for its statistics. @return false if it is gone. Any thread.
  bool refresh_ports();

  /// The process is ending: waits until the listener touches nothing any more. Nothing in the
  /// listener itself, which may have called exit() in an NF's signal handler, nor in a child.
  void stop_listening() noexcept;

 private:
  Process() = default;
  Result<void> make_pools();
  void listen();
  void wake_listener() noexcept;
  [[nodiscard]] bool must_listen() const noexcept {
    return !stops_listening_.load(std::memory_order_relaxed);
  }
  void on_manager_gone();
  [[nodiscard]] Instance* none_has_begun() noexcept;

  std::optional<Attachment> attachment_;
  CommandLine line_;
  PacketTable packets_;
  rte_mempool* packet_pool_ = nullptr;
  rte_mempool* message_pool_ = nullptr;
  rte_ring* stock_ = nullptr;  ///< fresh packets for threads without a context
  std::atomic<std::uint32_t> stock_wanted_{0};

  std::array<std::atomic<Instance*>, kMaxInstances + 1> instances_{};
  std::vector<std::unique_ptr<Instance>> ended_;  ///< the listener may still look at one
  std::mutex instances_change_;                   ///< set-up only: starting and ending
  std::array<std::atomic<std::uint32_t>, MAX_SERVICES> service_of_{};
  std::atomic<std::uint64_t> next_service_look_{0};

  std::atomic<onvm_nf_local_ctx*> main_context_{nullptr};
  std::atomic<handle_signal_func> signal_handler_{nullptr};
  std::atomic<int> n_signals_{0};
  std::atomic<bool> orphaned_{false};
  int change_fd_ = -1;  ///< wakes the listener: an instance has come or gone, or the end has
  std::thread listener_;
  int listener_pid_ = 0;  ///< the process that it runs in
  std::atomic<bool> stops_listening_{false};
  std::mutex ports_change_;  ///< the listener's and rte_eth_stats_get's refreshes
  ControlSocket status_socket_;
};

}  // namespace hb::onvm
