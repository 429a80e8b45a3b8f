// The flow director: service chains of single flows, which all OpenNetVM NFs of a platform follow.
// NFs get entries in their own memory, which they change in place; this copies keys and chains, by
// value, to and from a file that those NFs share.
#pragma once

#include <rte_spinlock.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "nf_lib/result.h"
#include "onvm_compat/include/onvm_flow_dir.h"

namespace hb::onvm {

struct FlowValue;
struct SharedFlows;

/// A chain's entries, as they are compared and shared.
struct ChainValue {
  std::uint8_t length;
  std::uint8_t actions[ONVM_MAX_CHAIN_LENGTH];
  std::uint8_t pad[3];
  std::uint16_t destinations[ONVM_MAX_CHAIN_LENGTH];
  bool operator==(const ChainValue&) const = default;
};

/// One for each process. Any thread may call any of it. What lies in an entry is the NF's to
/// synchronise, as in OpenNetVM: a chain may be read while the NF is filling it in, and is read
/// again when it has changed.
class FlowDirector {
 public:
  FlowDirector() = default;
  ~FlowDirector();
  FlowDirector(const FlowDirector&) = delete;
  FlowDirector& operator=(const FlowDirector&) = delete;
  /// The process' own.
  static FlowDirector& get();

  /// Maps the file that the platform's NFs share; makes it if this is the first one.
  Result<void> open(const std::string& path);
  /// Makes the table that NFs see (sdn_ft). @return 0 or negative
  int make_table() noexcept;
  [[nodiscard]] onvm_ft* table() const noexcept {
    return table_.load(std::memory_order_acquire);  // pairs with make_table()
  }

  /// As OpenNetVM's RX: a packet whose flow has a chain goes to that chain's first NF.
  /// @param own  the service that the packet has come to
  /// @return true: meta says where the packet goes instead
  bool enter_chain(rte_mbuf* mbuf, std::uint16_t own, onvm_pkt_meta& meta) noexcept;
  /// ONVM_NF_ACTION_NEXT for a packet whose flow has a chain: moves meta on by one.
  /// @return false: it has none
  bool next_hop(rte_mbuf* mbuf, onvm_pkt_meta& meta) noexcept;

  // Results as those of onvm_flow_dir_get_key and its neighbours. Flows that other processes have
  // withdrawn are not found any more; an entry's bytes stay readable.
  int get_key(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept;
  int add(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept;
  int remove(onvm_ft_ipv4_5tuple* key, bool and_free) noexcept;
  /// As get_key(), for those who don't change the entry.
  int find(onvm_ft_ipv4_5tuple* key, onvm_flow_entry** entry) noexcept;

  /// Shows the other NFs what this one has changed. Cheap without news.
  void publish() noexcept;

 private:
  /// A thread may hold it several times over.
  class Lock {
   public:
    explicit Lock(rte_spinlock_recursive_t& lock) noexcept : lock_(lock) {
      rte_spinlock_recursive_lock(&lock_);
    }
    ~Lock() { rte_spinlock_recursive_unlock(&lock_); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    rte_spinlock_recursive_t& lock_;
  };

  /// What is known of the flow at a position of the table.
  struct Known {
    bool is_given = false;   ///< the NF has a pointer to it
    bool is_listed = false;  ///< publish() is to export it
    bool is_shared = false;  ///< it was imported or exported: it goes when its slot does
    std::uint16_t slot = 0;  ///< where it was seen last, if is_shared
    std::uint32_t pass = 0;  ///< of take_over(), when it was seen last
    ChainValue chain{};      ///< as last imported or exported, if is_shared
    onvm_service_chain* own_chain = nullptr;  ///< made here, not by the NF
    onvm_ft_ipv4_5tuple* own_key = nullptr;
    onvm_service_chain* spare_chain = nullptr;  ///< for the position's next flow
    onvm_ft_ipv4_5tuple* spare_key = nullptr;
  };
  /// A position can be as large as the hash' capacity, one more than its entries.
  static constexpr std::int32_t kPositions = SDN_FT_ENTRIES + 1;

  [[nodiscard]] bool active() const noexcept;
  [[nodiscard]] onvm_flow_entry* entry_at(std::int32_t index) noexcept;
  bool chain_of(rte_mbuf* mbuf, onvm_service_chain& chain) noexcept;
  void take_over() noexcept;
  void import_flow(std::uint32_t slot, const FlowValue& value) noexcept;
  bool make_entry(std::int32_t index, const onvm_ft_ipv4_5tuple& key) noexcept;
  void forget(std::int32_t index) noexcept;
  void reset(std::int32_t index) noexcept;
  void list(std::int32_t index) noexcept;
  bool export_entry(std::int32_t index) noexcept;
  void retract(const onvm_ft_ipv4_5tuple& key) noexcept;

  SharedFlows* shared_ = nullptr;
  std::atomic<onvm_ft*> table_{nullptr};
  /// For all below, and the table's hash.
  rte_spinlock_recursive_t lock_ = RTE_SPINLOCK_RECURSIVE_INITIALIZER;
  std::uint32_t seen_generation_ = 0;
  std::uint32_t pass_ = 0;
  std::uint64_t next_look_ns_ = 0;
  std::array<Known, kPositions> known_{};
  std::array<std::int32_t, SDN_FT_ENTRIES> index_of_slot_{};
  std::array<std::int32_t, kPositions> listed_{};
  std::uint32_t n_listed_ = 0;
};

}  // namespace hb::onvm
