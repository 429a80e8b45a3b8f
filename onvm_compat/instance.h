// One OpenNetVM NF instance: a context of the platform, the onvm_nf that the NF sees, and the loop
// between them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "nf_lib/burst_loop.h"
#include "nf_lib/control_socket.h"
#include "nf_lib/nf_session.h"
#include "onvm_compat/message_socket.h"
#include "onvm_compat/packet_table.h"

namespace hb::onvm {

class Process;

struct InstanceConfig {
  std::string tag;
  std::uint16_t service = 0;
  std::uint16_t core = 0;
  std::uint16_t init_options = 0;
  std::uint16_t time_to_live = 0;
  std::uint16_t pkt_limit = 0;
};

/// Its loop's thread owns the context. Other threads reach it through tx_q and the inbox only.
class Instance final : public NetworkFunction {
 public:
  static Result<std::unique_ptr<Instance>> join(Process& process, Slot slot,
                                                const InstanceConfig& config);
  ~Instance() override;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  /// The run loop of an NF with a handler, in the calling thread: READY, setup(), packets,
  /// messages, user actions, until the NF wants to end and the manager has let it go.
  Result<void> run(onvm_nf_local_ctx* ctx);
  /// The NF polls its rings: moves packets between them and the platform, in a thread of its own.
  Result<void> start_pump(onvm_nf_local_ctx* ctx);
  /// Ends the pump, once the manager has let it go. Without one, an instance that is ready is let
  /// go of likewise if no loop has begun.
  void stop_pump();

  /// Any thread.
  void inbox_free(rte_mbuf* mbuf) noexcept { inbox(mbuf, true); }
  void inbox_send(rte_mbuf* mbuf) noexcept { inbox(mbuf, false); }
  /// The loop's thread only. All of out, or none of it.
  bool allocate(rte_mbuf** out, std::uint32_t n) noexcept;
  /// Any thread, while no loop has begun: as in setup(). The instance becomes ready by it, so that
  /// its packets are found if the process dies.
  /// @return nothing once a loop has begun; else as allocate()
  std::optional<bool> allocate_before_loop(rte_mbuf** out, std::uint32_t n);
  [[nodiscard]] bool loop_has_begun() const noexcept {
    // Acquire: pairs with the release store in begin_loop().
    return loop_has_begun_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::uint32_t n_allocatable() const noexcept;
  /// The instance whose loop the calling thread runs.
  static Instance* current() noexcept;

  /// The listener: what came over the control socket. @return false: the manager is gone
  bool on_control();
  /// The listener: takes messages from other processes while msg_q has room.
  void on_message() noexcept;
  [[nodiscard]] bool has_message_room() const noexcept {
    return rte_ring_free_count(nf_.msg_q) != 0;
  }
  /// It is ready, and has not said goodbye.
  [[nodiscard]] bool is_listening() const noexcept {
    // Acquire: pairs with the release store in become_ready().
    return is_ready_.load(std::memory_order_acquire) && !has_said_bye();
  }
  [[nodiscard]] int control_fd() const noexcept { return socket_.fd(); }
  [[nodiscard]] int message_fd() const noexcept { return messages_.fd(); }
  /// Puts a message into msg_q. Any thread. @return 0 or negative; data is the caller's then
  int post(std::uint8_t type, void* data) noexcept;
  /// A copy of data[bytes] to an instance of another process, by its index in the registry.
  int send_foreign(std::uint32_t instance, const void* data, std::size_t bytes) const noexcept;
  /// Ends the loop, once the manager has let the instance go. Any thread.
  void leave();

  [[nodiscard]] onvm_nf* nf() noexcept { return &nf_; }
  [[nodiscard]] Slot slot() const noexcept { return slot_; }
  [[nodiscard]] const Registration& registration() const noexcept { return registration_; }
  /// Its loop has ended: tells the manager, once.
  void say_bye(bool process_goes_on);
  [[nodiscard]] bool has_said_bye() const noexcept { return bye_said_.load(); }

  void process_burst(std::span<rte_mbuf* const> burst,
                     std::span<Verdict> verdicts) noexcept override;
  void tick(std::uint64_t now_ns) noexcept override;
  void flush() noexcept override {}

 private:
  Instance(Process& process, Slot slot, const InstanceConfig& config);
  Result<void> make_rings();
  Result<void> become_ready(onvm_nf_local_ctx* ctx);
  Result<void> begin_loop(onvm_nf_local_ctx* ctx);
  void wait_until_routed() const;

  // Packets (instance_packets.cc).
  bool enter(rte_mbuf* mbuf) noexcept;
  Verdict arrive(rte_mbuf* mbuf) noexcept;
  Verdict judge(rte_mbuf* mbuf, std::uint32_t number) noexcept;
  Verdict follow_chain(rte_mbuf* mbuf, onvm_pkt_meta& meta) noexcept;
  Verdict to_service(rte_mbuf* mbuf, const onvm_pkt_meta& meta) noexcept;
  bool is_plain(const rte_mbuf* mbuf) const noexcept;
  rte_mbuf* make_plain(rte_mbuf* mbuf) noexcept;
  rte_mbuf* copy_of(rte_mbuf* mbuf) noexcept;
  void inbox(rte_mbuf* mbuf, bool freed) noexcept;
  /// Sends what lies in tx_q and the inbox. @return packets
  std::uint32_t drain() noexcept;
  void take_back(rte_mbuf* mbuf, bool freed) noexcept;
  void collect(rte_mbuf* mbuf, std::uint32_t number, Verdict verdict) noexcept;
  void let_go_of_unread() noexcept;
  void release_collected() noexcept;
  /// Says why a setup() can't have all packets that it asks for.
  void warn_of_missing() const noexcept;

  // The loop (instance.cc).
  bool step(onvm_nf_local_ctx* ctx);
  bool take_message(onvm_nf_local_ctx* ctx);
  void check_limits(onvm_nf_local_ctx* ctx);
  void answer_flush();
  [[nodiscard]] bool must_end() const noexcept;

  Process& process_;
  const Slot slot_;
  onvm_nf nf_{};
  std::string tag_;
  ControlSocket socket_;
  Registration registration_;
  const InstanceEntry* entry_ = nullptr;
  MessageSocket messages_;
  std::unique_ptr<BurstLoop> loop_;
  rte_ring* inbox_ = nullptr;  ///< packets, the low bit says freed
  std::atomic<onvm_nf_local_ctx*> ctx_{nullptr};

  /// Who calls loop_'s functions before run()'s or the pump's thread does.
  std::mutex before_loop_;
  std::atomic<bool> loop_has_begun_{false};  ///< set under before_loop_
  std::atomic<bool> polled_by_nf_{false};
  bool in_burst_ = false;
  std::atomic<bool> is_ready_{false};
  std::atomic<bool> bye_said_{false};
  bool setting_up_ = false;
  bool draining_ = false;  ///< it or the platform is ending, as seen in this pass
  std::atomic<bool> left_{false};
  std::atomic<bool> stop_message_{false};  ///< the manager said stop over the socket
  std::uint64_t started_ns_ = 0;

  // A flush that is being answered.
  std::uint32_t flush_seen_ = 0;
  std::uint64_t flush_began_ns_ = 0, flush_moved_ns_ = 0;
  std::uint32_t flush_held_ = 0;

  // What drain() has collected for one release.
  std::array<rte_mbuf*, kMaxBurst> collected_{};
  std::array<Verdict, kMaxBurst> collected_verdicts_{};
  std::uint32_t n_collected_ = 0;
  /// Packets of the burst at work that can't be sent as they are.
  std::array<rte_mbuf*, kMaxBurst> unplain_{};
  std::uint32_t n_unplain_ = 0;

  rte_atomic16_t sleep_state_{};
  sem_t mutex_{};
  std::thread pump_;
  std::atomic<bool> pump_may_end_{false};
  std::atomic<bool> abandoned_{
      false};  ///< the NF polls rx_q no more: the pump lets go of what comes
};

}  // namespace hb::onvm
